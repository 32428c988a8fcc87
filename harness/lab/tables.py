"""The two TOML files as pydantic models: what may stand where, with the sentence an editor shows for it."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.model import (
    BIG_CORES,
    FRAME_RATE_HZ,
    Address,
    Device,
    Duty,
    Folds,
    InputSpec,
    Limits,
    Load,
    OperatingPoint,
    Robustness,
    core_numbers,
)
from harness.registry import suggestion

#: Ids become parts of pytest ids, file names and URLs, so nothing that quotes, separates or hides may stand in them.
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def checked_id(text: str) -> str:
    """Return an id unchanged; raises PydanticCustomError for one that would break a pytest id or a file name."""
    if not ID.fullmatch(text) or text.endswith("."):
        raise wrong(
            f"{text!r} cannot be an id: it is part of pytest ids and file names",
            remedy="use letters, digits and . _ + - and begin with a letter or digit",
        )
    return text


def wrong(text: str, *, remedy: str, **more: Any) -> PydanticCustomError:
    """Return the error of a validator; `harness.registry.blame` makes a LabError of it."""
    return PydanticCustomError("wrong", "{text}; {remedy}", {"text": text, "remedy": remedy, **more})


def checked_cores(text: str) -> str:
    """Return a list of cores unchanged; raises PydanticCustomError for one that is none."""
    if text not in ("", BIG_CORES):
        try:
            core_numbers(text)
        except ValueError as error:
            raise wrong(f"{text!r} is no list of cores", remedy='write "big", or numbers such as "0-3,6"') from error
    return text


Id = Annotated[str, AfterValidator(checked_id)]
_LIMITS, _LOAD, _INPUT, _DEVICE = Limits(), Load(), InputSpec(), Device("", "", Address(""))
_ROBUST = Robustness()


class Table(BaseModel):
    """A TOML table: strict types, and an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            for key in value:
                if key not in cls.model_fields:
                    raise wrong("unknown key", remedy=suggestion(str(key), cls.model_fields), key=key)
        return value


class MeterTable(Table):
    """`[meter]`: where energy is read; the other keys are the meter's own."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="Name of the meter.")
    side: Literal["device", "host"] | None = Field(
        default=None, description="Who reads it: the device where it can, unless this says host."
    )


class LimitsTable(Table):
    """`[limits]`: when the device may be measured."""

    max_start_temperature_c: float | None = Field(
        default=None, ge=-40, le=150, description="Wait until the device is no hotter than this, in degrees Celsius."
    )
    thermal_zone: str = Field(
        default="", description="Type of the thermal zone that is meant; the hottest of all if left out."
    )
    min_battery_ratio: float | None = Field(
        default=None, ge=0, le=1, description="Refuse below this battery charge, 0 to 1."
    )
    cooldown_s: float = Field(default=_LIMITS.cooldown_s, ge=0, description="How long to wait for cooling, in seconds.")


class BatteryTable(Table):
    """`[battery]`: what the device's own battery holds when it is full."""

    capacity_wh: float | None = Field(default=None, gt=0, le=10_000, description="Its capacity, in watt-hours.")
    capacity_mah: float | None = Field(
        default=None, gt=0, le=10_000_000, description="Its capacity in milliampere-hours; needs `voltage_v`."
    )
    voltage_v: float | None = Field(default=None, gt=0, le=1000, description="Its nominal voltage, in volts.")

    @model_validator(mode="after")
    def _one_capacity(self) -> BatteryTable:
        by_charge = (self.capacity_mah is not None, self.voltage_v is not None)
        if (self.capacity_wh is not None) == any(by_charge) or any(by_charge) != all(by_charge):
            raise wrong(
                "one capacity is needed", remedy="write capacity_wh, or capacity_mah and voltage_v, as its label says"
            )
        return self

    @property
    def watt_hours(self) -> float:
        """Its capacity, W h."""
        return self.capacity_wh or (self.capacity_mah or 0.0) * (self.voltage_v or 0.0) / 1000


