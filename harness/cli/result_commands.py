"""The commands about results: report, compare, history, table, export. None needs a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.settings import Settings, with_settings
from harness.cli.suites import check_suites
from harness.errors import HarnessError, StoreError

if TYPE_CHECKING:
    from harness.model import Campaign
    from harness.store import Store


@click.command()
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where it goes [default: reports/html/].")
@click.option("--campaign", metavar="ID", help="Campaign to report, or how its id begins [default: the newest].")
@click.option("--device", metavar="ID", default="", help="Only this one, with every chart [default: all].")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="Write a summary in Markdown too.")
@click.option("--charts", metavar="DIR", type=click.Path(path_type=Path), help="Write each chart as SVG and PNG too.")
@with_settings
@click.pass_obj
def report(
    settings: Settings, out: Path | None, campaign: str | None, device: str, markdown: Path | None, charts: Path | None
) -> None:
    """Render the HTML report of a campaign again; no device is asked.

    Of more than 12 places (device and suite) or 120 cases the details of each place stand on a page of its own, in a
    folder beside it.
    What cannot be read or drawn is named there and on standard error, and the exit code is then 1.
    """
    from harness.page.publish import pictures, publish, summary, write

    store = settings.open_store()
    # With --store and --out a report needs no lab.
    lab = settings.folder() if out is None else settings.folder_if_any() or Path()
    overrides = lab / "reports/templates"
    found, missing = campaign_of(store, campaign), list[str]()
    file = publish(store, found, out or lab / "reports/html", overrides=overrides, device=device, say=missing.append)
    drawn = pictures(store, found, charts, overrides=overrides, device=device, say=missing.append) if charts else 0
    for text in dict.fromkeys(missing):
        click.echo(f"warning: {text}", err=True)
    if charts is not None:
        click.echo(f"charts: {drawn}, each as SVG and PNG, in {charts}")
    if markdown is not None:
        write(markdown, summary(store, found, file).encode(), remedy="check --markdown")
        click.echo(f"summary: {markdown}")
    click.echo(f"report: {file}")
    if missing:
        # The report was written, but not all of it.
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("before", metavar="[A", default="")
@click.argument("after", metavar="B]", default="")
@click.option("--format", "kind", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
@with_settings
@click.pass_obj
def compare(settings: Settings, before: str, after: str, kind: str) -> None:
    """Say why B differs from A, then by how much. Each is a run or a campaign; the beginning of its id is enough.

    Two runs of one campaign took turns, and are compared as the report does. Two campaigns are compared case by case.
    Without ids: the last two of the same suites and devices, without the numbers that were found equivalent.
    """
    import json

    from harness.cli import comparing

    if before and not after:
        raise HarnessError(f"{before!r} is one id", remedy="give two, or none for the last two campaigns alike")
    store = settings.open_store()
    found = comparing.pairs(store, before, after) if before else comparing.last_pairs(store)
    if kind == "json":
        click.echo(json.dumps(comparing.document(found), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        comparing.show_all(found, changed_only=not before)


@click.command()
@click.argument("device")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_settings
@click.pass_obj
def certify(settings: Settings, device: str, as_json: bool) -> None:
    """Say what the comparisons on DEVICE are worth: false alarms of its controls, and the smallest change found.

    A control is the baseline's own file, which takes turns in every job: a change that is found in it is a false alarm.
    """
    import json

    from harness.cli import certifying

    found = certifying.certificate(settings.open_store(), device)
    if as_json:
        click.echo(json.dumps(certifying.document(found), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        certifying.show_certificate(found)


@click.command()
@click.argument("suites", metavar="SUITE...", nargs=-1, required=True)
@with_settings
@click.pass_obj
def folds(settings: Settings, suites: tuple[str, ...]) -> None:
    """Judge variants on all folds of one pool together: give the suite of each fold, measured before."""
    from harness.cli import pooling

    names = [Path(suite).name.removesuffix(".toml") for suite in suites]
    pooling.show_pooled(pooling.pooled(settings.open_store(), names), len(names))


@click.command()
@click.argument("suite")
@click.option("--last", type=click.IntRange(min=1), default=10, show_default=True, help="How many campaigns.")
@click.option("--device", metavar="ID", default="", help="Only this one [default: all].")
@click.option("--audit", is_flag=True, help="Show who measured, resumed and exported it instead.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_settings
@click.pass_obj
def history(settings: Settings, suite: str, last: int, device: str, audit: bool, as_json: bool) -> None:
    """Show each case of SUITE in the last campaigns of each device: what moved, and what was set up otherwise.

    A ratio of latencies is marked where its interval and that of the campaign before lie apart by more than the
    suite's margin; the next campaign confirms it.
    """
    import json

    from harness.cli import past
    from harness.page.publish import histories

    store = settings.open_store()
    name = Path(suite).name.removesuffix(".toml")
    if audit:
        past.show_audit([one for one in store.audit(suite=name) if device in ("", one.device)], as_json=as_json)
        return
    places = list(store.measured([name]))
    if not places:
        check_suites([name], store.campaigns())
        raise StoreError(f"no case of {name!r} was measured", remedy="`edgeward report` says what went wrong")
    found, lost = histories(store, past.chosen(places, device), last=last)
    for text in lost:
        click.echo(f"warning: {text}", err=True)
    if as_json:
        click.echo(json.dumps(past.document(found), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        past.show_histories(found)


@click.command()
@click.argument("suites", metavar="[SUITE]...", nargs=-1)
@click.option(
    "--last", type=click.IntRange(min=2), default=60, show_default=True, help="How many campaigns to look at."
)
@click.option("--again", is_flag=True, help="Measure again at once what one campaign alone shows, then judge.")
@click.option("--markdown", metavar="FILE", type=click.Path(path_type=Path), help="Write what was found in Markdown.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write it for a webhook.")
@with_settings
@click.pass_obj
def watch(
    settings: Settings, suites: tuple[str, ...], last: int, again: bool, markdown: Path | None, json_file: Path | None
) -> None:
    """Say what the newest campaigns of SUITE, or of all suites, show for the first time: real, noise or unknown.

    The level of each ratio is looked for over the campaigns, on each device and on all together. Ends with 1 where one
    became worse and that is real, else with 0.
    """
    import json

    from harness.cli import watching
    from harness.page.publish import write

    found = watching.watched(settings, suites, last=last, again=again)
    watching.show(found)
    if markdown is not None:
        write(markdown, watching.markdown(found).encode(), remedy="check --markdown")
    if json_file is not None:
        text = json.dumps(watching.document(found), indent=2, ensure_ascii=False, allow_nan=False)
        write(json_file, f"{text}\n".encode(), remedy="check --json")
    if any(one.alarm for one in found):
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("suites", metavar="[SUITE]...", nargs=-1)
@click.option("--format", "kind", type=click.Choice(["markdown", "html"]), default="markdown", help="What to write.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Where to [default: standard output].")
@with_settings
@click.pass_obj
def table(settings: Settings, suites: tuple[str, ...], kind: str, out: Path | None) -> None:
    """Write models x techniques x accuracies and costs: the newest result of each case of SUITE, or of all suites.

    Each change is against the baseline of the same campaign, with its interval.
    """
    from harness.page import technique_table
    from harness.page.publish import stored, write

    store = settings.open_store()
    known = store.campaigns()
    names = {Path(suite).name.removesuffix(".toml") for suite in suites}
    check_suites(names, known)
    newest = store.newest()
    wanted = [one for one in known if one.id in newest.values() and (not names or names & set(one.suites))]
    reports = [stored(store, one) for one in reversed(wanted)]
    for text in dict.fromkeys(text for one in reports for text in one.unreadable):
        click.echo(f"warning: {text}", err=True)
    found = technique_table.tables(reports, newest, names)
    if not found:
        raise StoreError("nothing has been measured yet", remedy="run `pytest suites --device ID` first")
    lab = settings.folder_if_any()
    overrides = lab / "reports/templates" if lab and (lab / "reports/templates").is_dir() else None
    content = (
        technique_table.html(found, overrides=overrides) if kind == "html" else technique_table.markdown(found).encode()
    )
    if out is None:
        click.echo(content.decode(), nl=False)
    else:
        write(out, content, remedy="check --out")


@click.command()
@click.option("--format", "kind", type=click.Choice(["json", "csv", "parquet"]), required=True, help="What to write.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Where to [default: standard output].")
@click.option("--campaign", metavar="ID", help="Only this campaign; the beginning of its id is enough.")
@with_settings
@click.pass_obj
def export(settings: Settings, kind: str, out: Path | None, campaign: str | None) -> None:
    """Write results for other programs.

    JSON has everything from which a case was judged; CSV and Parquet have one row a run.
    """
    from harness.compare import margin
    from harness.page.publish import write
    from harness.store import export as exports

    if kind == "parquet" and out is None:
        raise HarnessError("Parquet is binary", remedy="say where to write it with --out FILE")
    store = settings.open_store()
    chosen = [campaign_of(store, campaign)] if campaign else store.campaigns()[::-1]
    # Beside what counts, JSON has the runs that were measured again, marked.
    runs = store.runs(campaign=chosen[0].id if campaign else None, superseded=kind == "json")
    if kind == "parquet":
        exports.to_parquet(runs, Path(str(out)))
        _note_export(store, kind, campaign and chosen[0].id)
        return
    if kind == "json":
        ended = [(one, store.outcomes(one.id)) for one in chosen]
        compared = [one for entry in chosen for one in store.comparisons(entry.id)]
        only = chosen[0].id if campaign else None
        superseded, audit = store.superseded(only), store.audit(campaign=only or "")
        text = exports.to_json(runs, compared, ended, margin, superseded, audit)
    else:
        text = exports.to_csv(runs)
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text.encode(), remedy="check --out")
    _note_export(store, kind, campaign and chosen[0].id)


def _note_export(store: Store, kind: str, campaign: str | None) -> None:
    """Add an export to the audit record; where the store may only be read, say that it is not there."""
    try:
        store.note("exported", campaign=campaign or "", detail=kind if campaign else f"{kind}, all campaigns")
    except StoreError as error:
        click.echo(f"warning: this export is not in the audit record: {error}", err=True)


def campaign_of(store: Store, prefix: str | None) -> Campaign:
    """Return the newest campaign, or the one whose id begins with `prefix`."""
    campaigns = store.campaigns()
    if not campaigns:
        raise StoreError("nothing has been measured yet", remedy="run `pytest suites --device ID` first")
    if prefix is None:
        return campaigns[0]
    found = [one for one in campaigns if one.id.startswith(prefix)]
    if len(found) != 1:
        what = "no campaign has" if not found else "several campaigns have"
        raise StoreError(f"{what} an id that begins with {prefix!r}", remedy=f"the newest is {campaigns[0].id}")
    return found[0]
