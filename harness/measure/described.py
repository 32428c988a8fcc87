"""A suite and its data as plain values, for the record of a campaign."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.measure import remarks
from harness.model import Samples, Suite


def described(suite: Suite) -> dict[str, Any]:
    """Return a suite as plain values, for `Campaign.suites`."""
    return {
        "title": suite.title,
        "task": asdict(suite.task),
        "load": asdict(suite.load),
        "accept": [asdict(criterion) for criterion in suite.accept],
        "baseline": suite.baseline,
        "confidential": suite.confidential,
        "data": {"source": suite.data["source"], "split": suite.split},
        "architectures": dict(suite.architectures),
        **({"robustness": asdict(suite.robustness)} if suite.robustness else {}),
        **({"examples": suite.examples} if suite.examples else {}),
    }


def data_facts(suite: Suite, samples: Samples) -> dict[str, Any]:
    """Return what a report must say of the data."""
    positive = suite.task.positive
    known = positive in samples.classes and len(samples.labels) > 0
    return {
        "source": suite.data["source"],
        "split": suite.split,
        "folds": {**asdict(suite.folds), "pool": samples.pool} if suite.folds else None,
        "description": samples.description,
        "synthetic": samples.synthetic,
        "samples": len(samples.images),
        "patients": len(samples.group_names) or None,
        "classes": list(samples.classes),
        "remarks": remarks.of_data(suite, samples),
        "positive_ratio": float(samples.of_class(positive).mean()) if known else None,
    }