class DeviceTable(Table):
    """devices/NAME.toml: one device; the file's name is its id."""

    kind: Literal["phone", "sbc", "ultrasound", "workstation"] = Field(description="What kind of machine it is.")
    address: str = Field(description="Where it is; never a password.")
    description: str = Field(default="", description="One line for people.")
    tags: list[Id] = Field(default=[], description="Names to select by: `--device tag:NAME`.")
    runner: str = Field(default=_DEVICE.runner, description="What executes a job on the device.")
    lease: str = Field(default=_DEVICE.lease, description="How it is kept to one measurer at a time.")
    runtimes: list[str] = Field(
        default=[], description="Requirements, each installed into a folder of its own on the device."
    )
    workdir: str = Field(
        default="", description="Where the harness lives on the device; the transport's default if left out."
    )
    cores: Annotated[str, AfterValidator(checked_cores)] = Field(
        default="", description='Processor cores on which jobs run: "big", or numbers such as "0-3,6"; all if left out.'
    )
    python: str = Field(
        default="", description="The interpreter on the device, absolute; python3 of its PATH if left out."
    )
    meter: MeterTable | None = Field(default=None, description="Where energy is read; without it energy is absent.")
    limits: LimitsTable = Field(default=LimitsTable(), description="When the device may be measured.")
    battery: BatteryTable | None = Field(default=None, description="What its battery holds, for hours of use.")


class InputTable(Table):
    """`[data.input]`: x = (pixel * scale - mean) / std."""

    layout: Literal["NCHW", "NHWC"] = Field(description="Order of the axes of the model's input.")
    scale: float = Field(gt=0, description="Factor on a pixel's value: 0.00392156862745098 makes 0..255 into 0..1.")
    mean: list[float] = Field(
        default=list(_INPUT.mean), min_length=1, description="Subtracted, one value or one a channel."
    )
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=list(_INPUT.std), min_length=1, description="Divided by, one value or one a channel."
    )


Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Size = Annotated[int, Field(ge=1, le=65_535)]


class ModelInputTable(Table):
    """`input` of a model: what is not as `[data.input]` says for it."""

    layout: Literal["NCHW", "NHWC"] | None = Field(default=None, description="Order of the axes of its input.")
    scale: float | None = Field(default=None, gt=0, description="Factor on a pixel's value.")
    mean: list[float] | None = Field(default=None, min_length=1, description="Subtracted, one value or one a channel.")
    std: list[Annotated[float, Field(gt=0)]] | None = Field(
        default=None, min_length=1, description="Divided by, one value or one a channel."
    )
    size: list[Size] | None = Field(
        default=None, min_length=2, max_length=2, description="[HEIGHT, WIDTH] that it takes; needs `resize`."
    )
    resize: Filter | None = Field(default=None, description="The filter that brings images to `size`.")
    antialias: bool | None = Field(
        default=None, description="Whether the filter is widened where images become smaller (true unless said)."
    )
    color: Literal["RGB", "BGR", "grey"] | None = Field(
        default=None, description="Order of its channels; grey images are repeated, colour ones weighted (ITU-R 601)."
    )
    channels: Literal[1, 3] | None = Field(
        default=None, description="1 for grey, 3 for red, green and blue; the short form of `color`."
    )

    @model_validator(mode="after")
    def _complete(self) -> ModelInputTable:
        if self.size is not None and self.resize is None:
            raise wrong("`size` needs a filter", remedy='write resize = "bilinear", or the one it was trained with')
        if self.size is None and (self.resize is not None or self.antialias is not None):
            raise wrong("`resize` and `antialias` belong to `size`", remedy="write size = [HEIGHT, WIDTH]")
        if self.channels is not None and self.color is not None and (self.channels == 1) != (self.color == "grey"):
            raise wrong("`channels` and `color` do not agree", remedy="leave one")
        return self


class OutputTable(Table):
    """`output`: which output is judged, and what its numbers stand for, where the model's file leaves it open."""

    name: str | None = Field(default=None, min_length=1, description="Name of the output that is judged.")
    kind: Literal["logits", "probabilities", "sigmoid", "labels"] | None = Field(
        default=None,
        description="What its numbers stand for: logits, before a softmax; probabilities of classes that exclude each "
        "other; sigmoid, a probability of each class on its own; labels, the answer itself.",
    )
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Probability above which the second of two classes is the answer; 0.5."
    )
    classes: list[str] | None = Field(
        default=None, min_length=1, description="The names of its outputs, in its own order, as the data calls them."
    )


