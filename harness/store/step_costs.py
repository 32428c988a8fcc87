"""What steps of training cost, as a row and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from harness.model import Estimate, LocalStep, Omission, Reason, StepCost, Validity
from harness.store.conversion import plain, restored, utc
from harness.store.tables import StepRow

_ESTIMATES = ("time_s", "ratio", "energy_j", "energy_net_j")
_COLUMNS = ("id", "started_at", "suite", "device", "variant")


def step_row(cost: StepCost) -> StepRow:
    """Return a cost as a row."""
    kept = {name: value for name, value in asdict(cost).items() if name not in _COLUMNS}
    document = plain({**kept, "times": cost.times.tolist(), "validity": cost.validity.value})
    return StepRow(
        id=cost.id,
        started_at=utc(cost.started_at),
        suite=cost.suite,
        device=cost.device,
        variant=cost.variant,
        document=document,
    )


def step_of(row: StepRow) -> StepCost:
    """Return the cost that a row holds."""
    kept: dict[str, Any] = dict(restored(row.document))
    for name in _ESTIMATES:
        if kept[name] is not None:
            kept[name] = Estimate(**{**kept[name], "omits": Omission(kept[name]["omits"])})
    kept["times"] = np.array(kept["times"], np.float64)
    kept["asked"] = LocalStep(**kept["asked"])
    kept["validity"] = Validity(kept["validity"])
    kept["reasons"] = tuple(Reason(**one) for one in kept["reasons"])
    return StepCost(
        id=row.id,
        started_at=utc(row.started_at),
        suite=row.suite,
        device=row.device,
        variant=row.variant,
        **kept,
    )
