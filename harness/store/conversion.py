"""Nouns to rows and back: nothing is lost on the way, an infinite end of an interval neither.

Where a column of the first version holds a line of text, its structure is kept there as JSON.
"""

from __future__ import annotations

import io
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.model import (
    Campaign,
    Circumstance,
    Comparison,
    Condition,
    Conditions,
    Criterion,
    Disagreement,
    Estimate,
    Example,
    Judgement,
    MeasuredCase,
    Measurement,
    Occlusion,
    Omission,
    Outcome,
    Probe,
    Reading,
    Reason,
    Run,
    Step,
    Subgroup,
    Validity,
    Variant,
    Verdict,
)
from harness.redaction import cleaned, redacted
from harness.store import legacy
from harness.store.tables import (
    CampaignRow,
    ComparisonRow,
    ExampleRow,
    MeasurementRow,
    OcclusionRow,
    OutcomeRow,
    ProbeRow,
    RunRow,
)

_NON_FINITE = "non_finite"
#: Arrays larger than this are compressed, and begin so.
_LARGE_BYTES = 16_000_000
_COMPRESSED = b"zlib:"
#: Keys of a case that are always kept, as they were in version 0.1.
_NAMES = ("id", "suite", "variant", "device", "runtime", "scenario", "threads", "task")

#: The arrays of an `Occlusion`.
_OCCLUDED = ("places", "classes", "maps", "pictures", "correlations")


def run_row(run: Run) -> RunRow:
    """Return a run as rows."""
    document = {
        "case": _case_document(run.case),
        "variant": _variant_document(run.variant),
        "accuracy": {name: asdict(estimate) for name, estimate in run.accuracy.items()},
        "conditions": cleaned(asdict(run.conditions)),
        "fingerprint": cleaned(run.fingerprint),
        "reasons": cleaned([asdict(reason) for reason in run.reasons]),
        "classes": list(run.classes),
        "is_baseline": run.is_baseline,
        "quick": run.quick,
        "notes": cleaned(run.notes),
        "estimates": {m.metric: asdict(m.estimate) for m in run.measurements.values() if m.estimate},
        "subgroups": [asdict(one) for one in run.subgroups],
    }
    return RunRow(
        id=run.id,
        campaign=run.campaign,
        suite=run.case.suite,
        device=run.case.device,
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
                method=redacted(m.method),
                absent_reason=redacted(m.absent_reason),
                estimated=m.estimated,
                values=_pack(m.values),
                rounds=_pack(m.rounds),
            )
            for m in run.measurements.values()
        ],
        probes=[_probe_row(place, probe) for place, probe in enumerate(run.probes)],
        occlusion=_occlusion_row(run.occlusion) if run.occlusion else None,
        example=_example_row(run.disagreement) if run.disagreement else None,
    )


def outline_of(row: RunRow) -> Run:
    """Return the run that rows hold, without measurements, outputs, labels, probes, maps and examples: none is read."""
    d = restored(row.document)
    conditions, case = d.pop("conditions"), d.pop("case")
    reasons = tuple(_reason(one) for one in cleaned(d.pop("reasons")))
    d.pop("estimates", None)
    return Run(
        id=row.id,
        campaign=row.campaign,
        started_at=utc(row.started_at),
        measurements={},
        accuracy={name: _estimate(fields) for name, fields in d.pop("accuracy").items()},
        conditions=Conditions(conditions["before"], tuple(conditions["during"]), conditions["after"]),
        validity=Validity(row.validity),
        case=MeasuredCase(**{"id": "", **case}),
        variant=_variant(case["variant"], d.pop("variant")),
        reasons=reasons,
        notes=legacy.notes(d.pop("notes"), reasons),
        classes=tuple(d.pop("classes")),
        subgroups=tuple(_subgroup(one) for one in d.pop("subgroups", ())),
        **d,
    )


def run_of(row: RunRow) -> Run:
    """Return the run that rows hold."""
    estimates = {name: _estimate(fields) for name, fields in restored(row.document.get("estimates", {})).items()}
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
    return replace(
        outline_of(row),
        measurements=measurements,
        confusion=_unpack(row.confusion),
        outputs=_unpack(row.outputs),
        labels=_unpack(row.labels),
        probes=tuple(_probe(one) for one in row.probes),
        occlusion=_occlusion(row.occlusion) if row.occlusion else None,
        disagreement=_disagreement(row.example) if row.example else None,
    )


