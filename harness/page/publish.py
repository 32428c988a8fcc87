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
    store: Store, campaign: Campaign, folder: Path, *, overrides: Path, say: Callable[[str], None] | None = None
) -> Path:
    """Write the report of a campaign and return its path; it appears whole or not at all.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the HTML goes; made if it is missing.
        overrides: the lab's reports/templates/, whose files replace the report's own; may be missing.
        say: takes a sentence on each thing that could not be read or drawn; if None, a section that cannot be
            drawn raises.

    Raises:
        StoreError: the folder cannot be written.
    """
    report = stored(store, campaign)
    if say is not None:
        for text in report.unreadable:
            say(text)
    html = page.render(report, overrides=overrides if overrides.is_dir() else None, say=say)
    target = folder / f"{campaign.started_at:%Y%m%d-%H%M%S}-{campaign.id[:6]}.html"
    part = target.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(html)
        part.replace(target)
    except OSError as error:
        raise StoreError(
            f"the report cannot be written to {folder}: {error.strerror}", remedy="choose another --report"
        ) from error
    return target


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
