"""From the store to a file: the report of one campaign, as the plugin and `edgeward report` both write it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from harness import page
from harness.errors import StoreError
from harness.model import Campaign
from harness.page import campaign_summary, index
from harness.store import Store

_ELSEWHERE: Final = "choose another folder with --report or --out"


def publish(store: Store, campaign: Campaign, folder: Path, *, overrides: Path) -> Path:
    """Write the report of a campaign and the index of its folder, each whole or not at all; return the report's path.

    Args:
        store: where the runs are.
        campaign: which of them.
        folder: where the HTML goes; made if it is missing.
        overrides: the lab's reports/templates/, whose files replace the report's own; may be missing.

    Raises:
        StoreError: the folder cannot be written, or the store not read.
    """
    own, target = overrides if overrides.is_dir() else None, folder / _name(campaign)
    write(target, page.render(stored(store, campaign), overrides=own), remedy=_ELSEWHERE)
    runs = store.places()
    lines = [
        index.line(one, folder / _name(one), store.outcomes(one.id), runs.get(one.id, ()))
        for one in store.campaigns()
        if (folder / _name(one)).is_file()
    ]
    write(folder / "index.html", index.index(lines, overrides=own), remedy=_ELSEWHERE)
    write(folder / "latest.html", index.latest(lines[0], overrides=own), remedy=_ELSEWHERE)
    return target


def _name(campaign: Campaign) -> str:
    return f"{campaign.started_at:%Y%m%d-%H%M%S}-{campaign.id[:6]}.html"


def stored(store: Store, campaign: Campaign) -> page.Report:
    """Return what the store holds of a campaign."""
    outcomes = store.outcomes(campaign.id)
    named = {outcome.run for outcome in outcomes}
    judged = {outcome.case for outcome in outcomes if outcome.run}
    # A baseline that was measured again for what --resume found left is a second run of a case: the judged one counts.
    runs = [run for run in store.runs(campaign=campaign.id) if run.id in named or run.case.id not in judged]
    return page.Report(campaign, tuple(runs), tuple(store.comparisons(campaign.id)), tuple(outcomes))


def summary(store: Store, campaign: Campaign, html: Path) -> str:
    """Return the summary of a campaign as Markdown.

    Args:
        store: where the runs are.
        campaign: which of them.
        html: where its report is.
    """
    return campaign_summary.markdown(stored(store, campaign), html)


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
