"""The nouns: frozen, without I/O. Quantities are SI and carry their unit in the field's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from harness.addresses import Address as Address
from harness.errors import Reason as Reason

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: What a stream has where its suite does not say: an ultrasound probe's.
FRAME_RATE_HZ = 30.0

#: What a pixel of a mask holds that is of no class and counts for nothing.
IGNORED = 255


class Verdict(StrEnum):
    """What a comparison with the baseline says; `INCONCLUSIVE` is an honest answer and never rounded up.

    `IMPROVED` and `REGRESSED` are changes beyond the margin, `BETTER` and `WORSE` are as certain and lie within it.
    """

    IMPROVED = "improved"
    REGRESSED = "regressed"
    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


class Validity(StrEnum):
    """Whether numbers may be used: the absolute figures of a run, or what a comparison says."""

    VALID = "valid"
    DEGRADED = "degraded"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Limits:
    """When a device may be measured."""

    max_start_temperature_c: float | None = None
    thermal_zone: str = ""
    min_battery_ratio: float | None = None
    cooldown_s: float = 300.0


#: One part of a list of processor cores, a number or first and last of many.
_CORES: Final = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
#: What `cores` says for the ones of a device that are faster than its slowest kind.
BIG_CORES: Final = "big"


def core_numbers(text: str) -> list[int]:
    """Return the processor cores that a list of the kernel's kind names, in order: `0-2,6` gives 0, 1, 2, 6.

    Raises:
        ValueError: it is no such list.
    """
    found: set[int] = set()
    for part in text.split(","):
        numbers = _CORES.fullmatch(part.strip())
        if numbers is None or int(numbers[2] or numbers[1]) < int(numbers[1]):
            raise ValueError(text)
        found |= set(range(int(numbers[1]), int(numbers[2] or numbers[1]) + 1))
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Duty:
    """How often a model is used in practice, for the hours that a battery lasts.

    Attributes:
        images_per_s: inferences a second, on the long run.
        words: the same as people read it: 30 frames a second.
    """

    images_per_s: float
    words: str


@dataclass(frozen=True, slots=True)
class Recover:
    """How a device that does not answer is reset.

    Attributes:
        way: name of the plug-in in harness/recoveries/.
        options: what the plug-in takes.
        attempts: how often in a campaign.
        back_off_s: pause before the second reset, twice as long before each further one, s.
        limit_s: how long a reset may take, s.
    """

    way: str
    options: Mapping[str, Any]
    attempts: int = 2
    back_off_s: float = 10.0
    limit_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Device:
    """One device file.

    `cores` names the processor cores on which jobs run, "" for all; `python` the interpreter there, "" for the one on
    its PATH; `options` holds the transport's own table (`[ssh]`), `settings` the runner's (`[benchmark_model]`),
    `lease_options` the lease's, `meter` the `[meter]` table; `battery_wh` is what its battery holds, None if not said;
    `recover` is how it is reset, None if its file names no way.
    """

    id: str
    kind: str
    address: Address
    description: str = ""
    runner: str = "python"
    lease: str = "file"
    runtimes: tuple[str, ...] = ()
    workdir: str = ""
    cores: str = ""
    python: str = ""
    meter: Mapping[str, Any] | None = None
    limits: Limits = Limits()
    tags: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    file: Path = Path()
    settings: Mapping[str, Any] = field(default_factory=dict)
    lease_options: Mapping[str, Any] = field(default_factory=dict)
    battery_wh: float | None = None
    recover: Recover | None = None


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How an image becomes the model's input: resized and recoloured, then x = (pixel * scale - mean) / std.

    Attributes:
        layout: "NCHW" or "NHWC".
        size: height and width that the model takes; None for those of the images.
        resize: the filter that makes images of that size, one of `harness.pixels.FILTERS`.
        antialias: whether that filter covers all pixels that become one when an image is made smaller.
        color: "RGB", "BGR" or "grey"; "" for the images' own channels as they are.
    """

    layout: str = "NCHW"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    resize: str = ""
    antialias: bool = True
    color: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """Which output of a model is judged, and what its numbers stand for: declared, or read from the file.

    Attributes:
        output: its name; "" for the only one.
        kind: "logits" (softmax makes them probabilities), "probabilities" (of classes that exclude each other),
            "sigmoid" (a probability of each class on its own) or "labels" (the answer itself); "" where nobody knows.
        threshold: above which probability of the second of two classes that is the answer.
        classes: the names of the model's outputs in its own order; () for the data's classes in theirs.
    """

    output: str = ""
    kind: str = ""
    threshold: float = 0.5
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """How a model is fed with a suite's images, and how what it gives is read.

    Attributes:
        input: how an image becomes its input.
        quantization: scale and zero point of an integer input, where the file says them and its runtime does not.
        answer_quantization: the same of the output that is judged.
        reading: of its outputs.
        labels: what its answers are called in the file, where they are texts, or the keys of a map.
        constants: its inputs beside the image, each with its value.
        remarks: what was taken from the file and should be seen.
        paths: outputs of the file that say which way an image takes through it, on which its time depends.
    """

    input: InputSpec = InputSpec()
    quantization: tuple[float, int] = (0.0, 0)
    answer_quantization: tuple[float, int] = (0.0, 0)
    reading: Reading = Reading()
    labels: tuple[str, ...] = ()
    constants: Mapping[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Samples:
    """A split of a data set.

    Attributes:
        images: (N, H, W, C), uint8 or float32.
        labels: (N,) int64, indices into `classes`, or of several labels an image (N, K), 1 for each that it has, 0 for
            one that it has not and -1 where nobody knows; empty for segmentation.
        classes: the names of the classes, in the order of the model's outputs.
        masks: (N, H, W) uint8 class indices, `IGNORED` where a pixel counts for nothing, or None.
        description: one sentence for the report, which must say if the data is synthetic.
        synthetic: True if no patient and no scanner was involved.
        remarks: what must be doubted of the images, each with its likely cause.
        groups: (N,) int64, the patient of each image as an index into `group_names`; None where nobody says it.
        group_names: what the patients are called in the data.
        identifying: what in the files identifies patients, as `PatientName in 2 of 3 files`; "" where nothing does.
            They are measured in a confidential suite alone.
        subgroup: what the images are divided by, as the data calls it; "" where nobody asks for it.
        subgroups: (N,) int64, the subgroup of each image as an index into `subgroup_names`; None without.
        subgroup_names: what the subgroups are called in the data.
        spacing: (N, 2) height and width of a pixel of each image and mask, in millimetres; None where nobody says it.
        pool: of a fold, a digest of the images of all folds.
    """

    images: npt.NDArray[Any]
    labels: IntArray
    classes: tuple[str, ...]
    description: str
    masks: npt.NDArray[np.uint8] | None = None
    synthetic: bool = False
    remarks: tuple[str, ...] = ()
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    identifying: str = ""
    subgroup: str = ""
    subgroups: IntArray | None = None
    subgroup_names: tuple[str, ...] = ()
    spacing: FloatArray | None = None
    pool: str = ""

    def of_class(self, name: str) -> npt.NDArray[np.bool_]:
        """Return (N,) which labelled images are of a class, or have a label."""
        number = self.classes.index(name)
        return np.asarray(self.labels[:, number] == 1 if self.labels.ndim == 2 else self.labels == number)

    def without(self, left_out: IntArray) -> Samples:
        """Return the split without the images at some indices."""
        keep = np.delete(np.arange(len(self.images)), left_out)
        return replace(
            self,
            images=self.images[keep],
            labels=self.labels[keep] if len(self.labels) else self.labels,
            masks=self.masks[keep] if self.masks is not None else None,
            groups=self.groups[keep] if self.groups is not None else None,
            subgroups=self.subgroups[keep] if self.subgroups is not None else None,
            spacing=self.spacing[keep] if self.spacing is not None else None,
            description=f"{self.description}, {len(left_out)} left out",
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model gave for a split: (N, ...) float32 as it came, or uint8 labels, and how it is read."""

    values: npt.NDArray[Any]
    reading: Reading = Reading()


@dataclass(frozen=True, slots=True)
class Truth:
    """What the answers of two models for the same images are held against.

    Attributes:
        labels: (N,) int64 classes, (N, K) labels as `Samples` has them, or (N, H, W) uint8 masks of class indices.
        classes: the K names.
        groups: (N,) the patient of each image: a patient, not an image, is what an interval counts; None where each
            image is a patient of its own.
        spacing: (N, 2) height and width of a pixel of each mask, in millimetres; None where nobody says it.
    """

    labels: npt.NDArray[Any]
    classes: tuple[str, ...]
    groups: IntArray | None = None
    spacing: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a threshold must reach on the validation split: `rate` is "sensitivity" or "specificity"."""

    rate: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Task:
    """What the model is for; `positive` is the class that sensitivity speaks of.

    Attributes:
        ordinal: whether the classes are in order, as grades of a disease are.
        operating_point: by which rule the threshold is fixed; None where it is one half, or declared.
        surface_tolerance: how far outlines may lie apart and count as the same, in pixels; None where nobody says it.
        surface_tolerance_mm: the same in millimetres, for data that says how large a pixel is.
        sensitivity_at_specificity: the specificity at which the curve's sensitivity is given; None where nobody asks.
        specificity_at_sensitivity: the reverse.
    """

    kind: str
    positive: str = ""
    ordinal: bool = False
    operating_point: OperatingPoint | None = None
    surface_tolerance: float | None = None
    surface_tolerance_mm: float | None = None
    sensitivity_at_specificity: float | None = None
    specificity_at_sensitivity: float | None = None

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """Return the task that plain values describe; what an older store does not say is as if it were not set."""
        known = {one.name: kept[one.name] for one in fields(cls) if one.name in kept}
        if point := known.get("operating_point"):
            known["operating_point"] = OperatingPoint(**point)
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Load:
    """How inferences are asked for, and when a comparison is known well enough.

    `control`: whether the baseline's own file takes turns once more, to show which changes can be seen.
    `profile`: whether a traced pass behind all others says what each operator takes.
    """

    scenario: str = "single_stream"
    threads: int = 1
    batch: int = 1
    frame_rate_hz: float | None = None
    accelerator: str = ""
    precision: float = 0.02
    margin: float = 0.02
    max_duration_s: float = 60.0
    control: bool = True
    profile: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of how a variant is built: a recipe, and the settings that its suite gives (defaults left out)."""

    recipe: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """One model file and where it came from.

    `steps` build it from the baseline, each from what the one before made; a file that was brought has none.
    `parent` is the id of the baseline it was built from, "" for the baseline itself. `problem` says why the file cannot
    be used (missing, not built yet) and what to do; `sha256` is then empty. It fails this variant's cases alone.
    `input` and `output` are the keys of those tables that its suite declares for it: the task's, then its own; `inputs`
    are its inputs beside the image, each with its constant value.
    `parts` are other files that held weights of it: `path` is then one file that was made of all.
    `origin` is the format of the baseline's file that its steps begin with, where they lead to another one.
    """

    id: str
    format: str
    path: Path
    sha256: str
    size_bytes: int
    steps: tuple[Step, ...] = ()
    parent: str = ""
    xfail: str = ""
    problem: str = ""
    input: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    origin: str = ""

    @property
    def recipe(self) -> str | None:
        """How it is built, for people: the recipes in their order; None for a file that was brought."""
        return ", then ".join(step.recipe for step in self.steps) or None


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of `[accept]`: `metric` must be at most/at least/non-inferior by `bound`."""

    metric: str
    rule: str
    bound: float


@dataclass(frozen=True, slots=True)
class Folds:
    """Into how many folds a pool of images is divided, and which of them, counted from 0, is measured."""

    count: int
    fold: int


@dataclass(frozen=True, slots=True)
class Robustness:
    """What else a suite measures on the same images, changed: `[robustness]`.

    Attributes:
        corruptions: names of `harness.corruptions`.
        registry: the set of MedMNIST-C whose severities are meant, "" for none.
        severities: 1 to 5.
        margin: how much of its accuracy a variant may lose against the baseline under each of them.
        attacks: "fgsm" and "pgd", made with the gradients of the baseline; "stripes" and "square", black boxes.
        epsilon: by how many of 255 grey levels an attack may change a pixel.
        occlusion: on how many images it is seen what a model looks at; 0 for none.
    """

    corruptions: tuple[str, ...] = ()
    registry: str = ""
    severities: tuple[int, ...] = (1, 3, 5)
    margin: float = 0.03
    attacks: tuple[str, ...] = ()
    epsilon: int = 4
    occlusion: int = 0


@dataclass(frozen=True, slots=True)
class LocalStep:
    """What a step of training on the device is: `[local_step]`.

    Attributes:
        learning_rate: of the optimiser.
        batch: images in a step.
        steps: of a launch, that are timed.
        optimiser: "sgd", without momentum, or "adam".
        layers: "all" of the network learn, or the "last" one with weights alone.
        tolerance: how far the weights may end from where the same steps on the host end, over the way they went.
    """

    learning_rate: float
    batch: int = 16
    steps: int = 20
    optimiser: Literal["sgd", "adam"] = "sgd"
    layers: Literal["all", "last"] = "all"
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite file; `data` holds the data source's own keys (its name under `source`).

    `folds` says how a data set that is one pool is divided, None where it has splits of its own; `architectures` holds
    model id -> the name of its architecture, of those of which the file says it; `examples` says of how many
    images small copies are kept that a variant and its baseline give different classes, 0 for none.
    """

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
    overlap: Literal["refuse", "leave_out"] = "refuse"
    file: Path = Path()
    duty: Duty | None = None
    folds: Folds | None = None
    robustness: Robustness | None = None
    local_step: LocalStep | None = None
    architectures: Mapping[str, str] = field(default_factory=dict)
    examples: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """Suite x variant x device x runtime x load; `id` is stable and is the pytest id."""

    suite: Suite
    variant: Variant
    device: Device
    runtime: str
    id: str

    @property
    def name(self) -> str:
        """The case without its suite: `resnet18-int8@pi5`."""
        return self.id.removeprefix(f"{self.suite.file.parent.name}/{self.suite.file.name}::")

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


class Omission(StrEnum):
    """A source of variance that an interval does not carry."""

    NOTHING = ""
    #: The two were not measured in turns, so drift between them is left out.
    DRIFT = "drift"
    #: Too few launches, so the variance between launches is left out.
    LAUNCHES = "launches"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty: the interval (low, high) at `confidence`, by `method`.

    `omits` names a source of variance that is not in the interval: such a one may show a difference, never sameness.
    """

    point: float
    low: float
    high: float
    confidence: float = 0.95
    method: str = ""
    omits: Omission = Omission.NOTHING


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
class Called:
    """What each image of a split is, and what a model calls it.

    Attributes:
        truth: (N,) the name of the class that each image is of.
        names: (N,) the name of the class that the model gives it, which the data may lack.
        shares: (N,) the probability that the model states of that class; None where it states none.
        positive: (N,) whether the image is of the positive class; False for all where the task has none.
    """

    truth: npt.NDArray[np.object_]
    names: npt.NDArray[np.object_]
    shares: FloatArray | None
    positive: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Subgroup:
    """What a model is worth on a part of the split.

    Attributes:
        by: what the images are divided by: "class", or what `[data] subgroup` names.
        name: of this part.
        images: how many it has.
        patients: how many patients these are of; None where nobody says it.
        estimates: metric name -> Estimate, without those that so few images have no cases of.
    """

    by: str
    name: str
    images: int
    patients: int | None
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Condition:
    """What was done to the images of the split before a model saw them.

    Attributes:
        kind: "corruption" or "attack".
        name: of it.
        severity: 1 to 5, or of an attack the grey levels by which it may change a pixel.
        pixels_sha256: of the images that came of it: two runs are compared where they saw the same.
    """

    kind: str
    name: str
    severity: int
    pixels_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a model gave on the device for the images of the split under one condition.

    Attributes:
        condition: the condition.
        outputs: (N, ...) as `Run.outputs`, read in the same way.
        metric: the task's chief accuracy: a name of `harness.vocabulary.METRICS`.
        level: that accuracy under the condition.
        change: the same minus the baseline's, paired on the same images; None for the baseline.
        reading: how `outputs` are read where that differs from the run's, because labels are kept in place of maps.
    """

    condition: Condition
    outputs: npt.NDArray[Any]
    metric: str
    level: Estimate
    change: Estimate | None = None
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Occlusion:
    """Where a model looks: how much less sure it is of a class when a square of the image is covered.

    Attributes:
        places: (M,) int64, which images of the split.
        classes: (M,) int64, the class of each that is meant: what the baseline calls it.
        maps: (M, G, G) float32, by how much covering each square of a grid lowers the log odds of that class.
        pictures: (M, h, w, 1 or 3) uint8, small copies of the images; None where they must not be kept.
        correlations: (M,) rank correlation of each map with the baseline's; None for the baseline itself.
        agreement: their mean.
    """

    places: IntArray
    classes: IntArray
    maps: npt.NDArray[np.float32]
    pictures: npt.NDArray[np.uint8] | None = None
    correlations: FloatArray | None = None
    agreement: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """An image that a variant and its baseline give different classes.

    Attributes:
        place: which image of the split, from 0.
        truth, baseline, variant: the class that it is of, and those that the two give it.
        baseline_share, variant_share: the probability that each states of the class it gives; None where it has none.
    """

    place: int
    truth: str
    baseline: str
    variant: str
    baseline_share: float | None = None
    variant_share: float | None = None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """How many images a variant and its baseline give different classes, and some of them.

    Attributes:
        images: how many images both were given.
        lost: how many of them the baseline has right and the variant wrong.
        gained: how many the variant has right and the baseline wrong.
        others: how many both have wrong, with different classes.
        examples: the first of them: those that are lost, then those that are gained, then the others.
        pictures: (M, h, w, 1 or 3) uint8, small copies of the examples' images; None where there are none.
        unseen: why there are none.
    """

    images: int
    lost: int
    gained: int
    others: int
    examples: tuple[Example, ...] = ()
    pictures: npt.NDArray[np.uint8] | None = None
    unseen: Reason | None = None


@dataclass(frozen=True, slots=True)
class MeasuredCase:
    """Which case a run or an outcome is of, by names: what is kept of a `Case` when its files are gone.

    Attributes:
        id: as pytest shows it; never parsed.
        suite, variant, device: their ids.
        runtime: the full requirement.
        batch, frame_rate_hz: of scenarios that have them, else None.
        accelerator: what was asked for, "" for nothing.
    """

    id: str
    suite: str
    variant: str
    device: str
    runtime: str = ""
    scenario: str = "single_stream"
    threads: int = 1
    task: str = ""
    batch: int | None = None
    frame_rate_hz: float | None = None
    accelerator: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What one case gave, once.

    Attributes:
        accuracy: metric name -> Estimate on the whole test split; empty if the accuracy pass gave nothing.
        confusion: (K, K) counts, rows are the truth, columns the prediction; None when there is none.
        outputs: (N, ...) float32 model outputs on the test split, in the split's order, or where those are large uint8
            labels; None when there are none.
        labels: truth that goes with `outputs`: (N,) int64 classes, (N, K) labels, or (N, H, W) uint8 masks.
        variant: the model file that was measured; its `path` is the bare name where the run comes from the store.
        fingerprint: what could change a number.
        validity: of its absolute figures; comparisons have their own.
        reasons: why the run is not valid, if it is not.
        subgroups: what it is worth on each class and subgroup, the smallest first.
        probes: what it gave for the same images, corrupted or attacked; none where the suite does not ask.
        occlusion: where it looks; None where the suite does not ask.
        disagreement: images that it gives another class than its baseline; None where the suite does not ask.
    """

    id: str
    campaign: str
    started_at: datetime
    case: MeasuredCase
    variant: Variant
    measurements: Mapping[str, Measurement]
    accuracy: Mapping[str, Estimate]
    conditions: Conditions
    fingerprint: Mapping[str, Any]
    validity: Validity
    reasons: tuple[Reason, ...] = ()
    confusion: IntArray | None = None
    classes: tuple[str, ...] = ()
    outputs: npt.NDArray[Any] | None = None
    labels: npt.NDArray[Any] | None = None
    is_baseline: bool = False
    quick: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    subgroups: tuple[Subgroup, ...] = ()
    probes: tuple[Probe, ...] = ()
    occlusion: Occlusion | None = None
    disagreement: Disagreement | None = None

    @property
    def answers(self) -> Answers | None:
        """What the model gave for the split and how it is read; None where there are no outputs."""
        if self.outputs is None:
            return None
        # A store of version 0.1 says nothing of it: its readers looked at the values.
        kept = self.notes.get("output", {})
        return Answers(self.outputs, Reading(**{**kept, "classes": tuple(kept.get("classes", ()))}))

    def probed(self, probe: Probe) -> Answers:
        """Return what the model gave under a condition, and how it is read."""
        own = self.answers
        return Answers(probe.outputs, probe.reading or (own.reading if own is not None else Reading()))

    @property
    def groups(self) -> IntArray | None:
        """The patient of each image that goes with `labels`, (N,) numbers without a name; None where nobody said it."""
        kept = self.notes.get("groups")
        return None if kept is None else np.asarray(kept, np.int64)

    @property
    def spacing(self) -> FloatArray | None:
        """How large a pixel of each mask is, (N, 2) height and width in millimetres; None where nobody said it."""
        kept = self.notes.get("spacing_mm")
        return None if kept is None else np.asarray(kept, np.float64)


@dataclass(frozen=True, slots=True)
class StepCost:
    """What steps of training cost one model on one device.

    Attributes:
        id: unique.
        suite, variant, device: ids.
        sha256: of the model file that learnt.
        runtime: what trained: "torch 2.13.0".
        asked: what a step is.
        threads: that torch had.
        weights: how many numbers learn.
        times: (L, S) time of each step of each launch, s; what warmed up is left out.
        time_s: of a step: the median of the launches' medians.
        ratio: of that time, over the baseline's; None for the baseline, and where it was not measured.
        peak_bytes: most memory of the process that trained.
        loaded_bytes: what it held before its first step, with torch.
        energy_j, energy_net_j: of a step, with idle power and without; None where `energy_absent` says why.
        loss_before, loss_after: mean loss of the images that are learnt from.
        apart: how far the weights ended from where the same steps on the host ended, over the way they went.
        validity, reasons: of the times.
        notes: plain values: versions, conditions, the meter.
    """

    id: str
    started_at: datetime
    suite: str
    variant: str
    device: str
    sha256: str
    runtime: str
    asked: LocalStep
    threads: int
    weights: int
    times: FloatArray
    time_s: Estimate
    peak_bytes: int | None
    loaded_bytes: int | None
    loss_before: float
    loss_after: float
    apart: float
    ratio: Estimate | None = None
    energy_j: Estimate | None = None
    energy_net_j: Estimate | None = None
    energy_absent: str = ""
    is_baseline: bool = False
    quick: bool = False
    validity: Validity = Validity.VALID
    reasons: tuple[Reason, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstance:
    """What is true of both runs of a comparison, not of one metric alone: `name`, and why in `detail`."""

    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" if self.detail else self.name


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed from `baseline` to `run` (run ids) in one metric, and what that means.

    Attributes:
        reasons: what must be known of this change, or why there is none.
        circumstances: what must be known of the two runs.
        validity: of the comparison, whatever is said of absolute figures.
        control: for latencies, what the baseline's own file showed beside it: the ratio that should be one.
    """

    metric: str
    baseline: str
    run: str
    change: Estimate | None
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    circumstances: tuple[Circumstance, ...] = ()
    validity: Validity = Validity.VALID
    control: Estimate | None = None

    @property
    def reason(self) -> str:
        """All of it in one line, for people and exports."""
        return sentence((*self.reasons, *self.circumstances))


def sentence(parts: Iterable[object]) -> str:
    """Return reasons in one line, for people; nothing reads them back from it."""
    return "; ".join(map(str, parts))


@dataclass(frozen=True, slots=True)
class Judgement:
    """One line of `[accept]` held against a run: `message` says by how much it passed or failed.

    `undecided`: it did not pass and may be met yet, because the interval reaches to both sides of the bound.
    """

    criterion: Criterion
    passed: bool
    message: str
    undecided: bool = False

    @property
    def word(self) -> str:
        """How the line ended: met, broken or undecided."""
        return "met" if self.passed else "undecided" if self.undecided else "broken"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: status is passed, failed, error, xfailed or xpassed.

    Attributes:
        case: the case's id.
        run: the run's id, "" without one.
        reasons: why it did not pass, one a line.
        about: the case by names; None in stores of version 0.1.
        taken_over: when its run was measured, where a campaign that was resumed took it over and judged it again.
    """

    case: str
    status: str
    run: str = ""
    reasons: tuple[Reason, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    about: MeasuredCase | None = None
    taken_over: datetime | None = None

    @property
    def message(self) -> str:
        """All reasons in one line, for people."""
        return sentence(self.reasons)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One start of the harness: what was asked for, of which suites, and how to ask again.

    Attributes:
        command: the command line that repeats it.
        suites: suite id -> plain values: title, task (kind, positive), load (every field of Load), accept (metric,
            rule, bound), baseline, confidential, data (source, split, description, synthetic, samples, patients,
            classes, positive_ratio), architectures (model id -> name), devices (id -> description), and robustness
            (every field of Robustness) where the suite has it.
        environment: versions of edgeward, Python and the host's system.
    """

    id: str
    started_at: datetime
    command: str
    suites: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = False
