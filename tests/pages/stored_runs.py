"""Runs as the store gives them back, made with seeded random numbers: what the report is tested and looked at with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import compare
from harness.metrics import classification
from harness.model import (
    Answers,
    Campaign,
    Comparison,
    Conditions,
    Criterion,
    IntArray,
    MeasuredCase,
    Measurement,
    Outcome,
    Reading,
    Reason,
    Run,
    Samples,
    Step,
    Task,
    Validity,
    Variant,
)
from harness.page import Report

TASK = Task("classification", "solid")
DRIFTED = "the sentinel drifted by 14 % in 31 of 72 rounds"
BROKEN = Reason("models/resnet18_broken.onnx: not an ONNX file (bad magic)", "build it again with `edgeward build`")
XFAIL = "int4 kernels cost time on this kind of CPU"
STARTED = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
CLASSES = ("normal", "cyst", "solid")
ACCEPT: tuple[dict[str, Any], ...] = (
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
    damage: float
    memory: float = 1.0
    recipe: str | None = None
    noise: float = 0.03


ONNX = (
    Recipe("resnet18-fp32", 1.0, 2_816_000, 0.0),
    Recipe("resnet18-int8", 0.47, 742_000, 0.05, 0.91, "quantize_int8"),
    Recipe("resnet18-int4", 3.20, 418_000, 0.9, 0.98, "quantize_int4"),
    Recipe("resnet18-pruned-filters", 0.61, 1_204_000, 1.6, 0.93, "prune_filters"),
    Recipe("resnet18-pruned-magnitude", 1.005, 2_816_000, 0.15, 1.0, "prune_magnitude", 0.06),
    Recipe("mobilenet-distilled", 0.52, 911_000, 0.3, 0.95, "distill"),
)
LITERT = (
    Recipe("resnet18-fp32", 1.0, 2_822_000, 0.0),
    Recipe("resnet18-int8", 0.71, 751_000, 0.05, 0.88, "quantize_int8"),
    Recipe("resnet18-int4", 2.40, 430_000, 0.9, 0.90, "quantize_int4"),
)


def latencies(rng: np.random.Generator, base_s: float, recipe: Recipe) -> Measurement:
    """Return 6 launches of 12 rounds of 15 samples with a heavy right tail."""
    launches, rounds, size = 6, 12, 15
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
        "load_growth_bytes": replace(some("load_growth_bytes", "B", 3.1 * recipe.size_bytes, 3, 0.01), method="VmRSS"),
        "throughput_hz": some("throughput_hz", "Hz", 1 / float(np.median(latency.values)), 3, 0.01),
        "energy_j": Measurement("energy_j", "J", absent_reason="no meter configured for this device"),
    }


def outputs(rng: np.random.Generator, labels: IntArray, damage: float) -> npt.NDArray[np.float32]:
    """Return (N, 3) logits: the same images are hard for every model, and damage adds noise of its own."""
    hard = np.random.default_rng(11).normal(1.7, 1.6, len(labels))
    logits = np.random.default_rng(12).normal(0, 0.3, (len(labels), len(CLASSES)))
    logits[np.arange(len(labels)), labels] += hard
    return (logits + damage * rng.standard_normal(logits.shape)).astype(np.float32)


def run_of(recipe: Recipe, runtime: str, format_: str, base_s: float, seed: int) -> Run:
    """Return one run on the device `pi5`."""
    rng = np.random.default_rng(seed)
    labels: IntArray = np.arange(900, dtype=np.int64) % len(CLASSES)
    logits = outputs(rng, labels, recipe.damage)
    samples = Samples(np.zeros((900, 1, 1, 1), np.uint8), labels, CLASSES, str(SUITE["data"]["description"]))
    judged = classification.evaluate(Answers(logits, Reading(kind="logits")), samples, TASK)
    baseline, name = recipe.recipe is None, runtime.partition("==")[0]
    return Run(
        id=f"{name}-{recipe.variant}",
        campaign="2026-11-21T20-00-00",
        started_at=STARTED + timedelta(seconds=seed),
        case=MeasuredCase(
            f"suites/ultrasound.toml::{recipe.variant}[{name}]@pi5", "ultrasound", recipe.variant, "pi5", runtime
        ),
        variant=Variant(
            recipe.variant, format_, Path(), hashlib.sha256(f"{name}{recipe.variant}".encode()).hexdigest(),
            recipe.size_bytes, () if baseline else (Step(str(recipe.recipe)),), "" if baseline else "resnet18-fp32",
        ),
        measurements=measurements(rng, base_s, recipe),
        accuracy=judged.estimates,
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
        confusion=judged.confusion,
        classes=CLASSES,
        outputs=logits,
        labels=labels,
        is_baseline=baseline,
        notes={"rounds_marked": 2, "launches": 6, "page_cache": "warm", "rounds": 72},
    )  # fmt: skip


def outcome_of(run: Run, changes: list[Comparison], xfail: str = "") -> Outcome:
    """Return how a case ended by the suite's `accept`."""
    judgements = compare.judge(run, changes, [Criterion(**line) for line in ACCEPT])
    failed = [judgement.message for judgement in judgements if not judgement.passed]
    status = "xfailed" if failed and xfail else "failed" if failed else "passed"
    reasons = (xfail,) if status == "xfailed" else failed
    return Outcome(run.case.id, status, run.id, tuple(map(Reason, reasons)), judgements, run.case)


