"""suites/NAME.toml as a pydantic model: what may stand where, with the sentence an editor shows for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from harness.lab.model_tables import InputTable, ModelInputTable, OutputTable
from harness.lab.strict import Id, Table, wrong
from harness.model import FRAME_RATE_HZ, Duty, Folds, Load, LocalStep, OperatingPoint, Robustness

_LOAD, _ROBUST, _STEP = Load(), Robustness(), LocalStep(0.0)


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
    profile: bool = Field(
        default=_LOAD.profile,
        description="Whether a traced pass, after all that is timed, says which operators take an inference's time.",
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
    attacks: list[Literal["fgsm", "pgd", "stripes", "square"]] = Field(
        default=[],
        description="fgsm and pgd, made with the baseline's gradients and transferred to each deployed file; "
        "stripes and square, black boxes against each file on the device.",
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


class LocalStepTable(Table):
    """`[local_step]`: the step of training whose cost on the device `edgeward step` measures."""

    learning_rate: float = Field(gt=0, description="Of the optimiser.")
    batch: int = Field(default=_STEP.batch, ge=1, le=65_536, description="Images of the train split in a step.")
    steps: int = Field(default=_STEP.steps, ge=3, le=10_000, description="Steps of a launch that are timed.")
    optimiser: Literal["sgd", "adam"] = Field(
        default=_STEP.optimiser, description="What changes the weights; sgd has no momentum."
    )
    layers: Literal["all", "last"] = Field(
        default=_STEP.layers, description="Which learn: all, or the last one with weights alone."
    )
    tolerance: float = Field(
        default=_STEP.tolerance,
        gt=0,
        lt=1,
        description="How far the weights may end from those of the same steps on the host, over the way they went.",
    )


class SuiteTable(Table):
    """suites/NAME.toml: data, task, baseline, variants, load and what makes a case pass."""

    title: str = Field(min_length=1, description="One line for people; it heads the report.")
    confidential: bool = Field(
        default=False, description="Encrypted transport only; data is wiped from the device afterwards."
    )
    examples: int | None = Field(
        default=None,
        ge=1,
        le=12,
        description="Images of which the report shows small copies, where a variant and the baseline disagree.",
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
    local_step: LocalStepTable | None = Field(
        default=None, description="A step of training on the device, for `edgeward step`."
    )