class DataTable(Table):
    """`[data]`: the labelled images; the other keys are the data source's own."""

    model_config = ConfigDict(extra="allow")

    source: str = Field(description="Name of the data source.")
    split: str = Field(default="test", min_length=1, description="Which split is measured; never the one trained on.")
    overlap: Literal["refuse", "leave_out"] = Field(
        default="refuse",
        description="What `edgeward build` does with images that are (nearly) in the measured split too.",
    )
    folds: int | None = Field(
        default=None, ge=3, le=100, description="Divide the images, which are one pool, by patient into so many folds."
    )
    fold: int | None = Field(default=None, ge=0, description="Which fold is measured, from 0; the next one validates.")
    input: InputTable = Field(description="How an image becomes the model's input.")

    @model_validator(mode="after")
    def _whole(self) -> DataTable:
        if (self.folds is None) != (self.fold is None):
            raise wrong("`folds` and `fold` belong together", remedy="write both, such as folds = 5 and fold = 0")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise wrong(f"fold {self.fold} is none of {self.folds}", remedy=f"write fold = 0 to {self.folds - 1}")
        for key in ("train", "validation"):
            if self.folds is not None and (self.model_extra or {}).get(key):
                raise wrong(f"`{key}` stands beside `folds`, which divide one pool", remedy="leave one of them")
        return self

    def noun(self) -> Folds | None:
        """Return how one pool is divided, None where it is not."""
        return None if self.folds is None or self.fold is None else Folds(self.folds, self.fold)


class OperatingPointTable(Table):
    """`operating_point`: what the threshold must reach on the validation split; one of the two."""

    sensitivity: float | None = Field(default=None, gt=0, lt=1, description="At least this share of the positive ones.")
    specificity: float | None = Field(default=None, gt=0, lt=1, description="At least this share of all others.")

    @model_validator(mode="after")
    def _one_rate(self) -> OperatingPointTable:
        if (self.sensitivity is None) == (self.specificity is None):
            raise wrong("one rate is needed", remedy="write { sensitivity = NUMBER } or { specificity = NUMBER }")
        return self

    def noun(self) -> OperatingPoint:
        """Return it as the rate and the share that it must reach."""
        if self.sensitivity is not None:
            return OperatingPoint("sensitivity", self.sensitivity)
        return OperatingPoint("specificity", self.specificity or 0.0)


class TaskTable(Table):
    """`[task]`: what the model is for."""

    kind: str = Field(description="Decides which accuracy metrics are computed.")
    positive: str = Field(default="", description="The class that sensitivity and specificity speak of.")
    ordinal: bool = Field(default=False, description="Whether the classes are in order, as grades are.")
    operating_point: OperatingPointTable | None = Field(
        default=None,
        description="Rule by which the baseline fixes all models' threshold on the validation split.",
    )
    surface_tolerance: float | None = Field(
        default=None, ge=0, le=1000, description="Pixels by which outlines may differ and still count as the same."
    )
    surface_tolerance_mm: float | None = Field(
        default=None, ge=0, le=1000, description="The same in millimetres, where the data says how large a pixel is."
    )
    sensitivity_at_specificity: float | None = Field(
        default=None, gt=0, lt=1, description="Specificity at which the ROC curve's sensitivity is given."
    )
    specificity_at_sensitivity: float | None = Field(
        default=None, gt=0, lt=1, description="Sensitivity at which the ROC curve's specificity is given."
    )
    output: OutputTable = Field(default=OutputTable(), description="How the outputs of all models are read.")