@cache
def measured() -> Report:
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
        for run in group:
            if "int4" in run.id and format_ == "tflite":
                run = replace(run, validity=Validity.INVALID, reasons=(Reason(DRIFTED),))
            assert group[0].outputs is not None
            assert run.outputs is not None
            assert group[0].answers is not None
            assert run.answers is not None
            alike = classification.agreement(group[0].answers, run.answers)
            run = replace(run, accuracy={**run.accuracy, "agreement": alike})
            changes = [] if run.is_baseline else compare.compare(group[0], run, SUITE)
            runs.append(run)
            comparisons += changes
            outcomes.append(outcome_of(run, changes, XFAIL if "int4" in run.id and format_ == "onnx" else ""))
    broken = MeasuredCase(
        "suites/ultrasound.toml::resnet18-broken[onnxruntime]@pi5",
        "ultrasound",
        "resnet18-broken",
        "pi5",
        "onnxruntime",
    )
    outcomes.append(Outcome(broken.id, "error", "", (BROKEN,), (), broken))
    return Report(campaign(), tuple(runs), tuple(comparisons), tuple(outcomes))


def report(*, quick: bool = False, renamed: Mapping[str, str] | None = None, runtime: str = "") -> Report:
    """Return the full campaign, or that of one runtime alone, with variants renamed if asked for."""
    full, names = measured(), renamed or {}
    runs = [run for run in full.runs if run.case.runtime.startswith(runtime)]
    kept = {run.id for run in runs} | {""}
    return replace(
        full,
        campaign=campaign(quick=quick),
        runs=tuple(replace(run, case=replace(run.case, variant=_renamed(run, names))) for run in runs),
        outcomes=tuple(one for one in full.outcomes if one.run in kept and (one.run or not runtime)),
    )


def on_devices(report: Report, *names: str) -> Report:
    """Return a report with all runs repeated on further devices, compared with nothing there."""
    runs = report.runs
    for name in names:
        moved = (replace(run, id=f"{name}-{run.id}", case=replace(run.case, device=name, id="")) for run in report.runs)
        runs = (*runs, *moved)
    return replace(report, runs=runs)


def fleet(devices: int, variants: int, samples: int = 1080) -> Report:
    """Return a campaign of many cases, the baseline one of the variants; every run has latencies of its own.

    Args:
        devices: how many places.
        variants: of each place.
        samples: latencies of each run, a multiple of 72 (the rounds).
    """
    full, rng = measured(), np.random.default_rng(5)
    models = [run for run in full.runs if run.id.startswith("onnxruntime")]
    compared = {run.id: [one for one in full.comparisons if one.run == run.id] for run in models}
    judged = {one.run: one for one in full.outcomes if one.run}
    ends = np.arange(73) * (samples // 72)
    rounds: IntArray = np.column_stack([np.arange(72) // 12, ends[:-1], ends[1:]]).astype(np.int64)
    runs: list[Run] = []
    comparisons: list[Comparison] = []
    outcomes: list[Outcome] = []
    for place in range(devices):
        for number in range(variants):
            model = models[number if number < len(models) else 1 + number % (len(models) - 1)]
            variant = model.case.variant + (f"-{number}" if number >= len(models) else "")
            case = replace(model.case, id=f"{variant}@board-{place:03}", device=f"board-{place:03}", variant=variant)
            old = model.measurements["latency_s"]
            latency = replace(old, values=rng.choice(old.values, samples) * rng.normal(1, 0.01, samples), rounds=rounds)
            run = replace(
                model,
                id=f"{place}-{number}",
                case=case,
                variant=replace(model.variant, id=variant, sha256=hashlib.sha256(variant.encode()).hexdigest()),
                measurements={**model.measurements, "latency_s": latency},
            )
            runs.append(run)
            comparisons += [replace(one, baseline=f"{place}-0", run=run.id) for one in compared[model.id]]
            outcomes.append(replace(judged[model.id], case=case.id, run=run.id, about=case))
    return Report(campaign(), tuple(runs), tuple(comparisons), tuple(outcomes))


def _renamed(run: Run, names: Mapping[str, str]) -> str:
    variant = run.case.variant
    return names.get(variant, variant)


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
    silent = Reason(
        "pi5: no answer from pi5.lab:22 within 15 s", "check that the device is on and the address is right"
    )
    case = MeasuredCase("suites/ultrasound.toml::resnet18-fp32@pi5", "ultrasound", "resnet18-fp32", "pi5")
    outcome = Outcome(case.id, "error", "", (silent,), (), case)
    return Report(campaign(), (), (), (outcome,))