def _probe_row(place: int, probe: Probe) -> ProbeRow:
    whole = {name: value for name, value in asdict(probe).items() if name != "outputs"}
    return ProbeRow(place=place, document=plain(whole), outputs=_pack(probe.outputs))


def _probe(row: ProbeRow) -> Probe:
    d = restored(row.document)
    reading = d["reading"] and Reading(**{**d["reading"], "classes": tuple(d["reading"]["classes"])})
    change = d["change"] and _estimate(d["change"])
    condition = Condition(**d["condition"])
    return Probe(condition, _unpack(row.outputs), d["metric"], _estimate(d["level"]), change, reading)


def _occlusion_row(one: Occlusion) -> OcclusionRow:
    arrays = {name: _pack(getattr(one, name)) for name in _OCCLUDED}
    return OcclusionRow(document=plain({"agreement": one.agreement and asdict(one.agreement)}), **arrays)


def _occlusion(row: OcclusionRow) -> Occlusion:
    agreement = restored(row.document)["agreement"]
    arrays = {name: _unpack(getattr(row, name)) for name in _OCCLUDED}
    return Occlusion(**arrays, agreement=_estimate(agreement) if agreement else None)


def _example_row(one: Disagreement) -> ExampleRow:
    whole = {name: value for name, value in asdict(replace(one, pictures=None)).items() if name != "pictures"}
    return ExampleRow(document=plain(whole), pictures=_pack(one.pictures))


def _disagreement(row: ExampleRow) -> Disagreement:
    d = restored(row.document)
    examples, unseen = tuple(Example(**one) for one in d.pop("examples")), d.pop("unseen")
    pictures = _unpack(row.pictures)
    return Disagreement(**d, examples=examples, pictures=pictures, unseen=Reason(**unseen) if unseen else None)


def comparison_row(campaign: str, c: Comparison) -> ComparisonRow:
    """Return a comparison as a row."""
    return ComparisonRow(
        run=c.run,
        baseline=c.baseline,
        metric=c.metric,
        campaign=campaign,
        verdict=c.verdict.value,
        reason=_packed(
            reasons=cleaned(_plain_items(c.reasons)),
            circumstances=cleaned(_plain_items(c.circumstances)),
            validity=c.validity.value,
            control=c.control and asdict(c.control),
        ),
        change=plain(asdict(c.change)) if c.change else None,
    )


def comparison_of(row: ComparisonRow) -> Comparison:
    """Return the comparison that a row holds."""
    change = _estimate(restored(row.change)) if row.change else None
    kept = _unpacked(row.reason)
    reasons, around = legacy.comparison(row.reason) if kept is None else (
        tuple(_reason(one) for one in kept["reasons"]), tuple(Circumstance(**one) for one in kept["circumstances"])
    )  # fmt: skip
    # Before there were controls, a comparison was as valid as the runs that it is of.
    old = Validity.DEGRADED if any(one.detail for one in around) else Validity.VALID
    validity, control = (Validity(kept["validity"]), kept["control"]) if kept and "validity" in kept else (old, None)
    shown = _estimate(control) if control else None
    return Comparison(row.metric, row.baseline, row.run, change, Verdict(row.verdict), reasons, around, validity, shown)


def outcome_row(campaign: str, outcome: Outcome) -> OutcomeRow:
    """Return an outcome as a row."""
    return OutcomeRow(
        campaign=campaign,
        case=outcome.case,
        status=outcome.status,
        run=outcome.run,
        message=_packed(
            reasons=cleaned(_plain_items(outcome.reasons)),
            about=outcome.about and _case_document(outcome.about),
            **({"taken_over": utc(outcome.taken_over).isoformat()} if outcome.taken_over else {}),
        ),
        judgements=[plain(asdict(judgement)) for judgement in outcome.judgements],
    )


