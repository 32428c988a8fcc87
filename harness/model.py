"""The nouns: frozen, without I/O. Quantities are SI and carry their unit in the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: What a stream has where its suite does not say: an ultrasound probe's.
FRAME_RATE_HZ = 30.0


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not as it should be: what happened, and what to do about it ("" where `text` says so itself)."""

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class Verdict(StrEnum):
    """What a comparison with the baseline says; `INCONCLUSIVE` is an honest answer and never rounded up."""

    IMPROVED = "improved"
    REGRESSED = "regressed"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


class Validity(StrEnum):
    """Whether a run's numbers may be used."""

    VALID = "valid"
    DEGRADED = "degraded"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device is; never holds a password."""

    scheme: str
    host: str = ""
    user: str = ""
    port: int = 0
    serial: str = ""

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{self.host or self.serial}{port}" if self.scheme != "local" else "local:"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a device may be measured."""

    max_start_temperature_c: float | None = None
    min_battery_ratio: float | None = None
    cooldown_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Device:
    """One device file.

    `options` holds the transport's own table (`[ssh]`), `settings` the runner's (`[benchmark_model]`), `meter` the
    `[meter]` table.
    """

    id: str
    kind: str
    address: Address
    description: str = ""
    runner: str = "python"
    runtimes: tuple[str, ...] = ()
    workdir: str = ""
    meter: Mapping[str, Any] | None = None
    limits: Limits = Limits()
    tags: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    file: Path = Path()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How an image becomes the model's input: x = (pixel * scale - mean) / std."""

    layout: str = "NCHW"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


@dataclass(frozen=True, slots=True)
class Samples:
    """A split of a data set.

    Attributes:
        images: (N, H, W, C), uint8 or float32.
        labels: (N,) int64, indices into `classes`; empty for segmentation.
        classes: the names of the classes, in the order of the model's outputs.
        masks: (N, H, W) uint8 class indices, or None.
        description: one sentence for the report, which must say if the data is synthetic.
        synthetic: True if no patient and no scanner was involved.
    """

    images: npt.NDArray[Any]
    labels: IntArray
    classes: tuple[str, ...]
    description: str
    masks: npt.NDArray[np.uint8] | None = None
    synthetic: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What the model is for; `positive` is the class that sensitivity speaks of."""

    kind: str
    positive: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """How inferences are asked for, and when a comparison is known well enough."""

    scenario: str = "single_stream"
    threads: int = 1
    batch: int = 1
    frame_rate_hz: float | None = None
    accelerator: str = ""
    precision: float = 0.02
    margin: float = 0.02
    max_duration_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Variant:
    """One model file and where it came from.

    `parent` is the id of the baseline it was built from, "" for the baseline itself. `problem` says why the file cannot
    be used (missing, not built yet) and what to do; `sha256` is then empty. It fails this variant's cases alone.
    """

    id: str
    format: str
    path: Path
    sha256: str
    size_bytes: int
    recipe: str | None = None
    parent: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    xfail: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of `[accept]`: `metric` must be at most/at least/non-inferior by `bound`."""

    metric: str
    rule: str
    bound: float


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite file; `data` holds the data source's own keys (its name under `source`)."""

    id: str
    title: str
    data: Mapping[str, Any]
    input: InputSpec
    task: Task
    load: Load
    baseline: str
    variants: tuple[Variant, ...]
    accept: tuple[Criterion, ...]
    confidential: bool = False
    split: str = "test"
    file: Path = Path()


@dataclass(frozen=True, slots=True)
class Case:
    """Suite x variant x device x runtime x load; `id` is stable and is the pytest id."""

    suite: Suite
    variant: Variant
    device: Device
    runtime: str
    id: str

    @property
    def is_baseline(self) -> bool:
        """True for the baseline of the variant's own format."""
        return self.variant.id == self.suite.baseline


@dataclass(frozen=True, slots=True)
class Measurement:
    """One metric of one run: raw `values` in `unit`, or the reason why there are none.

    Attributes:
        rounds: for latencies, (R, 3) int64: launch, start and stop index into `values` of each round.
        method: the clock or meter it was read from.
        absent_reason: why there is no number; empty when there is one.
        estimated: True if modelled rather than measured.
        estimate: the number with its uncertainty where it is more than a statistic of `values`.
    """

    metric: str
    unit: str
    values: FloatArray = field(default_factory=lambda: np.empty(0))
    rounds: IntArray | None = None
    method: str = ""
    absent_reason: str = ""
    estimated: bool = False
    estimate: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the device before, during and after a run; what could not be read is missing from the mapping.

    Keys: temperature_c, frequency_hz, governor, battery_ratio, charging, load_average, available_bytes, free_bytes.
    `during` is a trace of such mappings, each with its `at_s` on the device's monotonic clock.
    """

    before: Mapping[str, Any] = field(default_factory=dict)
    during: tuple[Mapping[str, Any], ...] = ()
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty: the interval (low, high) at `confidence`, by `method`."""

    point: float
    low: float
    high: float
    confidence: float = 0.95
    method: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model's outputs are worth against the truth: metric name -> Estimate.

    Attributes:
        estimates: what could be computed; a metric without its cases (no positive image, say) is left out.
        confusion: (K, K) counts, rows are the truth, columns the prediction; None where the task has none.
    """

    estimates: Mapping[str, Estimate]
    confusion: IntArray | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """What one case gave, once.

    Attributes:
        accuracy: metric name -> Estimate on the whole test split; empty if the accuracy pass gave nothing.
        confusion: (K, K) counts, rows are the truth, columns the prediction; None when there is none.
        outputs: (N, K) float32 model outputs on the test split, in the split's order; None when there are none.
        labels: truth that goes with `outputs`: (N,) int64 classes, or (N, H, W) uint8 masks.
        case: suite, variant, device, runtime (the full requirement), scenario, threads, id — plain values.
        variant: sha256, size_bytes, recipe, format, parent — plain values.
        fingerprint: what could change a number.
    """

    id: str
    campaign: str
    started_at: datetime
    case: Mapping[str, Any]
    variant: Mapping[str, Any]
    measurements: Mapping[str, Measurement]
    accuracy: Mapping[str, Estimate]
    conditions: Conditions
    fingerprint: Mapping[str, Any]
    validity: Validity
    reasons: tuple[str, ...] = ()
    confusion: IntArray | None = None
    classes: tuple[str, ...] = ()
    outputs: npt.NDArray[np.float32] | None = None
    labels: npt.NDArray[Any] | None = None
    is_baseline: bool = False
    quick: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from `baseline` to `run` (run ids) in one metric, and what that means."""

    metric: str
    baseline: str
    run: str
    change: Estimate | None
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of `[accept]` held against a run: `message` says by how much it passed or failed."""

    criterion: Criterion
    passed: bool
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: status is passed, failed, error, xfailed or xpassed; `run` is the run's id, "" without one."""

    case: str
    status: str
    run: str = ""
    message: str = ""
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign:
    """One start of the harness: what was asked for, of which suites, and how to ask again.

    Attributes:
        command: the command line that repeats it.
        suites: suite id -> plain values: title, task (kind, positive), load (every field of Load), accept (metric,
            rule, bound), baseline, confidential, data (source, split, description, synthetic, samples, classes,
            positive_ratio).
        environment: versions of edgeward, Python and the host's system.
    """

    id: str
    started_at: datetime
    command: str
    suites: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False
