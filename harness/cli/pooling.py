"""`edgeward folds`: the suites of all folds of one pool taken together, by the newest run of each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from harness import stats
from harness.cli.tables import empty, show
from harness.errors import StoreError
from harness.model import Campaign, Comparison, Estimate, Run
from harness.store import Store
from harness.units import ABSENT, full_change
from harness.vocabulary import METRICS


@dataclass(frozen=True, slots=True)
class Pooled:
    """What all folds say of one variant in one accuracy.

    Attributes:
        case: variant, device and runtime.
        metric: a name of `harness.vocabulary.METRICS`.
        change: variant minus baseline, its mean over the folds; None where a fold has none.
        margin: by which the suites let it be worse, None where they do not say one alike.
    """

    case: str
    metric: str
    change: Estimate | None
    margin: float | None

    @property
    def verdict(self) -> str:
        """Whether the worse end of the interval is within the margin."""
        if self.change is None or self.margin is None:
            return ABSENT
        loss = self.change.high if METRICS[self.metric].lower_is_better else -self.change.low
        return "non-inferior" if loss <= self.margin else "not shown"


@dataclass(frozen=True, slots=True)
class _Fold:
    """One suite as it was measured last: its settings, and what changed by case and metric."""

    settings: Mapping[str, Any]
    changes: Mapping[tuple[str, str], Comparison]


def pooled(store: Store, suites: Sequence[str]) -> list[Pooled]:
    """Return what the folds say together, of every case and accuracy that was compared in one of them.

    Args:
        store: the results.
        suites: the ids of the suites, one a fold.

    Raises:
        StoreError: one was not measured, has no folds, or they are not all folds of one pool.
    """
    folds = [_newest(store, name) for name in suites]
    _check(suites, folds)
    keys = list(dict.fromkeys(key for one in folds for key in one.changes))
    # One fold is tested, the one after it validates, so that each model learnt from all but two.
    tested = 1 / (len(folds) - 2)
    found = []
    for case, metric in sorted(keys, key=lambda key: (key[0], list(METRICS).index(key[1]))):
        own = [one.changes.get((case, metric)) for one in folds]
        changes = [one.change for one in own if one is not None and one.change is not None]
        whole = len(changes) == len(folds)
        change = stats.mean_over_folds(changes, tested) if whole else None
        found.append(Pooled(case, metric, change, _margin(folds, metric)))
    return found


def show_pooled(found: Sequence[Pooled], folds: int) -> None:
    """Print it.

    Args:
        found: what the folds say together.
        folds: how many there are.
    """
    click.echo(
        f"Variant minus baseline, the mean over {folds} folds and the corrected resampled t interval (Nadeau and "
        "Bengio 2003): another model in each fold, so what another training set changes is in it."
    )
    table = empty("case", "metric", "change", "margin")
    for one in found:
        info = METRICS[one.metric]
        said = full_change(info.kind, info.unit, one.change) if one.change else f"{ABSENT} (not in every fold)"
        table.add_row(one.case, info.title, said, one.verdict)
    show(table)


def _newest(store: Store, suite: str) -> _Fold:
    for campaign in store.campaigns():  # the newest comes first
        runs = (
            {run.id: run for run in store.runs(campaign=campaign.id, suite=suite)} if suite in campaign.suites else {}
        )
        if runs:
            return _Fold(campaign.suites[suite], _changes(store, campaign, runs))
    raise StoreError(f"no case of {suite!r} gave a run", remedy="measure it: pytest suites --device ID")


def _changes(store: Store, campaign: Campaign, runs: Mapping[str, Run]) -> dict[tuple[str, str], Comparison]:
    found = {}
    for one in store.comparisons(campaign.id):
        if one.run in runs and METRICS[one.metric].kind == "accuracy":
            case = runs[one.run].case
            found[f"{case.variant}@{case.device} {case.runtime}", one.metric] = one
    return found


def _check(suites: Sequence[str], folds: Sequence[_Fold]) -> None:
    said = [one.settings.get("data", {}) for one in folds]
    for name, data in zip(suites, said, strict=True):
        if not data.get("folds"):
            raise StoreError(f"{name} is no fold", remedy="write folds and fold under [data] and measure it")
    counts, numbers = {data["folds"]["count"] for data in said}, sorted(data["folds"]["fold"] for data in said)
    if counts != {len(folds)} or numbers != list(range(len(folds))):
        raise StoreError(
            f"these are the folds {', '.join(map(str, numbers))} of {' or '.join(map(str, sorted(counts)))}",
            remedy="give the suite of every fold once",
        )
    if len({data["folds"]["pool"] for data in said}) > 1:
        raise StoreError("these are not folds of one pool: their images differ", remedy="measure all on the same data")


def _margin(folds: Sequence[_Fold], metric: str) -> float | None:
    lines = [one.settings.get("accept", ()) for one in folds]
    bounds = {
        next((line["bound"] for line in own if (line["metric"], line["rule"]) == (metric, "non_inferior_by")), None)
        for own in lines
    }
    return bounds.pop() if len(bounds) == 1 else None
