"""`edgeward certify`: what the controls of a device's history say, as tables and as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import click

from harness.cli.tables import empty, show
from harness.compare.certificate import CLAIMED, Need, Tally, needs, together
from harness.errors import StoreError
from harness.store import Store
from harness.units import ABSENT, bound, count, human, span
from harness.vocabulary import METRICS

#: In which shares of the jobs a change of the size that is shown would have been found.
_HALF, _MOST = 0.5, 0.9


@dataclass(slots=True)
class Certificate:
    """What is known of a device, suite by suite."""

    device: str
    suites: dict[str, Tally] = field(default_factory=dict)
    needs: dict[str, list[Need]] = field(default_factory=dict)


def certificate(store: Store, device: str) -> Certificate:
    """Return what the store holds of a device's controls.

    Raises:
        StoreError: nothing was measured on it.
    """
    found = Certificate(device)
    # Campaign by campaign, so that a year of outputs is never in memory at once; the newest comes first.
    for campaign in store.campaigns():
        runs = store.runs(campaign=campaign.id, device=device)
        comparisons = store.comparisons(campaign.id)
        for run in runs:
            name = run.case.suite
            if not run.is_baseline or name not in campaign.suites:
                continue
            suite = campaign.suites[name]
            found.suites.setdefault(name, Tally()).add(run, suite)
            if name not in found.needs and run.labels is not None:
                own = [one for one in comparisons if one.baseline == run.id]
                found.needs[name] = needs(len(run.labels), own, suite)
    if not found.suites:
        known = sorted(store.last_seen())
        raise StoreError(
            f"no baseline was measured on {device!r}",
            remedy=f"the store knows {', '.join(known)}" if known else "measure first: pytest suites --device ID",
        )
    return found


def show_certificate(found: Certificate) -> None:
    """Print it."""
    total = together(found.suites.values())
    click.echo(_head(found, total))
    table = empty("suite", "jobs with a control", "false alarms", "95 % interval", "found in half", "found in 9 of 10")
    rows = [*found.suites.items(), *([("all", total)] if len(found.suites) > 1 else [])]
    for name, tally in rows:
        rate = tally.rate
        table.add_row(
            name,
            count(len(tally.controls)),
            count(tally.alarms),
            span(rate.low, rate.high, "%") if rate else ABSENT,
            human(tally.seen(_HALF), "%"),
            human(tally.seen(_MOST), "%"),
        )
    show(table)
    for line in _left_out(total):
        click.echo(line)
    wanted = [(name, need) for name, own in found.needs.items() for need in own]
    if wanted:
        click.echo("\nImages that a margin needs, if a variant is as good as its baseline:")
        images = empty("suite", "metric", "margin", "images now", "images needed, about")
        for name, need in wanted:
            unit = METRICS[need.metric].unit
            margin = bound(need.margin) if unit == "%" else human(need.margin, unit)
            images.add_row(name, METRICS[need.metric].title, margin, count(need.images), count(need.needed))
        show(images)


def _head(found: Certificate, total: Tally) -> str:
    if not total.moments:
        return f"{found.device}: no job with a control yet; one takes part unless [load] has control = false"
    return (
        f"{found.device}, {min(total.moments):%Y-%m-%d} to {max(total.moments):%Y-%m-%d}: the baseline's own file was "
        f"found changed in {count(total.alarms)} of {count(len(total.controls))} jobs; at most {human(CLAIMED, '%')} "
        "are claimed"
    )


def _left_out(total: Tally) -> list[str]:
    reasons = [
        (total.without, "had no control"),
        (total.lost, "lost it or had too few launches for its interval"),
        (total.quick, "were quick and decide nothing"),
    ]
    said = [f"{count(number)} {why}" for number, why in reasons if number]
    return [f"Not counted: {', '.join(said)}."] if said else []


def document(found: Certificate) -> dict[str, Any]:
    """Return it as plain values."""
    return {
        "schema": 1,
        "device": found.device,
        "claimed": CLAIMED,
        "suites": {
            name: {
                "jobs": len(tally.controls),
                "false_alarms": tally.alarms,
                "interval": [tally.rate.low, tally.rate.high] if tally.rate else None,
                "smallest_change_found_in_half": tally.seen(_HALF),
                "smallest_change_found_in_nine_of_ten": tally.seen(_MOST),
                "without_control": tally.without,
                "control_lost": tally.lost,
                "quick": tally.quick,
                "images": [asdict(need) for need in found.needs.get(name, ())],
            }
            for name, tally in found.suites.items()
        },
    }
