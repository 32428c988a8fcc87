"""From the store to a file: the report of one campaign, as the plugin and `edgeward report` both write it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from harness import compare, page, units
from harness.errors import Reason, StoreError
from harness.model import Campaign
from harness.page import campaign_summary, index, method_page
from harness.page.pictures import files
from harness.page.report import Place
from harness.store import COLLECTED, DONE, Job, Store

#: How many campaigns of a place its history shows, this one among them; of more than `TOGETHER` places, what changed
#: since the last one alone, for reading many runs of a hundred devices takes minutes.
LAST: Final = 10
_LAST_OF_MANY: Final = 2
_ELSEWHERE: Final = "choose another folder with --report or --out"
#: What is said of a case whose run is damaged.
_LOST: Final = Reason("its run cannot be read from the store", "measure it again")


def publish(
    store: Store,
    campaign: Campaign,
    folder: Path,
    *,
    overrides: Path,
    device: str = "",
    say: Callable[[str], None] | None = None,
    changed: Callable[[str], None] | None = None,
) -> Path:
    """Write the report of a campaign and the index of its folder, each whole or not at all; return the first page.

    The pages of single places, of a report that has them, stand in a folder of the same name beside it.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the HTML goes; made if it is missing.
        overrides: the lab's reports/templates/, whose files replace the report's own; may be missing.
        device: id of the one that the report is of, "" for all.
        say: takes a sentence on each thing that could not be read or drawn; if None, a section that cannot be
            drawn raises.
        changed: takes in one sentence what changed since the last campaign of the same suites and devices, if there
            is one.

    Raises:
        StoreError: the folder cannot be written, or the campaign has no such device.
    """
    own, name = overrides if overrides.is_dir() else None, _name(campaign)
    report = stored(store, campaign)
    lost = report.unreadable
    if device:
        report, name = _of(report, device), f"{name}-{device}"
    report = with_earlier(store, report, say)
    if say is not None:
        for text in dict.fromkeys((*lost, *report.unreadable)):
            say(text)
    for path, html in page.pages(report, name, overrides=own, say=say):
        write(folder / path, html, remedy=_ELSEWHERE)
    _list(store, folder, own, say)
    if changed is not None and (found := compare.since(report.earlier, campaign.id)):
        changed(found.sentence)
    return folder / f"{name}.html"


def pictures(
    store: Store,
    campaign: Campaign,
    folder: Path,
    *,
    overrides: Path,
    device: str = "",
    say: Callable[[str], None] | None = None,
) -> int:
    """Write each chart of a report as SVG and PNG, named by section, place and number; return how many there are.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the pictures go; made if it is missing.
        overrides: the lab's reports/templates/, whose page.css has the colours if it is there.
        device: id of the one whose charts are meant, "" for all.
        say: as for `publish`.

    Raises:
        StoreError: the folder cannot be written, or the campaign has no such device.
    """
    report = stored(store, campaign)
    found = files(_of(report, device) if device else report, overrides=overrides, say=say)
    count = 0
    for name, svg, png in found:
        write(folder / f"{name}.svg", svg, remedy="choose another folder with --charts")
        write(folder / f"{name}.png", png, remedy="choose another folder with --charts")
        count += 1
    return count


def _list(store: Store, folder: Path, overrides: Path | None, say: Callable[[str], None] | None) -> None:
    """Write the index of the reports of a folder, and the page that leads to the newest; `say` as for `publish`."""
    try:
        runs = store.places()
        reports = [(one, folder / f"{_name(one)}.html") for one in store.campaigns()]
        lines = [
            index.line(one, file, store.outcomes(one.id), runs.get(one.id, ()))
            for one, file in reports
            if file.is_file()
        ]
    except ValueError as error:
        # A damaged row of another campaign is no reason to lose this one's report.
        if say is None:
            raise
        say(f"the index of the reports was not written: a campaign's outcomes cannot be read ({error})")
        return
    write(folder / method_page.NAME, method_page.html(overrides), remedy=_ELSEWHERE)
    if lines:
        write(folder / "index.html", index.index(lines, overrides=overrides), remedy=_ELSEWHERE)
        write(folder / "latest.html", index.latest(lines[0], overrides=overrides), remedy=_ELSEWHERE)


def _of(report: page.Report, device: str) -> page.Report:
    places = [place for place in report.places if place[1] == device]
    if not places:
        known = ", ".join(dict.fromkeys(name for _, name in report.places if name))
        raise StoreError(f"the campaign has no case on a device {device!r}", remedy=f"take one of: {known or 'none'}")
    return report.of(places)


def _name(campaign: Campaign) -> str:
    return f"{campaign.started_at:%Y%m%d-%H%M%S}-{campaign.id[:6]}"


def stored(store: Store, campaign: Campaign) -> page.Report:
    """Return what the store holds of a campaign; a row that cannot be read is named, and costs no other."""
    own, unreadable = _results(store, campaign, samples=True)
    again = _measured_again(store, campaign, own)
    jobs = tuple(_jobs(store.jobs(campaign.id)))
    return page.Report(campaign, own.runs, own.comparisons, own.outcomes, tuple(unreadable), again=again, jobs=jobs)


def _jobs(jobs: Iterable[Job]) -> Iterator[str]:
    """Say which jobs were collected after their host had been away, and which gave nothing, so that they were repeated.

    The last job of the same cases may have been ended by an error that no other one followed: it is no repetition.
    """
    seen = list(jobs)
    for place, one in enumerate(seen):
        what = f"{', '.join(sorted(one.questions))}, begun {units.moment(one.begun_at)}"
        later = any(one.questions.keys() & other.questions.keys() for other in seen[place + 1 :])
        if one.ended == COLLECTED:
            yield f"Collected by --resume, for its host was away when it ended: the job of {what}."
        elif one.ended != DONE and later:
            yield f"Done twice: the job of {what} gave nothing ({one.ended or 'its host was gone'}) and was repeated."


def _measured_again(store: Store, campaign: Campaign, own: compare.Results) -> tuple[str, ...]:
    """Return which cases were measured again, as the campaign was resumed or pytest's --reruns asked, and why."""
    gone = store.superseded(campaign.id).values()
    names = {run.id: run.case.id or run.case.variant for run in own.runs}
    found = [f"{names[one.by]}: {one.reason}" for one in gone if one.by in names]
    # An attempt that gave no run is superseded by none.
    found += [f"{names[run.id]}: {run.notes['attempts']}" for run in own.runs if "attempts" in run.notes]
    return tuple(dict.fromkeys(found))


