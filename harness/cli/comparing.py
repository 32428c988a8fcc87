"""`edgeward compare`: finds the runs that two ids mean, and says why they differ before it says by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, takewhile
from typing import Any, Final

import click

from harness.cli.tables import campaign_table, comparison_table, show
from harness.compare import CampaignChange, Change, across_campaigns
from harness.compare import compare as compared
from harness.errors import StoreError
from harness.model import Campaign, Comparison, Reason, Run, Verdict
from harness.store import Store
from harness.units import counted

_ALIKE: Final = (
    "Nothing that is recorded differs: the same machine, system, runtime, model and images, in like conditions."
)
_BETWEEN: Final = (
    "The two were not measured in turns: whatever changed in between is in these changes, not the model alone.\n"
    "Where both campaigns measured the same baseline, judge latency by its ratio to that: the machine's speed cancels."
)
#: How many ids are named to somebody whose id is not there.
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Turns:
    """Two runs of one campaign, which took turns."""

    before: Run
    after: Run
    comparisons: tuple[Comparison, ...]


Pair = CampaignChange | Turns


def pairs(store: Store, before: str, after: str) -> list[Pair]:
    """Return what the two ids mean, compared: one pair of runs, or every case that two campaigns share.

    Args:
        store: the results.
        before: the beginning of the id of a run or of a campaign, the earlier one.
        after: the same of the later one.

    Raises:
        StoreError: an id is not there or not unique, both mean the same, or the two have nothing in common.
    """
    first, second = _found(store, before), _found(store, after)
    return _pairs(store, first, second)


def last_pairs(store: Store) -> list[Pair]:
    """Return the newest campaign against the one before it of the same suites and devices, case by case.

    A newest campaign that has none before it is passed over.

    Raises:
        StoreError: no two campaigns measured the same suites on the same devices.
    """
    places = {name: {place[:2] for place in found} for name, found in store.places().items()}
    measured = [one for one in store.campaigns() if one.id in places]
    for later, earlier in combinations(measured, 2):
        if places[later.id] == places[earlier.id]:
            return _pairs(store, earlier, later)
    raise StoreError(
        "no two campaigns measured the same suites on the same devices", remedy="measure once more, or give two ids"
    )


def _pairs(store: Store, first: Run | Campaign, second: Run | Campaign) -> list[Pair]:
    if isinstance(first, Run) and isinstance(second, Run):
        return [_pair(store, first, second)]
    if isinstance(first, Run) or isinstance(second, Run):
        raise StoreError("one id is a run's and the other a campaign's", remedy="give two runs or two campaigns")
    if first.id == second.id:
        raise StoreError(
            f"both ids are campaign {first.id[:8]}", remedy="give two, `edgeward history SUITE` lists runs"
        )
    # A case that was taken over took turns with a baseline that may be superseded since.
    everything = [store.runs(campaign=one.id, superseded=True) for one in (first, second)]
    gone = store.superseded(first.id) | store.superseded(second.id)
    runs = [{run.case.id: run for run in own if run.id not in gone} for own in everything]
    shared = [case for case in runs[0] if case in runs[1]]
    if not shared:
        has = ["; ".join(sorted(own)[:_NEAREST]) or "no run" for own in runs]
        raise StoreError(
            f"the two campaigns share no case: the first has {has[0]}, the second {has[1]}",
            remedy="give campaigns of one suite",
        )
    return [_across(runs[0][case], runs[1][case], second, everything) for case in shared]


def _pair(store: Store, before: Run, after: Run) -> Pair:
    if before.id == after.id:
        raise StoreError(
            f"both ids are run {before.id[:8]}", remedy=f"`edgeward history {before.case.suite}` lists others"
        )
    if before.case.suite != after.case.suite:
        names = f"{before.case.suite} and {after.case.suite}"
        raise StoreError(f"the runs are of different suites, {names}", remedy="give two runs of one suite")
    campaign = next((one for one in store.campaigns() if one.id == after.campaign), None)
    suite = campaign.suites.get(after.case.suite) if campaign else None
    if campaign is None or suite is None:
        raise StoreError(f"the suite of run {after.id} is not in the store", remedy="measure it again")
    if before.campaign == after.campaign:
        return Turns(before, after, tuple(compared(before, after, suite)))
    runs = [store.runs(campaign=one.campaign, superseded=True) for one in (before, after)]
    return _across(before, after, campaign, runs)


def _across(before: Run, after: Run, campaign: Campaign, runs: Sequence[Sequence[Run]]) -> CampaignChange:
    suite = campaign.suites[after.case.suite]
    baselines = [_baseline(run, own) for run, own in zip((before, after), runs, strict=True)]
    return across_campaigns(before, after, suite, (baselines[0], baselines[1]))


def _baseline(run: Run, others: Sequence[Run]) -> Run | None:
    """Return the run that took turns with `run` as its baseline: of two, the one whose job began together with its."""

    def place(one: Run) -> list[Any]:
        return [one.case.suite, one.case.device, one.case.runtime]

    found = [one for one in others if one.is_baseline and place(one) == place(run)]
    return next((one for one in found if one.started_at == run.started_at), found[0] if found else None)


def _found(store: Store, prefix: str) -> Run | Campaign:
    """Return the run or the campaign whose id begins with `prefix`."""
    ids = store.run_ids()
    campaigns = store.campaigns()
    runs = [name for name, _ in ids if name.startswith(prefix)]
    matching = [one for one in campaigns if one.id.startswith(prefix)]
    if len(runs) + len(matching) == 1:
        return matching[0] if matching else store.run(runs[0])
    if prefix in runs:
        return store.run(prefix)
    if len(runs) + len(matching) > 1:
        many = f"{len(runs)} runs and {len(matching)} campaigns"
        raise StoreError(f"{many} have an id that begins with {prefix!r}", remedy="give more of it")
    known = [(name, f"run of {when:%Y-%m-%d %H:%M}") for name, when in ids]
    known += [(one.id, f"campaign of {one.started_at:%Y-%m-%d %H:%M}") for one in campaigns]
    nearest = sorted(known, key=lambda one: -_alike(one[0], prefix))[:_NEAREST]
    hint = ", ".join(f"{name[:8]} ({what})" for name, what in nearest)
    raise StoreError(
        f"no run has an id that begins with {prefix!r}, nor a campaign", remedy=f"nearest: {hint or 'there is none'}"
    )


def _alike(name: str, prefix: str) -> float:
    """Return how much an id is like what was typed: by its beginning, then by its letters."""
    from difflib import SequenceMatcher

    start = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(name, prefix, strict=False))))
    return start + SequenceMatcher(None, name[: len(prefix)], prefix).ratio()


def show_all(found: Sequence[Pair], *, changed_only: bool = False) -> None:
    """Print every pair; what changed for all cases of two campaigns is said once, at the head.

    `changed_only` leaves out the metrics of two campaigns that are the same, and cases of which nothing is left.
    """
    across = [one for one in found if isinstance(one, CampaignChange)]
    shared = [cause for cause in across[0].causes if all(cause in one.causes for one in across)] if across else []
    if across:
        click.echo(f"{_moment(across[0].before)} -> {_moment(across[0].after)}\n")
        click.echo("What changed in between, what can matter most first:")
        lines = [f"  - {cause.sentence}" for cause in shared]
        if not any(one.causes for one in across):
            lines = [f"  {_ALIKE}"]
        click.echo("\n".join(lines or ["  nothing for all cases alike"]))
    left_out = 0
    for one in found:
        if changed_only and isinstance(one, CampaignChange):
            changes = tuple(change for change in one.changes if not _same(change))
            left_out += len(one.changes) - len(changes)
            one = replace(one, changes=changes)
            if not changes and all(cause in shared for cause in one.causes):
                continue
        click.echo("")
        if isinstance(one, Turns):
            show(comparison_table(one.before, one.after, one.comparisons))
            continue
        click.echo(f"{_case(one)}: run {one.before.id[:8]} -> {one.after.id[:8]}")
        for cause in one.causes:
            if cause not in shared:
                click.echo(f"  - {cause.sentence}")
        if one.changes:
            show(campaign_table(one))
    if left_out:
        click.echo(f"\nLeft out: {counted(left_out, 'number')} found equivalent, or absent in both campaigns.")
    if across:
        click.echo(f"\n{_BETWEEN}")


def _same(change: Change) -> bool:
    return change.verdict is Verdict.EQUIVALENT or (change.before is None and change.after is None)


def _case(one: CampaignChange) -> str:
    names = list(dict.fromkeys(run.case.variant for run in (one.before, one.after)))
    return f"{' -> '.join(names)} on {one.after.case.device} with {one.after.case.runtime}"


def _moment(run: Run) -> str:
    return f"{run.started_at:%Y-%m-%d %H:%M} UTC (campaign {run.campaign[:8]})"


def document(found: Sequence[Pair]) -> dict[str, Any]:
    """Return everything as plain values, in the order in which people read it."""
    return {"schema": 1, "cases": [_values(one) for one in found]}


def _values(one: Pair) -> dict[str, Any]:
    from harness.store import export

    runs = {"before": one.before, "after": one.after}
    head = {key: {"id": run.id, "campaign": run.campaign, "case": run.case.id} for key, run in runs.items()}
    if isinstance(one, Turns):
        return {**head, "in_turns": True, "comparisons": export.document([], one.comparisons)["comparisons"]}
    ids = one.before.id, one.after.id
    plain = [Comparison(each.metric, *ids, each.change, each.verdict, (Reason(each.how),)) for each in one.changes]
    changes = [
        {"title": each.title, "before": each.before, "after": each.after, **values}
        for each, values in zip(one.changes, export.document([], plain)["comparisons"], strict=True)
    ]
    causes = [{"topic": cause.topic, "sentence": cause.sentence} for cause in one.causes]
    return {**head, "in_turns": False, "causes": causes, "changes": changes}