class LoadTable(Table):
    """`[load]`: how inferences are asked for, and when a comparison is known well enough."""

    scenario: Literal["single_stream", "stream", "offline", "sustained"] = Field(
        default="single_stream",
        description="How inferences are asked for: single_stream back to back; stream as frames at frame_rate_hz; "
        "offline in batches; sustained for max_duration_s without a pause, one model after the other.",
    )
    threads: int = Field(default=_LOAD.threads, ge=1, le=1024, description="Threads the runtime may use.")
    batch: int = Field(default=_LOAD.batch, ge=1, description="Images in one inference; scenario offline only.")
    frame_rate_hz: float | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description=f"Arrival rate of frames; scenario stream only, where the default is {FRAME_RATE_HZ:g}.",
    )
    accelerator: str = Field(
        default="",
        description="Execution provider or delegate to ask the runtime for; a run that did not get it is invalid.",
    )
    precision: float = Field(
        default=_LOAD.precision, gt=0, lt=1, description="Stop when the latency ratio is known this well (half-width)."
    )
    margin: float = Field(
        default=_LOAD.margin, gt=0, lt=1, description="Relative changes smaller than this do not matter."
    )
    max_duration_s: float = Field(
        default=_LOAD.max_duration_s, gt=0, description="Longest timed pass of a case, in seconds."
    )
    control: bool = Field(
        default=_LOAD.control,
        description="Whether the baseline's own file takes turns once more: what it shows is what the device can tell.",
    )


Models = Annotated[str | list[str], Field(description="Path from this file; a list holds one file per format.")]


class BaselineTable(Table):
    """`[baseline]`: the model that every variant is compared with."""

    id: Id = Field(description="Its name in ids and reports.")
    model: Models
    input: ModelInputTable = Field(default=ModelInputTable(), description="How this model's input differs.")
    output: OutputTable = Field(default=OutputTable(), description="How this model's output is read.")
    inputs: dict[str, float] = Field(default={}, description="Its inputs beside the image, each constant.")
    architecture: str = Field(default="", description="What kind of network it is, for people and tables.")
    source: str = Field(default="", description="Script, from this file, that makes the baseline again.")
    convert: list[str] = Field(
        default=[], description="Recipes that make the same model in a further format each, models/ID.FORMAT."
    )


def _recipes(value: Any) -> Any:
    """Return `recipe` unchanged; raises PydanticCustomError where it is neither a name nor a list of names."""
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(one, str) for one in listed):
        raise wrong(
            f"{value!r} is neither a recipe nor a chain of recipes",
            remedy='write recipe = "NAME", or recipe = ["FIRST", "SECOND"] in the order in which they are applied',
        )
    return value


class VariantTable(Table):
    """`[[variant]]`: one optimised model, built by a recipe or a chain of them, or brought ready-made."""

    id: Id = Field(description="Its name in ids and reports.")
    recipe: Annotated[str | list[str], BeforeValidator(_recipes)] | None = Field(
        default=None,
        description="Build it from the baseline by this recipe, or by these one after the other (`edgeward build`).",
    )
    parameters: dict[str, Any] | list[dict[str, Any]] = Field(
        default={}, description="The recipe's options; of a chain a list with one table for each recipe, {} for none."
    )
    model: Models | None = None
    input: ModelInputTable = Field(default=ModelInputTable(), description="How this model's input differs.")
    output: OutputTable = Field(default=OutputTable(), description="How this model's output is read.")
    inputs: dict[str, float] = Field(default={}, description="Its inputs beside the image, each constant.")
    architecture: str = Field(
        default="", description="What kind of network it is, where it is another one than the baseline's."
    )
    xfail: str = Field(default="", description="Why it is known to fail: reported as xfailed, not failed.")


class GoalTable(Table):
    """`[goal]`: what `edgeward search` makes as small as it can; `[accept]` says what a candidate must keep."""

    minimise: Literal["latency", "energy", "memory", "size"] = Field(
        description="The cost, as a ratio to the baseline's, that shall become small."
    )
    accuracy: str = Field(
        default="",
        description="The accuracy that is weighed against it; of the first line of [accept] with non_inferior_by.",
    )


class SpaceTable(Table):
    """`[[space]]`: one family of candidates for `edgeward search`, built by recipes or brought ready-made."""

    id: Id = Field(description="What the ids of its candidates begin with.")
    recipe: Annotated[str | list[str], BeforeValidator(_recipes)] | None = Field(
        default=None, description="Build them from the baseline by this recipe, or by these one after the other."
    )
    parameters: dict[str, Any] | list[dict[str, Any]] = Field(
        default={},
        description="The recipe's options; a list is one of its values, { low = A, high = B } anything between.",
    )
    model: list[str] = Field(default=[], description="Files brought ready-made, each a candidate of its own.")
    input: ModelInputTable = Field(default=ModelInputTable(), description="How the input of these models differs.")
    output: OutputTable = Field(default=OutputTable(), description="How the output of these models is read.")
    inputs: dict[str, float] = Field(default={}, description="Their inputs beside the image, each constant.")