def with_earlier(store: Store, report: page.Report, say: Callable[[str], None] | None = None) -> page.Report:
    """Return a report with what the campaigns before it gave in its places.

    Args:
        store: where they are.
        report: of one campaign.
        say: takes a sentence where they cannot be read, and the report is returned as it is; if None, that raises.
    """
    own = compare.Results(report.campaign, report.runs, report.comparisons, report.outcomes)
    try:
        found, lost = histories(store, report.places, last=_LAST_OF_MANY if report.divided else LAST, own=own)
    except Exception as error:
        # Whatever stands in the rows of other campaigns, it is no reason to lose this one's report.
        if say is None:
            raise
        say(f"the campaigns before could not be read ({type(error).__name__}: {error}): the report has no history")
        return report
    return replace(report, earlier=found, unreadable=(*report.unreadable, *lost))


def histories(
    store: Store, places: Collection[Place], *, last: int, own: compare.Results | None = None
) -> tuple[tuple[compare.CaseHistory, ...], list[str]]:
    """Return the cases of some places in the last campaigns of each, and which rows could not be read.

    Samples are read only of runs whose accuracy differs from that of the campaign before.

    Args:
        store: where the runs are.
        places: suites and devices.
        last: how many campaigns of each place.
        own: the campaign that is the last one, which was read already; None for the newest of each place.
    """
    measured = store.measured({suite for suite, _ in places})
    known = {one.id: one for one in store.campaigns()}
    wanted: dict[str, set[Place]] = {}
    for place in places:
        until = [name for name in measured.get(place, ()) if own is None or _before(known[name], own.campaign)]
        for name in until[: last if own is None else last - 1]:
            wanted.setdefault(name, set()).add(place)
    found, lost = [own] if own else [], list[str]()
    for name, of in wanted.items():
        results, missing = _results(store, known[name], samples=False)
        lost += missing
        runs = tuple(run for run in results.runs if (run.case.suite, run.case.device) in of)
        about = [(one, one.about) for one in results.outcomes]
        ended = tuple(one for one, case in about if case is None or (case.suite, case.device) in of)
        found.append(replace(results, runs=runs, outcomes=ended))
    found.sort(key=lambda one: (one.campaign.started_at, one.campaign.id))
    # Each accuracy of a case asks for the same two runs.
    return compare.histories(found, lru_cache(maxsize=4)(store.readable_run)), lost


def _before(one: Campaign, other: Campaign) -> bool:
    return (one.started_at, one.id) < (other.started_at, other.id)


def _results(store: Store, campaign: Campaign, *, samples: bool) -> tuple[compare.Results, list[str]]:
    """Return what the store holds of a campaign, and which rows cannot be read.

    Args:
        store: where the runs are.
        campaign: which of them.
        samples: as for `Store.readable`.
    """
    kept, comparisons, outcomes, unreadable = store.readable(campaign.id, samples=samples)
    named = {outcome.run for outcome in outcomes if outcome.run}
    judged = {outcome.case for outcome in outcomes if outcome.run}
    gone = store.superseded(campaign.id)
    # A baseline that nobody asked for has no outcome: it counts by what is compared with it. Any other run without an
    # outcome is half of a case, as a host that died left it, or was measured again.
    partners = {one.baseline for one in comparisons if one.run in named}
    runs = [run for run in kept if run.id in named or (run.id in partners and run.case.id not in judged)]
    # Where nothing was judged at all, nothing can stand there twice.
    runs = [run for run in (runs if outcomes else kept) if run.id not in gone]
    found = {run.id for run in runs} | {""}
    outcomes = [one if one.run in found else replace(one, run="", reasons=(*one.reasons, _LOST)) for one in outcomes]
    return compare.Results(campaign, tuple(runs), tuple(comparisons), tuple(outcomes)), unreadable


def summary(store: Store, campaign: Campaign, html: Path) -> str:
    """Return the summary of a campaign as Markdown.

    Args:
        store: where the runs are.
        campaign: which of them.
        html: where its report is.
    """
    return campaign_summary.markdown(with_earlier(store, stored(store, campaign), lambda _: None), html)


def write(file: Path, content: bytes, *, remedy: str) -> None:
    """Write a file whole or not at all, and its folder if it is missing.

    Args:
        file: where to.
        content: all of it.
        remedy: what to do if that cannot be.

    Raises:
        StoreError: it cannot be written.
    """
    # Two campaigns that end together write one index: each has a part of its own.
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror or error})", remedy=remedy) from error
