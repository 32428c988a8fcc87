"""The export has exactly the shape that suites/README.md promises to other programs."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from harness.compare import judge, margin
from harness.errors import HarnessError
from harness.model import (
    Campaign,
    Comparison,
    Condition,
    Conditions,
    Criterion,
    Disagreement,
    Estimate,
    Example,
    MeasuredCase,
    Measurement,
    Occlusion,
    Outcome,
    Probe,
    Reason,
    Run,
    Step,
    Subgroup,
    Validity,
    Variant,
    Verdict,
)
from harness.store import export

NUMBER = {"type": ["number", "null"]}
ESTIMATE = {
    "type": "object",
    "properties": {"point": NUMBER, "low": NUMBER, "high": NUMBER, "confidence": {"type": "number"}},
    "required": ["point", "low", "high", "confidence"],
    "additionalProperties": False,
}
MEASUREMENT = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"absent": {"type": "string", "minLength": 1}},
            "required": ["absent"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "values": {"type": "array", "items": {"type": "number"}, "minItems": 1},
                "p50": {"type": "number"},
                "p90": NUMBER,
                "p99": NUMBER,
                "p90_bound": NUMBER,
                "p99_bound": NUMBER,
                "method": {"type": "string"},
                "estimated": {"const": True},
                "rounds": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
            },
            "required": ["values", "p50", "p90", "p99", "method"],
            "additionalProperties": False,
        },
    ]
}


def exactly(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
#: suites/README.md, `edgeward export --format json`, written as a schema: these keys and no others.
FORMAT = exactly(
    schema={"const": 1},
    edgeward=TEXT,
    campaigns={
        "type": "array",
        "items": exactly(
            id=TEXT,
            started_at={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
            command=TEXT,
            quick={"type": "boolean"},
            environment={"type": "object"},
            suites={
                "type": "object",
                "additionalProperties": {
                    "properties": {"margins": {"type": "object", "additionalProperties": {"type": "number"}}},
                    "required": ["margins", "accept"],
                },
            },
            outcomes={
                "type": "array",
                "items": exactly(
                    case=TEXT,
                    status={"enum": ["passed", "failed", "error", "xfailed", "xpassed"]},
                    run=TEXT,
                    reasons={"type": "array", "items": TEXT},
                    judgements={
                        "type": "array",
                        "items": exactly(
                            metric=TEXT,
                            rule=TEXT,
                            bound={"type": "number"},
                            word={"enum": ["met", "broken", "undecided"]},
                            passed={"type": "boolean"},
                            message=TEXT,
                        ),
                    },
                ),
            },
        ),
    },
    runs={
        "type": "array",
        "items": exactly(
            id=TEXT,
            campaign=TEXT,
            started_at={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
            validity={"enum": ["valid", "degraded", "invalid"]},
            reasons={"type": "array", "items": TEXT},
            is_baseline={"type": "boolean"},
            case=exactly(suite=TEXT, variant=TEXT, device=TEXT, runtime=TEXT, scenario=TEXT, threads=WHOLE),
            variant=exactly(
                sha256=TEXT,
                size_bytes=WHOLE,
                recipe={"type": ["string", "null"]},
                format=TEXT,
                steps={"type": "array", "items": exactly(recipe=TEXT, parameters={"type": "object"})},
            ),
            measurements={"type": "object", "additionalProperties": MEASUREMENT},
            accuracy={
                "type": "object",
                "properties": {"n": {"type": ["integer", "null"]}},
                "additionalProperties": ESTIMATE,
            },
            subgroups={
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"by": TEXT, "name": TEXT, "n": WHOLE, "patients": {"type": ["integer", "null"]}},
                    "required": ["by", "name", "n", "patients"],
                    "additionalProperties": ESTIMATE,
                },
            },
            robustness={
                "type": "array",
                "items": exactly(
                    kind={"enum": ["corruption", "attack"]},
                    name=TEXT,
                    severity=WHOLE,
                    pixels_sha256=TEXT,
                    metric=TEXT,
                    level=ESTIMATE,
                    change={"oneOf": [ESTIMATE, {"type": "null"}]},
                ),
            },
            occlusion={
                "oneOf": [
                    {"type": "null"},
                    exactly(
                        images={"type": "array", "items": WHOLE},
                        correlations={"type": ["array", "null"], "items": {"type": "number"}},
                        agreement={"oneOf": [ESTIMATE, {"type": "null"}]},
                    ),
                ]
            },
            disagreement={
                "oneOf": [
                    {"type": "null"},
                    exactly(
                        images=WHOLE,
                        lost=WHOLE,
                        gained=WHOLE,
                        others=WHOLE,
                        examples={
                            "type": "array",
                            "items": exactly(
                                place=WHOLE,
                                truth=TEXT,
                                baseline=TEXT,
                                variant=TEXT,
                                baseline_share=NUMBER,
                                variant_share=NUMBER,
                            ),
                        },
                    ),
                ]
            },
            conditions={"type": "object"},
            fingerprint={"type": "object"},
            notes={"type": "object"},
        ),
    },
    comparisons={
        "type": "array",
        "items": exactly(
            metric=TEXT,
            baseline=TEXT,
            run=TEXT,
            change={"oneOf": [ESTIMATE, {"type": "null"}]},
            verdict={
                "enum": ["improved", "regressed", "better", "worse", "equivalent", "inconclusive", "incomparable"]
            },
            validity={"enum": ["valid", "degraded", "invalid"]},
            control={"oneOf": [ESTIMATE, {"type": "null"}]},
            reason=TEXT,
        ),
    },
)

RUN = Run(
    id="aaaa1111",
    campaign="c1",
    started_at=datetime(2026, 11, 21, 21, 0, tzinfo=timezone(timedelta(hours=1))),
    case=MeasuredCase("suites/lesions.toml::int8@pi5", "lesions", "int8", "pi5", "onnxruntime==1.31.1"),
    variant=Variant("int8", "onnx", Path(), "0" * 64, 4096, (Step("quantize_int8"),), "fp32"),
    measurements={
        "latency_s": Measurement("latency_s", "s", np.linspace(0.01, 0.02, 101), method="CLOCK_MONOTONIC"),
        "load_s": Measurement("load_s", "s", np.array([0.2, 0.1, 0.3]), method="CLOCK_MONOTONIC"),
        "peak_memory_bytes": Measurement("peak_memory_bytes", "B", np.array([5e6, 6e6]), method="VmHWM"),
        "energy_j": Measurement("energy_j", "J", absent_reason="no meter configured"),
        "idle_w": Measurement("idle_w", "W", np.array([1.5]), method="model of the processor", estimated=True),
    },
    accuracy={"accuracy": Estimate(0.99, 0.98, 1.0, 0.95, "Wilson"), "auroc": Estimate(0.9, float("nan"), 1.0)},
    conditions=Conditions(before={"temperature_c": np.float64(40.5)}, during=({"at_s": 1.0},), after={}),
    fingerprint={"soc": "BCM2712", "cores": np.int64(4), "flags": ("a", "b"), "clock": float("inf")},
    validity=Validity.DEGRADED,
    reasons=(Reason('hot, and "quoted"'),),
    labels=np.zeros(500, np.int64),
    subgroups=(Subgroup("site", "Basel", 30, None, {"accuracy": Estimate(0.9, 0.7, 1.0)}),),
    probes=(
        Probe(Condition("corruption", "gain", 3, "0" * 64), np.zeros((500, 2)), "accuracy", Estimate(0.8, 0.7, 0.9)),
    ),
    occlusion=Occlusion(
        places=np.arange(2),
        classes=np.zeros(2, np.int64),
        maps=np.zeros((2, 7, 7), np.float32),
        correlations=np.array([0.5, 0.7]),
        agreement=Estimate(0.6, 0.2, 0.8),
    ),
    disagreement=Disagreement(500, 1, 0, 0, (Example(3, "a", "a", "b", 0.9),), np.zeros((1, 8, 8, 1), np.uint8)),
)
CHANGE = Comparison("latency_ratio", "bbbb", "aaaa1111", Estimate(0.5, 0.48, 0.52), Verdict.IMPROVED)
LINE = Criterion("latency_ratio", "max", 1.0)
CAMPAIGN = Campaign(
    "c1", RUN.started_at, "pytest suites", {"lesions": {"load": {"margin": 0.02}, "accept": [asdict(LINE)]}}
)
NOTHING = Comparison("energy_ratio", "bbbb", "aaaa1111", None, Verdict.INCONCLUSIVE, (Reason("no meter configured"),))


def exported(*runs: Run) -> dict[str, Any]:
    judgements = judge(RUN, [CHANGE, NOTHING], [LINE])
    outcomes = [Outcome(RUN.case.id, "passed", RUN.id, (), judgements)]
    found: dict[str, Any] = json.loads(export.to_json(runs, [CHANGE, NOTHING], [(CAMPAIGN, outcomes)], margin))
    return found


def test_the_json_has_exactly_the_promised_keys() -> None:
    jsonschema.Draft202012Validator(FORMAT).validate(exported(RUN, replace(RUN, accuracy={}, labels=None)))
    jsonschema.Draft202012Validator(FORMAT).validate(exported())


def test_the_json_says_what_was_measured_and_why_the_rest_is_absent() -> None:
    run = exported(RUN)["runs"][0]
    assert run["started_at"] == "2026-11-21T20:00:00Z"
    assert run["measurements"]["latency_s"]["values"] == RUN.measurements["latency_s"].values.tolist()
    assert run["measurements"]["latency_s"]["p50"] == pytest.approx(0.015)
    assert run["measurements"]["latency_s"]["p90"] == pytest.approx(0.019)
    assert run["measurements"]["latency_s"]["p90_bound"] == pytest.approx(0.0198)
    assert run["measurements"]["latency_s"]["p99"] is None, "101 samples are too few for a bound on p99"
    assert run["measurements"]["energy_j"] == {"absent": "no meter configured"}
    assert run["measurements"]["idle_w"]["estimated"] is True
    assert run["accuracy"]["n"] == 500
    assert run["accuracy"]["auroc"]["low"] is None, "JSON has no NaN"
    assert run["conditions"]["before"] == {"temperature_c": 40.5}
    assert run["fingerprint"] == {"soc": "BCM2712", "cores": 4, "flags": ["a", "b"], "clock": None}
    assert [one["change"] for one in exported()["comparisons"]][1] is None


def test_the_json_says_alone_why_a_case_passed() -> None:
    whole = exported(RUN)
    (campaign,) = whole["campaigns"]
    (outcome,) = campaign["outcomes"]
    (judgement,) = outcome["judgements"]
    change = next(one for one in whole["comparisons"] if one["run"] == outcome["run"])["change"]
    assert outcome["status"] == "passed"
    assert (judgement["metric"], judgement["rule"], judgement["word"]) == ("latency_ratio", "max", "met")
    assert change["high"] <= judgement["bound"]
    limit = campaign["suites"]["lesions"]["margins"]["latency_ratio"]
    assert limit == 0.02
    assert change["point"] < 1 - limit, "so it is called improved"


def test_the_json_has_the_rounds_of_each_latency_and_the_notes_of_each_run() -> None:
    table = np.array([[0, 0, 50], [1, 50, 101]])
    latency = replace(RUN.measurements["latency_s"], rounds=table)
    run = exported(replace(RUN, measurements={"latency_s": latency}, notes={"launches": np.int64(2)}))["runs"][0]
    assert run["measurements"]["latency_s"]["rounds"] == table.tolist()
    assert run["notes"] == {"launches": 2}


def test_values_that_are_not_numbers_make_a_measurement_absent() -> None:
    broken = Measurement("latency_s", "s", np.array([0.01, np.nan]), method="clock")
    run = exported(replace(RUN, measurements={"latency_s": broken}))["runs"][0]
    assert run["measurements"]["latency_s"] == {"absent": "1 of 2 values are not numbers"}


def test_a_quick_run_says_so_wherever_it_goes() -> None:
    quick = replace(RUN, quick=True)
    assert any("quick" in reason for reason in exported(quick)["runs"][0]["reasons"])
    assert "quick" in export.to_csv([quick])
    assert "quick" not in export.to_csv([RUN])


def test_csv_has_one_line_a_run_and_empty_cells_for_what_is_absent() -> None:
    other = replace(RUN, id="bbbb2222", accuracy={"accuracy": Estimate(0.5, 0.4, 0.6)})
    rows = list(csv.DictReader(io.StringIO(export.to_csv([RUN, other]))))
    assert [row["run"] for row in rows] == ["aaaa1111", "bbbb2222"]
    first = rows[0]
    assert (first["suite"], first["recipe"], first["validity"]) == ("lesions", "quantize_int8", "degraded")
    assert float(first["latency_p50_s"]) == pytest.approx(0.015)
    assert first["latency_p99_s"] == ""
    assert first["energy_j"] == ""
    assert float(first["load_s"]) == 0.2
    assert float(first["peak_memory_bytes"]) == 6e6
    assert float(first["size_bytes"]) == 4096
    assert (first["accuracy"], first["accuracy_low"], first["auroc_low"]) == ("0.99", "0.98", "")
    assert rows[1]["auroc"] == ""
    assert first["reasons"] == 'hot, and "quoted"'


def test_csv_of_nothing_is_a_line_of_names() -> None:
    assert export.to_csv([]).startswith("run,campaign,started_at,validity,reasons,suite,")
    assert export.to_csv([]).count("\n") == 1


def test_parquet_holds_the_same_table_or_names_what_to_install(tmp_path: Path) -> None:
    file = tmp_path / "runs.parquet"
    try:
        import pyarrow.parquet
    except ImportError:
        with pytest.raises(HarnessError, match="pip install pyarrow"):
            export.to_parquet([RUN], file)
        assert list(tmp_path.iterdir()) == []
    else:
        export.to_parquet([RUN], file)
        assert pyarrow.parquet.read_table(file).to_pylist() == export.table([RUN])


def test_started_at_is_in_utc() -> None:
    moved = replace(RUN, started_at=RUN.started_at.astimezone(UTC))
    assert exported(moved)["runs"][0]["started_at"] == exported(RUN)["runs"][0]["started_at"]
