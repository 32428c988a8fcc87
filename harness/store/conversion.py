"""Nouns to rows and back: nothing is lost on the way, an infinite end of an interval neither."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.model import (
    Campaign,
    Comparison,
    Conditions,
    Criterion,
    Estimate,
    Judgement,
    Measurement,
    Outcome,
    Run,
    Validity,
    Verdict,
)
from harness.store.tables import CampaignRow, ComparisonRow, MeasurementRow, OutcomeRow, RunRow

_NON_FINITE = "non_finite"


def run_row(run: Run) -> RunRow:
    """Return a run as rows."""
    document = {
        "case": run.case,
        "variant": run.variant,
        "accuracy": {name: asdict(estimate) for name, estimate in run.accuracy.items()},
        "conditions": asdict(run.conditions),
        "fingerprint": run.fingerprint,
        "reasons": list(run.reasons),
        "classes": list(run.classes),
        "is_baseline": run.is_baseline,
        "quick": run.quick,
        "notes": run.notes,
        "estimates": {m.metric: asdict(m.estimate) for m in run.measurements.values() if m.estimate},
    }
    return RunRow(
        id=run.id,
        campaign=run.campaign,
        suite=run.case["suite"],
        device=run.case["device"],
        started_at=utc(run.started_at),
        validity=run.validity.value,
        document=plain(document),
        confusion=_pack(run.confusion),
        outputs=_pack(run.outputs),
        labels=_pack(run.labels),
        measurements=[
            MeasurementRow(
                metric=m.metric,
                unit=m.unit,
                method=m.method,
                absent_reason=m.absent_reason,
                estimated=m.estimated,
                values=_pack(m.values),
                rounds=_pack(m.rounds),
            )
            for m in run.measurements.values()
        ],
    )


def run_of(row: RunRow) -> Run:
    """Return the run that rows hold."""
    d = restored(row.document)
    conditions = d.pop("conditions")
    estimates = {name: Estimate(**fields) for name, fields in d.pop("estimates", {}).items()}
    measurements = {
        m.metric: Measurement(
            m.metric,
            m.unit,
            _unpack(m.values),
            _unpack(m.rounds),
            m.method,
            m.absent_reason,
            m.estimated,
            estimates.get(m.metric),
        )
        for m in row.measurements
    }
    return Run(
        id=row.id,
        campaign=row.campaign,
        started_at=utc(row.started_at),
        measurements=measurements,
        accuracy={name: Estimate(**fields) for name, fields in d.pop("accuracy").items()},
        conditions=Conditions(conditions["before"], tuple(conditions["during"]), conditions["after"]),
        validity=Validity(row.validity),
        reasons=tuple(d.pop("reasons")),
        classes=tuple(d.pop("classes")),
        confusion=_unpack(row.confusion),
        outputs=_unpack(row.outputs),
        labels=_unpack(row.labels),
        **d,
    )


def comparison_row(campaign: str, c: Comparison) -> ComparisonRow:
    """Return a comparison as a row."""
    return ComparisonRow(
        run=c.run,
        baseline=c.baseline,
        metric=c.metric,
        campaign=campaign,
        verdict=c.verdict.value,
        reason=c.reason,
        change=plain(asdict(c.change)) if c.change else None,
    )


def comparison_of(row: ComparisonRow) -> Comparison:
    """Return the comparison that a row holds."""
    change = Estimate(**restored(row.change)) if row.change else None
    return Comparison(row.metric, row.baseline, row.run, change, Verdict(row.verdict), row.reason)


def outcome_row(campaign: str, outcome: Outcome) -> OutcomeRow:
    """Return an outcome as a row."""
    return OutcomeRow(
        campaign=campaign,
        case=outcome.case,
        status=outcome.status,
        run=outcome.run,
        message=plain(outcome.message),
        judgements=[plain(asdict(judgement)) for judgement in outcome.judgements],
    )


def outcome_of(row: OutcomeRow) -> Outcome:
    """Return the outcome that a row holds."""
    judged = tuple(
        Judgement(Criterion(**fields["criterion"]), fields["passed"], fields["message"])
        for fields in restored(row.judgements)
    )
    return Outcome(row.case, row.status, row.run, row.message, judged)


def campaign_row(campaign: Campaign) -> CampaignRow:
    """Return a campaign as a row."""
    document = {"command": campaign.command, "suites": campaign.suites, "environment": campaign.environment}
    moment = utc(campaign.started_at)
    return CampaignRow(id=campaign.id, started_at=moment, quick=campaign.quick, document=plain(document))


def campaign_of(row: CampaignRow) -> Campaign:
    """Return the campaign that a row holds."""
    return Campaign(id=row.id, started_at=utc(row.started_at), quick=row.quick, **restored(row.document))


def _pack(array: Any) -> Any:
    if array is None:
        return None
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _unpack(raw: bytes | None) -> Any:
    return None if raw is None else np.load(io.BytesIO(raw), allow_pickle=False)


def plain(value: Any) -> Any:
    """Return `value` as JSON holds it: numpy scalars and tuples become Python's own.

    JSON has no infinities and PostgreSQL refuses them, but an interval may well be open at one end: such numbers become
    {"non_finite": "inf"}, which `restored` undoes.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_NON_FINITE: str(value)}
    if isinstance(value, str):
        # PostgreSQL keeps no NUL in a text; what a device says of itself may have one.
        return value.replace("\x00", "")
    if isinstance(value, Path):
        return str(value)
    return value


def restored(value: Any) -> Any:
    """Return what `plain` was given, as far as JSON can tell: tuples stay lists."""
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {_NON_FINITE}:
        return float(value[_NON_FINITE])
    return {key: restored(item) for key, item in value.items()}


def utc(moment: datetime) -> datetime:
    """Return a stored moment with its zone, which SQLite forgets; everything is written in UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
