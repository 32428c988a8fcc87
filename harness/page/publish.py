"""From the store to a file: the report of one campaign, as the plugin and `edgeward report` both write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from harness import page
from harness.errors import Reason, StoreError
from harness.model import Campaign
from harness.store import Store

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
) -> Path:
    """Write the report of a campaign and return the path of its first page; it appears whole or not at all.

    The pages of single places, of a report that has them, stand in a folder of the same name beside it.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the HTML goes; made if it is missing.
        overrides: the lab's reports/templates/, whose files replace the report's own; may be missing.
        device: id of the one that the report is of, "" for all.
        say: takes a sentence on each thing that could not be read or drawn; if None, a section that cannot be
            drawn raises.

    Raises:
        StoreError: the folder cannot be written, or the campaign has no such device.
    """
    name = f"{campaign.started_at:%Y%m%d-%H%M%S}-{campaign.id[:6]}"
    report = stored(store, campaign)
    if say is not None:
        for text in report.unreadable:
            say(text)
    if device:
        report, name = _of(report, device), f"{name}-{device}"
    target = folder / f"{name}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = page.pages(report, name, overrides=overrides if overrides.is_dir() else None, say=say)
        for path, html in made:
            file = folder / path
            part = file.with_suffix(".part")
            file.parent.mkdir(exist_ok=True)
            part.write_bytes(html)
            part.replace(file)
    except OSError as error:
        raise StoreError(
            f"the report cannot be written to {folder}: {error.strerror}", remedy="choose another --report"
        ) from error
    return target


def _of(report: page.Report, device: str) -> page.Report:
    places = [place for place in report.places if place[1] == device]
    if not places:
        known = ", ".join(dict.fromkeys(name for _, name in report.places if name))
        raise StoreError(f"the campaign has no case on a device {device!r}", remedy=f"take one of: {known or 'none'}")
    return report.of(places)


def stored(store: Store, campaign: Campaign) -> page.Report:
    """Return what the store holds of a campaign; a row that cannot be read is named, and costs no other."""
    kept, comparisons, outcomes, unreadable = store.readable(campaign.id)
    named = {outcome.run for outcome in outcomes}
    judged = {outcome.case for outcome in outcomes if outcome.run}
    # A baseline that was measured again for what --resume found left is a second run of a case: the judged one counts.
    runs = [run for run in kept if run.id in named or run.case.id not in judged]
    found = {run.id for run in runs} | {""}
    outcomes = [one if one.run in found else replace(one, run="", reasons=(*one.reasons, _LOST)) for one in outcomes]
    return page.Report(campaign, tuple(runs), tuple(comparisons), tuple(outcomes), tuple(unreadable))