def outcome_of(row: OutcomeRow) -> Outcome:
    """Return the outcome that a row holds."""
    judgements = restored(row.judgements)
    judged = tuple(Judgement(**{**one, "criterion": Criterion(**one["criterion"])}) for one in judgements)
    kept, taken_over = _unpacked(row.message), None
    if kept is None:
        reasons, about = legacy.outcome(row.message, judgements), legacy.case(row.case)
    else:
        reasons = tuple(_reason(one) for one in cleaned(kept["reasons"]))
        about = MeasuredCase(**kept["about"]) if kept["about"] else None
        taken_over = datetime.fromisoformat(kept["taken_over"]) if "taken_over" in kept else None
    return Outcome(row.case, row.status, row.run, reasons, judged, about, taken_over)


def campaign_row(campaign: Campaign) -> CampaignRow:
    """Return a campaign as a row."""
    whole = {"command": campaign.command, "suites": campaign.suites, "environment": campaign.environment}
    document = cleaned(whole)
    moment = utc(campaign.started_at)
    return CampaignRow(id=campaign.id, started_at=moment, quick=campaign.quick, document=plain(document))


def campaign_of(row: CampaignRow) -> Campaign:
    """Return the campaign that a row holds."""
    # Once more: a store of before may hold what is hidden today.
    return Campaign(id=row.id, started_at=utc(row.started_at), quick=row.quick, **cleaned(restored(row.document)))


def _case_document(case: MeasuredCase) -> dict[str, Any]:
    """Return a case as JSON holds it; what a scenario does not have is left out."""
    return {name: value for name, value in asdict(case).items() if value is not None and (value or name in _NAMES)}


def _variant_document(one: Variant) -> dict[str, Any]:
    kept = {name: getattr(one, name) for name in ("sha256", "size_bytes", "format", "parent")}
    return {**kept, "steps": cleaned([asdict(step) for step in one.steps]), "file": one.path.name}


def _variant(name: str, fields: Mapping[str, Any]) -> Variant:
    return Variant(
        id=name,
        format=fields.get("format") or "",
        path=Path(fields.get("file") or ""),
        sha256=fields.get("sha256") or "",
        size_bytes=fields.get("size_bytes") or 0,
        steps=tuple(Step(**step) for step in fields["steps"]) if "steps" in fields else legacy.steps(fields),
        parent=fields.get("parent") or "",
    )


def _estimate(fields: Mapping[str, Any]) -> Estimate:
    return Estimate(**{**fields, "omits": Omission(fields.get("omits", ""))})


def _subgroup(fields: Mapping[str, Any]) -> Subgroup:
    estimates = {name: _estimate(one) for name, one in fields["estimates"].items()}
    return Subgroup(**{**fields, "estimates": estimates})


def _reason(kept: Any) -> Reason:
    """Return a reason; version 0.1 kept a text alone."""
    return Reason(kept) if isinstance(kept, str) else Reason(**kept)


def _packed(**parts: Any) -> str:
    """Return parts as the JSON that stands in a column of text."""
    return json.dumps(plain({name: _plain_items(part) for name, part in parts.items()}), ensure_ascii=False)


def _plain_items(part: Any) -> Any:
    return [asdict(one) for one in part] if isinstance(part, tuple) else part


def _unpacked(text: str) -> dict[str, Any] | None:
    """Return what `_packed` was given; None for "" and for a line that version 0.1 wrote."""
    if not text.startswith('{"reasons": '):
        return None
    found: dict[str, Any] = restored(json.loads(text))
    return found


def _pack(array: Any) -> Any:
    if array is None:
        return None
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    raw = file.getvalue()
    # Masks of a large split: SQLite keeps at most a gigabyte in a cell, and they shrink to a few megabytes.
    return raw if len(raw) <= _LARGE_BYTES else _COMPRESSED + zlib.compress(raw, 1)


def _unpack(raw: bytes | None) -> Any:
    if raw is None:
        return None
    whole = zlib.decompress(raw[len(_COMPRESSED) :]) if raw.startswith(_COMPRESSED) else raw
    return np.load(io.BytesIO(whole), allow_pickle=False)


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
    """Return what `plain` was given, as far as JSON keeps it: tuples stay lists."""
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
