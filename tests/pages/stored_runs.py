"""Runs as the store gives them back, made with seeded random numbers: what the report is tested and looked at with."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from harness.model import (
    Campaign,
    Comparison,
    Conditions,
    Criterion,
    Estimate,
    IntArray,
    Judgement,
    Measurement,
    Outcome,
    Run,
    Validity,
    Verdict,
)
from harness.page import Report

STARTED = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
CLASSES = ("normal", "cyst", "solid")
ACCEPT = (
    {"metric": "sensitivity", "rule": "non_inferior_by", "bound": 0.05},
    {"metric": "specificity", "rule": "non_inferior_by", "bound": 0.05},
    {"metric": "latency_ratio", "rule": "max", "bound": 1.0},
    {"metric": "latency_p90_s", "rule": "max", "bound": 0.033},
)
SUITE: dict[str, Any] = {
    "title": "Ultrasound lesions: normal, cyst or solid",
    "task": {"kind": "classification", "positive": "solid"},
    "load": {
        "scenario": "single_stream", "threads": 1, "batch": 1, "frame_rate_hz": None, "accelerator": "",
        "precision": 0.02, "margin": 0.02, "max_duration_s": 60.0,
    },
    "accept": list(ACCEPT),
    "baseline": "resnet18-fp32",
    "data": {
        "source": "phantom", "split": "test", "synthetic": True, "samples": 900, "classes": list(CLASSES),
        "positive_ratio": 1 / 3,
        "description": "Synthetic ultrasound phantoms, 64 × 64, no patient and no scanner involved.",
    },
    "confidential": False,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """What a made-up variant is like, relative to its baseline."""

    variant: str
    speed: float
    size_bytes: int
    hit_rate: float
    memory: float = 1.0
    recipe: str | None = None
    noise: float = 0.03


ONNX = (
    Recipe("resnet18-fp32", 1.0, 2_816_000, 0.830),
    Recipe("resnet18-int8", 0.47, 742_000, 0.826, 0.91, "quantize_int8"),
    Recipe("resnet18-int4", 3.20, 418_000, 0.795, 0.98, "quantize_int4"),
    Recipe("resnet18-pruned-filters", 0.61, 1_204_000, 0.760, 0.93, "prune_filters"),
    Recipe("resnet18-pruned-magnitude", 1.005, 2_816_000, 0.822, 1.0, "prune_magnitude", 0.06),
    Recipe("mobilenet-distilled", 0.52, 911_000, 0.828, 0.95, "distill"),
)
LITERT = (
    Recipe("resnet18-fp32", 1.0, 2_822_000, 0.830),
    Recipe("resnet18-int8", 0.71, 751_000, 0.828, 0.88, "quantize_int8"),
    Recipe("resnet18-int4", 2.40, 430_000, 0.801, 0.90, "quantize_int4"),
)


def latencies(rng: np.random.Generator, base_s: float, recipe: Recipe) -> Measurement:
    """Return 3 launches of 20 rounds of 15 samples with a heavy right tail."""
    launches, rounds, size = 3, 20, 15
    drift = np.repeat(1 + 0.02 * rng.standard_normal(launches * rounds), size)
    values = base_s * recipe.speed * drift * (1 + recipe.noise * rng.gamma(1.2, 1.0, launches * rounds * size))
    starts = np.arange(launches * rounds) * size
    index: IntArray = np.column_stack([np.repeat(np.arange(launches), rounds), starts, starts + size]).astype(np.int64)
    return Measurement("latency_s", "s", values, rounds=index, method="CLOCK_MONOTONIC")


def measurements(rng: np.random.Generator, base_s: float, recipe: Recipe) -> dict[str, Measurement]:
    """Return what one run measured."""

    def some(metric: str, unit: str, middle: float, count: int, spread: float) -> Measurement:
        return Measurement(metric, unit, middle * (1 + spread * rng.standard_normal(count)), method="CLOCK_MONOTONIC")

    peak = (38e6 + 4 * recipe.size_bytes) * recipe.memory
    latency = latencies(rng, base_s, recipe)
    return {
        "latency_s": latency,
        "load_s": some("load_s", "s", 0.018 + recipe.size_bytes * 4e-9, 5, 0.05),
        "first_inference_s": some("first_inference_s", "s", base_s * recipe.speed * 3, 5, 0.1),
        "process_start_s": some("process_start_s", "s", 0.21, 5, 0.04),
        "peak_memory_bytes": replace(some("peak_memory_bytes", "B", peak, 3, 0.004), method="VmHWM"),
        "peak_pss_bytes": replace(some("peak_pss_bytes", "B", peak * 0.82, 3, 0.004), method="smaps_rollup"),
        "throughput_hz": some("throughput_hz", "Hz", 1 / float(np.median(latency.values)), 3, 0.01),
        "energy_j": Measurement("energy_j", "J", absent_reason="no meter configured for this device"),
    }


def predictions(rng: np.random.Generator, labels: IntArray, hit_rate: float) -> IntArray:
    """Return predicted classes that are right with probability `hit_rate`."""
    hard = rng.random(len(labels))
    wrong = (labels + rng.integers(1, len(CLASSES), len(labels))) % len(CLASSES)
    found: IntArray = np.where(hard < hit_rate, labels, wrong)
    return found


def share(hits: float, total: int, method: str = "Wilson") -> Estimate:
    """Return a proportion with a normal interval, good enough to draw."""
    point = hits / total
    half = 1.96 * float(np.sqrt(max(point * (1 - point), 1e-4) / total))
    return Estimate(point, max(0.0, point - half), min(1.0, point + half), 0.95, method)


def accuracies(confusion: IntArray, agreement: float) -> dict[str, Estimate]:
    """Return every accuracy a classification run carries."""
    total, positive = int(confusion.sum()), CLASSES.index("solid")
    hits = int(confusion[positive, positive])
    actual, called = int(confusion[positive].sum()), int(confusion[:, positive].sum())
    accuracy = share(int(np.trace(confusion)), total)
    return {
        "accuracy": accuracy,
        "sensitivity": share(hits, actual),
        "specificity": share(total - actual - called + hits, total - actual),
        "precision": share(hits, called),
        "f1": share(2 * hits, actual + called, "bootstrap"),
        "macro_f1": replace(accuracy, method="bootstrap"),
        "balanced_accuracy": replace(accuracy, method="bootstrap"),
        "auroc": Estimate(accuracy.point + 0.1, accuracy.low + 0.1, accuracy.high + 0.1, 0.95, "DeLong"),
        "brier": Estimate(0.082, 0.075, 0.090, 0.95, "bootstrap"),
        "calibration_error": Estimate(0.031, 0.022, 0.045, 0.95, "bootstrap"),
        "agreement": share(agreement * total, total),
    }


def run_of(recipe: Recipe, runtime: str, format_: str, base_s: float, seed: int) -> Run:
    """Return one run on the device `pi5`."""
    rng = np.random.default_rng(seed)
    labels: IntArray = np.arange(900, dtype=np.int64) % len(CLASSES)
    called = predictions(np.random.default_rng(11), labels, recipe.hit_rate)  # the same images are hard for every model
    confusion = np.zeros((3, 3), np.int64)
    np.add.at(confusion, (labels, called), 1)
    baseline = recipe.recipe is None
    name = runtime.partition("==")[0]
    return Run(
        id=f"{name}-{recipe.variant}",
        campaign="2026-11-21T20-00-00",
        started_at=STARTED + timedelta(seconds=seed),
        case={
            "suite": "ultrasound", "variant": recipe.variant, "device": "pi5", "runtime": runtime,
            "scenario": "single_stream", "threads": 1, "id": f"suites/ultrasound.toml::{recipe.variant}[{name}]@pi5",
        },
        variant={
            "sha256": hashlib.sha256(f"{name}{recipe.variant}".encode()).hexdigest(), "size_bytes": recipe.size_bytes,
            "recipe": recipe.recipe, "format": format_, "parent": "" if baseline else "resnet18-fp32",
        },
        measurements=measurements(rng, base_s, recipe),
        accuracy=accuracies(confusion, 1.0 if baseline else 0.8 + 0.2 * recipe.hit_rate),
        conditions=Conditions(
            before={"temperature_c": 47.2, "governor": "performance", "frequency_hz": 2.4e9, "load_average": 0.12},
            during=tuple({"at_s": 10.0 * i, "temperature_c": 47.2 + 0.8 * i} for i in range(8)),
            after={"temperature_c": 53.1, "governor": "performance", "frequency_hz": 2.4e9, "load_average": 0.97},
        ),
        fingerprint={
            "soc": "BCM2712", "cores": 4, "memory_bytes": 8_000_000_000, "os": "Debian GNU/Linux 12",
            "kernel": "6.6.51-v8", "runtime": name, "runtime_version": runtime.partition("==")[2],
            "agent": "0.1.0", "governor": "performance", "provider": "CPUExecutionProvider",
        },
        validity=Validity.VALID,
        confusion=confusion,
        classes=CLASSES,
        labels=labels,
        is_baseline=baseline,
        notes={"rounds_marked": 2, "launches": 3, "page_cache": "warm", "rounds": 60},
    )  # fmt: skip


def _ratio(metric: str, baseline: Run, run: Run, point: float, spread: float) -> Comparison:
    change = Estimate(point, point * (1 - spread), point * (1 + spread), 0.95, "quantile confidence sequence")
    if change.high < 1 and point < 0.98:
        verdict = Verdict.IMPROVED
    elif change.low > 1 and point > 1.02:
        verdict = Verdict.REGRESSED
    elif change.low > 0.98 and change.high < 1.02:
        verdict = Verdict.EQUIVALENT
    else:
        verdict = Verdict.INCONCLUSIVE
    return Comparison(metric, baseline.id, run.id, change, verdict)


def comparisons_of(baseline: Run, run: Run) -> list[Comparison]:
    """Return every comparison of a run with its baseline."""

    def typical(of: Run, metric: str) -> float:
        return float(np.median(of.measurements[metric].values))

    found = [
        _ratio(name, baseline, run, typical(run, metric) / typical(baseline, metric), spread)
        for name, metric, spread in (
            ("latency_ratio", "latency_s", 0.025),
            ("memory_ratio", "peak_memory_bytes", 0.01),
            ("load_ratio", "load_s", 0.06),
            ("first_inference_ratio", "first_inference_s", 0.08),
        )
    ]
    found.append(_ratio("size_ratio", baseline, run, run.variant["size_bytes"] / baseline.variant["size_bytes"], 0.0))
    reason = "no meter configured for this device"
    found.append(Comparison("energy_ratio", baseline.id, run.id, None, Verdict.INCOMPARABLE, reason))
    for metric in ("accuracy", "sensitivity", "specificity", "f1", "auroc"):
        point = run.accuracy[metric].point - baseline.accuracy[metric].point
        half = 0.012 + 0.3 * abs(point)
        change = Estimate(point, point - half, point + half, 0.95, "paired score")
        verdict = Verdict.REGRESSED if change.high < 0 and point < -0.02 else Verdict.INCONCLUSIVE
        verdict = Verdict.EQUIVALENT if change.low > -0.02 and change.high < 0.02 else verdict
        found.append(Comparison(metric, baseline.id, run.id, change, verdict))
    return found


def _judged(run: Run, changes: list[Comparison]) -> tuple[Judgement, ...]:
    by_metric = {change.metric: change for change in changes}
    lines = []
    for line in ACCEPT:
        criterion = Criterion(str(line["metric"]), str(line["rule"]), float(str(line["bound"])))
        change = by_metric.get(criterion.metric)
        if criterion.metric == "latency_p90_s":
            worst = float(np.quantile(run.measurements["latency_s"].values, 0.9))
            passed = worst <= criterion.bound
        elif change is None or change.change is None:
            continue
        elif criterion.rule == "non_inferior_by":
            worst, passed = change.change.low, change.change.low >= -criterion.bound
        else:
            worst, passed = change.change.high, change.change.high <= criterion.bound
        word = "holds" if passed else "fails"
        lines.append(
            Judgement(criterion, passed, f"{criterion.metric} {word}: {worst:.4g} against {criterion.bound:g}")
        )
    return tuple(lines)


def outcome_of(run: Run, changes: list[Comparison], xfail: str = "") -> Outcome:
    """Return how a case ended by the suite's `accept`."""
    judgements = _judged(run, changes)
    failed = [judgement.message for judgement in judgements if not judgement.passed]
    status = "xfailed" if failed and xfail else "failed" if failed else "passed"
    message = xfail if status == "xfailed" else "; ".join(failed)
    return Outcome(str(run.case["id"]), status, run.id, message, judgements)


