"""Runs and comparisons -> what other programs read: JSON with everything, CSV and Parquet with one row a run."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from harness import __version__
from harness.errors import HarnessError
from harness.model import Campaign, Comparison, Disagreement, Estimate, Measurement, Occlusion, Outcome, Run, sentence
from harness.redaction import cleaned, redacted
from harness.stats import absence, percentile, percentile_bound, statistic
from harness.store.audit import Entry
from harness.store.audit import document as audited
from harness.store.undertakings import Superseded
from harness.vocabulary import METRICS, MetricInfo

#: A campaign with how its cases ended.
Ended = tuple[Campaign, Sequence[Outcome]]
#: By how much a metric may change without mattering to a suite: `harness.compare.margin`.
Margin = Callable[[MetricInfo, Mapping[str, Any]], float]

#: Raised when a key is renamed or removed; adding one is no new schema.
SCHEMA: Final = 1
_CASE: Final = ("suite", "variant", "device", "runtime", "scenario", "threads")
_VARIANT: Final = ("sha256", "size_bytes", "recipe", "format")
_QUICK: Final = "quick: measured for one tenth of the durations"


def document(
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    ended: Sequence[Ended] = (),
    margin: Margin | None = None,
    superseded: Mapping[str, Superseded] = MappingProxyType({}),
    audit: Sequence[Entry] | None = None,
) -> dict[str, Any]:
    """Return everything as values that JSON holds, in the shape of `edgeward export --format json`.

    Args:
        runs: what was measured.
        comparisons: of these runs.
        ended: the campaigns that the runs are of, each with its outcomes.
        margin: says the margin that a verdict was found with; without it, suites have no margins.
        superseded: id of a run -> what counts in its place, of runs that were measured again in their campaign.
        audit: the audit record; without it, there is no key of that name.
    """
    whole = {
        "schema": SCHEMA,
        "edgeward": __version__,
        "campaigns": [_campaign(one, outcomes, runs, comparisons, margin) for one, outcomes in ended],
        "runs": [_run(run) | _superseded(superseded.get(run.id)) for run in runs],
        "comparisons": [_comparison(one) for one in comparisons],
        **({"audit": [audited(one) for one in audit]} if audit is not None else {}),
    }
    found: dict[str, Any] = cleaned(whole)
    return found


def to_json(
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    ended: Sequence[Ended] = (),
    margin: Margin | None = None,
    superseded: Mapping[str, Superseded] = MappingProxyType({}),
    audit: Sequence[Entry] | None = None,
) -> str:
    """Return `document`, whose arguments it takes, as text; a number that is not finite is null: JSON has no word."""
    whole = document(runs, comparisons, ended, margin, superseded, audit)
    return json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(runs: Sequence[Run]) -> str:
    """Return one line a run under one line of names; what is absent is an empty cell, never 0."""
    rows = table(runs)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else list(_identity(None)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_parquet(runs: Sequence[Run], file: Path) -> None:
    """Write `table` as Parquet.

    Raises:
        HarnessError: pyarrow is not installed, or the file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise HarnessError("Parquet needs pyarrow", remedy="`pip install pyarrow`, or use --format csv") from error
    partial = file.with_name(f".{file.name}.partial")
    try:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table(runs)), partial)
        partial.replace(file)
    except OSError as error:
        raise HarnessError(f"{file}: cannot be written ({error.strerror or error})", remedy="check --out") from error


