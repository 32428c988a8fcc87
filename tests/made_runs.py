"""Runs made of real arrays and recorded noise, for tests of comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.metrics import classification
from harness.model import Answers, Conditions, MeasuredCase, Measurement, Reading, Run, Samples, Task, Validity, Variant

NOISE = np.load(Path(__file__).parent / "unit" / "data" / "rounds_quiet.npy") * 1e-9
CLASSES = ("normal", "cyst", "solid")
SUITE: Mapping[str, Any] = {
    "title": "Lesions",
    "task": {"kind": "classification", "positive": "solid"},
    "load": {"margin": 0.02},
    "accept": [{"metric": "sensitivity", "rule": "non_inferior_by", "bound": 0.03}],
}
ROUNDS = 6
LABELS = np.random.default_rng(0).integers(0, 3, 600)
LOGITS = (3 * np.eye(3)[LABELS] + np.random.default_rng(1).normal(size=(600, 3))).astype(np.float32)


def latency(levels: np.ndarray) -> Measurement:
    rows = np.arange(len(levels))
    table = np.stack([rows // ROUNDS, rows * 10, rows * 10 + 10], axis=1)
    return Measurement("latency_s", "s", np.repeat(levels, 10), table, "CLOCK_MONOTONIC on the device")


def seconds(name: str, *values: float) -> Measurement:
    return Measurement(name, "s", np.array(values))


def a_run(name: str, levels: np.ndarray, **changes: Any) -> Run:
    samples = Samples(np.zeros((600, 1, 1, 1)), LABELS, CLASSES, "synthetic")
    evaluation = classification.evaluate(
        Answers(LOGITS, Reading(kind="logits")), samples, Task("classification", "solid")
    )
    measurements = [
        latency(levels),
        seconds("load_s", 0.10, 0.11, 0.10, 0.12, 0.11),
        seconds("first_inference_s", 0.020, 0.021, 0.022, 0.020, 0.021),
        Measurement("peak_memory_bytes", "B", np.array([200.0e6, 200.4e6, 199.8e6])),
        Measurement("energy_j", "J", absent_reason="no meter configured"),
    ]
    run = Run(
        id=name,
        campaign="c1",
        started_at=datetime(2026, 11, 21, tzinfo=UTC),
        case=MeasuredCase("", "us", name, "pi5", "onnxruntime==1.31.1"),
        variant=Variant(name, "onnx", Path(), name, 44_000_000),
        measurements={m.metric: m for m in measurements},
        accuracy=evaluation.estimates,
        conditions=Conditions(),
        fingerprint={"soc": "BCM2712", "kernel": "6.6", "governor": "performance", "memory_bytes": 8_000_000_000},
        validity=Validity.VALID,
        classes=CLASSES,
        outputs=LOGITS,
        labels=LABELS,
    )
    return replace(run, **changes)


def measured(run: Run, *measurements: Measurement) -> Run:
    return replace(run, measurements={**run.measurements, **{m.metric: m for m in measurements}})


BASELINE = a_run("fp32", NOISE[:72, 2], is_baseline=True)
FASTER = measured(
    a_run("int8", NOISE[:72, 3] / 2, variant=Variant("int8", "onnx", Path(), "int8", 11_000_000)),
    Measurement("peak_memory_bytes", "B", np.array([90.0e6, 90.2e6, 90.1e6])),
)