def report(*, quick: bool = False, renamed: dict[str, str] | None = None) -> Report:
    """Return a full campaign: 6 variants with onnxruntime and 3 with LiteRT; one invalid, one error, one xfail."""
    runs: list[Run] = []
    comparisons: list[Comparison] = []
    outcomes: list[Outcome] = []
    for recipes, runtime, format_, base_s in (
        (ONNX, "onnxruntime==1.31.1", "onnx", 6.0e-3),
        (LITERT, "ai-edge-litert==2.3.0", "tflite", 5.5e-3),
    ):
        group = [
            run_of(recipe, runtime, format_, base_s, 7 * i + int(base_s * 1e6)) for i, recipe in enumerate(recipes)
        ]
        group = [_renamed(run, renamed or {}) for run in group]
        for run in group:
            if "int4" in run.id and format_ == "tflite":
                run = replace(
                    run, validity=Validity.INVALID, reasons=("the sentinel drifted by 14 % in 31 of 60 rounds",)
                )
            runs.append(run)
            changes = [] if run.is_baseline or run.validity is Validity.INVALID else comparisons_of(group[0], run)
            comparisons += changes
            if run.validity is Validity.INVALID:
                outcomes.append(Outcome(str(run.case["id"]), "failed", run.id, "the run is invalid: it proves nothing"))
            else:
                known = "int4 kernels cost time on this kind of CPU" if "int4" in run.id else ""
                outcomes.append(outcome_of(run, changes, known))
    broken = "models/resnet18_broken.onnx: not an ONNX file (bad magic); build it again with `edgeward build`"
    outcomes.append(Outcome("suites/ultrasound.toml::resnet18-broken[onnxruntime]@pi5", "error", "", broken))
    return Report(campaign(quick=quick), tuple(runs), tuple(comparisons), tuple(outcomes))


def _renamed(run: Run, names: dict[str, str]) -> Run:
    variant = str(run.case["variant"])
    return replace(run, case={**run.case, "variant": names.get(variant, variant)})


def campaign(*, quick: bool = False) -> Campaign:
    """Return what was asked for."""
    return Campaign(
        id="2026-11-21T20-00-00",
        started_at=STARTED,
        command="pytest suites/ultrasound.toml --device pi5",
        suites={"ultrasound": SUITE},
        environment={"edgeward": "0.1.0", "python": "3.11.7", "system": "Linux 6.1 x86_64"},
        quick=quick,
    )


def nothing_but_an_error() -> Report:
    """Return a campaign whose only case never ran."""
    message = "pi5: no answer from pi5.lab:22 within 15 s; check that the device is on and the address is right"
    outcome = Outcome("suites/ultrasound.toml::resnet18-fp32@pi5", "error", "", message)
    return Report(campaign(), (), (), (outcome,))
