"""From the store to a file: the report of one campaign, as the plugin and `edgeward report` both write it."""

from __future__ import annotations

from pathlib import Path

from harness import page
from harness.errors import StoreError
from harness.model import Campaign
from harness.store import Store


def publish(store: Store, campaign: Campaign, folder: Path, *, overrides: Path) -> Path:
    """Write the report of a campaign and return its path; it appears whole or not at all.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the HTML goes; made if it is missing.
        overrides: the lab's reports/templates/, whose files replace the report's own; may be missing.

    Raises:
        StoreError: the folder cannot be written.
    """
    html = page.render(stored(store, campaign), overrides=overrides if overrides.is_dir() else None)
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
    """Return what the store holds of a campaign."""
    outcomes = store.outcomes(campaign.id)
    named = {outcome.run for outcome in outcomes}
    judged = {outcome.case for outcome in outcomes if outcome.run}
    # A baseline that was measured again for what --resume found left is a second run of a case: the judged one counts.
    runs = [run for run in store.runs(campaign=campaign.id) if run.id in named or run.case.id not in judged]
    return page.Report(campaign, tuple(runs), tuple(store.comparisons(campaign.id)), tuple(outcomes))