class AcceptTable(Table):
    """One line of `[accept]`."""

    max: float | None = Field(default=None, description="At most this.")
    min: float | None = Field(default=None, description="At least this.")
    non_inferior_by: float | None = Field(
        default=None, ge=0, description="Not worse than the baseline by more than this, paired on the same images."
    )


class DutyTable(Table):
    """`[duty]`: how often the model is used in practice, for the hours that a battery lasts."""

    frames_per_second: float | None = Field(default=None, gt=0, le=10_000, description="Inferences a second, always.")
    exam_every_min: float | None = Field(default=None, gt=0, le=10_080, description="Minutes from exam to exam.")
    exam_frames: int | None = Field(default=None, ge=1, description="Inferences of an exam.")

    @model_validator(mode="after")
    def _one_duty(self) -> DutyTable:
        exam = (self.exam_every_min is not None, self.exam_frames is not None)
        if (self.frames_per_second is not None) == any(exam) or any(exam) != all(exam):
            raise wrong("one duty is needed", remedy="write frames_per_second, or exam_every_min and exam_frames")
        return self

    def noun(self) -> Duty:
        """Return it as inferences a second, with its words."""
        if self.frames_per_second is not None:
            return Duty(self.frames_per_second, f"{self.frames_per_second:g} frames a second")
        every, frames = self.exam_every_min or 1.0, self.exam_frames or 0
        return Duty(frames / (every * 60), f"an exam of {frames} frames every {every:g} min")


class RobustnessTable(Table):
    """`[robustness]`: the same images once more, corrupted or attacked, through baseline and variants on the device."""

    corruptions: list[str] | Literal["medmnist-c"] = Field(
        default=[], description="Names of corruptions, or medmnist-c for all that `registry` has."
    )
    registry: str = Field(
        default="", description="Set of MedMNIST-C whose severities are meant; that of a medmnist source if left out."
    )
    severities: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        default=list(_ROBUST.severities), min_length=1, description="How strong corruptions are, 1 to 5."
    )
    margin: float = Field(
        default=_ROBUST.margin,
        gt=0,
        lt=1,
        description="What a variant may lose against the baseline under each of them: 0.03 is three points.",
    )
    attacks: list[Literal["fgsm", "pgd", "stripes"]] = Field(
        default=[],
        description="fgsm and pgd, made with the baseline's gradients and transferred to each deployed file; "
        "stripes, a black box against each file on the device.",
    )
    epsilon: int = Field(
        default=_ROBUST.epsilon, ge=1, le=128, description="Grey levels of 255 by which an attack may change a pixel."
    )
    occlusion: int = Field(
        default=_ROBUST.occlusion,
        ge=0,
        le=1000,
        description="Images on which baseline and variant must look at the same place, by occlusion maps.",
    )


class SuiteTable(Table):
    """suites/NAME.toml: data, task, baseline, variants, load and what makes a case pass."""

    title: str = Field(min_length=1, description="One line for people; it heads the report.")
    confidential: bool = Field(
        default=False, description="Encrypted transport only; data is wiped from the device afterwards."
    )
    data: DataTable = Field(description="The labelled images.")
    task: TaskTable = Field(description="What the model is for.")
    load: LoadTable = Field(default=LoadTable(), description="How inferences are asked for.")
    baseline: BaselineTable = Field(description="The model that every variant is compared with.")
    variant: list[VariantTable] = Field(default=[], description="The optimised models.")
    accept: dict[str, AcceptTable] = Field(default={}, description="What makes a case pass: one assertion a line.")
    duty: DutyTable | None = Field(default=None, description="How often the model is used, for hours of use.")
    goal: GoalTable | None = Field(default=None, description="What `edgeward search` makes small.")
    space: list[SpaceTable] = Field(default=[], description="The candidates that `edgeward search` tries.")
    robustness: RobustnessTable | None = Field(
        default=None, description="The same images corrupted or attacked; without it nothing more is measured."
    )