def table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return one flat row a run, all with the same columns: costs as one number, accuracies with their interval."""
    shown = [
        name for name, info in METRICS.items() if info.kind == "accuracy" and any(name in r.accuracy for r in runs)
    ]
    return [_row(run, shown) for run in runs]


def _row(run: Run, accuracies: Sequence[str]) -> dict[str, Any]:
    row = _identity(run)
    row |= {name: statistic(run, name)[0] for name, info in METRICS.items() if info.kind in ("cost", "share")}
    for name in accuracies:
        estimate = run.accuracy.get(name)
        row[name] = _number(estimate.point) if estimate else None
        row[f"{name}_low"] = _number(estimate.low) if estimate else None
        row[f"{name}_high"] = _number(estimate.high) if estimate else None
    return row


def _identity(run: Run | None) -> dict[str, Any]:
    names = ("run", "campaign", "started_at", "validity", "reasons", *_CASE, "format", "recipe", "sha256")
    if run is None:
        return dict.fromkeys(names)
    own = {
        "run": run.id,
        "campaign": run.campaign,
        "started_at": moment(run.started_at),
        "validity": run.validity.value,
        "reasons": redacted(sentence(_reasons(run))),
    }
    return {name: own[name] if name in own else _named(run, name) for name in names}


def _named(run: Run, name: str) -> Any:
    return getattr(run.case if name in _CASE else run.variant, name)


def _campaign(
    one: Campaign,
    outcomes: Sequence[Outcome],
    runs: Sequence[Run],
    comparisons: Sequence[Comparison],
    margin: Margin | None,
) -> dict[str, Any]:
    suites = {run.id: run.case.suite for run in runs if run.campaign == one.id}
    compared: dict[str, list[str]] = {}
    for each in comparisons:
        if each.run in suites:
            compared.setdefault(suites[each.run], []).append(each.metric)
    margins = {
        name: {metric: margin(METRICS[metric], one.suites[name]) for metric in METRICS if metric in found}
        for name, found in compared.items()
        if margin is not None and name in one.suites
    }
    return {
        "id": one.id,
        "started_at": moment(one.started_at),
        "command": one.command,
        "quick": one.quick,
        "environment": _plain(one.environment),
        "suites": {name: {**_plain(suite), "margins": margins.get(name, {})} for name, suite in one.suites.items()},
        "outcomes": [_outcome(each) for each in outcomes],
    }


def _outcome(one: Outcome) -> dict[str, Any]:
    judgements = [
        {**asdict(each.criterion), "word": each.word, "passed": each.passed, "message": each.message}
        for each in one.judgements
    ]
    return {
        "case": one.case,
        "status": one.status,
        "run": one.run,
        "reasons": [str(reason) for reason in one.reasons],
        "judgements": judgements,
        **({"taken_over": moment(one.taken_over)} if one.taken_over else {}),
    }


def _superseded(one: Superseded | None) -> dict[str, Any]:
    """Return what is said of a run that was measured again; nothing of any other."""
    return {"superseded_by": one.by or None, "superseded_because": str(one.reason)} if one else {}


def _run(run: Run) -> dict[str, Any]:
    count = len(run.labels) if run.labels is not None else None
    if count is None and run.confusion is not None:
        count = int(run.confusion.sum())
    return {
        "id": run.id,
        "campaign": run.campaign,
        "started_at": moment(run.started_at),
        "validity": run.validity.value,
        "reasons": _reasons(run),
        "is_baseline": run.is_baseline,
        "case": {name: getattr(run.case, name) for name in _CASE} | _scenario(run),
        "variant": {name: getattr(run.variant, name) for name in _VARIANT}
        | {"steps": [_plain(asdict(step)) for step in run.variant.steps]},
        "measurements": {name: _measurement(one) for name, one in run.measurements.items()},
        "accuracy": {"n": count, **{name: interval(one) for name, one in run.accuracy.items()}} if run.accuracy else {},
        "subgroups": [
            {"by": one.by, "name": one.name, "n": one.images, "patients": one.patients}
            | {name: interval(estimate) for name, estimate in one.estimates.items()}
            for one in run.subgroups
        ],
        "robustness": [
            {
                **asdict(one.condition),
                "metric": one.metric,
                "level": interval(one.level),
                "change": interval(one.change) if one.change else None,
            }
            for one in run.probes
        ],
        "occlusion": _occlusion(run.occlusion) if run.occlusion else None,
        "disagreement": _disagreement(run.disagreement) if run.disagreement else None,
        "conditions": {
            "before": _plain(run.conditions.before),
            "during": _plain(run.conditions.during),
            "after": _plain(run.conditions.after),
        },
        "fingerprint": _plain(run.fingerprint),
        "notes": _plain(run.notes),
    }


def _occlusion(one: Occlusion) -> dict[str, Any]:
    return {
        "images": _plain(one.places),
        "correlations": _plain(one.correlations),
        "agreement": interval(one.agreement) if one.agreement else None,
    }


def _disagreement(one: Disagreement) -> dict[str, Any]:
    return {
        "images": one.images,
        "lost": one.lost,
        "gained": one.gained,
        "others": one.others,
        "examples": [asdict(example) for example in one.examples],
    }


def _scenario(run: Run) -> dict[str, Any]:
    """Return what a scenario has beside its name: the rate of a stream, the batch of an offline load."""
    found = {"frame_rate_hz": run.case.frame_rate_hz, "batch": run.case.batch}
    return {name: value for name, value in found.items() if value is not None}


def _reasons(run: Run) -> list[str]:
    return [*map(str, run.reasons), *([_QUICK] if run.quick else [])]


def _measurement(one: Measurement) -> dict[str, Any]:
    reason = absence(one)
    if reason:
        return {"absent": reason}
    found = {
        "values": _plain(one.values),
        "p50": float(np.median(one.values)),
        "p90": percentile(one.values, 0.9),
        "p99": percentile(one.values, 0.99),
        "p90_bound": percentile_bound(one.values, 0.9),
        "p99_bound": percentile_bound(one.values, 0.99),
        "method": one.method,
    }
    if one.rounds is not None:
        found["rounds"] = _plain(one.rounds)
    if one.estimate is not None:
        found["estimate"] = interval(one.estimate)
    return {**found, "estimated": True} if one.estimated else found


def _comparison(one: Comparison) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "baseline": one.baseline,
        "run": one.run,
        "change": interval(one.change) if one.change is not None else None,
        "verdict": one.verdict.value,
        "validity": one.validity.value,
        "control": interval(one.control) if one.control is not None else None,
        "reason": one.reason,
    }


def interval(one: Estimate) -> dict[str, Any]:
    """Return a number with its uncertainty as values that JSON holds; what is not finite is None."""
    return {name: _number(getattr(one, name)) for name in ("point", "low", "high", "confidence")}


def _number(value: Any) -> Any:
    """Return a finite number as it is, anything else as None."""
    return value if value is not None and math.isfinite(value) else None


def moment(at: datetime) -> str:
    """Return a moment in UTC, as exports spell it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> Any:
    """Return `value` as JSON holds it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, int | str | None) else str(value)
