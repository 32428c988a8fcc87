"""The one table of metrics: what each is called, its unit, its direction, and which rules of `[accept]` it takes.

The lab checks `[accept]` keys against it, the comparison judges by it and the report titles its columns with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

#: Key of the control's latencies among the measurements of its baseline, and of its marked rounds in the notes.
CONTROL: Final = "control_latency_s"
CONTROL_MARKED: Final = "control_marked_rounds"
#: Measurements of a model whose time depends on the image: a mean image's, and an image's that takes the slowest way.
MEAN_IMAGE, WORST_IMAGE = "latency_mean_s", "latency_worst_s"
#: Key of its notes: `timed`, the way through the file of each image that was timed, in their order ([] where they came
#: in another one), and `shares`, the share of the split that takes each way.
PATHS: Final = "paths"

Kind = Literal["cost", "share", "ratio", "accuracy"]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric as users type it and as the report shows it.

    Attributes:
        name: what is typed in `[accept]` and stands in exports.
        title: what people read.
        unit: SI unit as `harness.units.human` takes it; "" for a ratio or index, "%" for a share 0..1, "px" for pixels,
            "mm" for millimetres, "h" for hours of use, "images/s" (never scaled to thousands) for a throughput.
        kind: "cost" (of one run), "share" (of one run's frames, compared as a difference), "ratio" (of a cost, run over
            baseline) or "accuracy" (of predictions).
        lower_is_better: the direction of improvement.
        measurement: for costs and ratios, the key in `Run.measurements` it is computed from ("" if it has none).
        reduce: for costs, how the raw values become one number: "p50", "p90", "p99", "median", "mean" or "max".
        needs: for accuracies, the key of `[task]` without which there is none, "" for most.
        under: the kind of conditions that it is the mean over, "corruption" or "attack"; "" for the images as they are.
    """

    name: str
    title: str
    unit: str
    kind: Kind
    lower_is_better: bool
    measurement: str = ""
    reduce: str = ""
    needs: str = ""
    under: str = ""

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that make sense for it in `[accept]`, most usual first."""
        bound = "max" if self.lower_is_better else "min"
        return (bound, "non_inferior_by") if self.paired else (bound,)

    @property
    def paired(self) -> bool:
        """Whether it is an accuracy that is compared with the baseline's: agreements already are comparisons."""
        return self.kind == "accuracy" and self.name not in ("agreement", "reference_agreement")


def _cost(name: str, title: str, unit: str, measurement: str, reduce: str, *, lower: bool = True) -> MetricInfo:
    return MetricInfo(name, title, unit, "cost", lower, measurement, reduce)


def _share(name: str, title: str) -> MetricInfo:
    return MetricInfo(name, title, "%", "share", True, name, "mean")


def _ratio(name: str, title: str, measurement: str, *, lower: bool = True) -> MetricInfo:
    return MetricInfo(name, title, "", "ratio", lower, measurement)


def _accuracy(
    name: str, title: str, unit: str = "%", *, lower: bool = False, needs: str = "", under: str = ""
) -> MetricInfo:
    return MetricInfo(name, title, unit, "accuracy", lower, needs=needs, under=under)


_TABLE: Final = (
    _cost("latency_p50_s", "Latency, median", "s", "latency_s", "p50"),
    _cost("latency_p90_s", "Latency, p90", "s", "latency_s", "p90"),
    _cost("latency_p99_s", "Latency, p99", "s", "latency_s", "p99"),
    _cost("latency_mean_s", "Latency, mean image", "s", MEAN_IMAGE, "median"),
    _cost("latency_worst_s", "Latency, slowest way", "s", WORST_IMAGE, "median"),
    _cost("load_s", "Model load", "s", "load_s", "median"),
    _cost("first_inference_s", "First inference", "s", "first_inference_s", "median"),
    _cost("process_start_s", "Process start", "s", "process_start_s", "median"),
    _cost("throughput_hz", "Throughput", "images/s", "throughput_hz", "median", lower=False),
    _cost("preprocess_s", "Preprocessing", "s", "preprocess_s", "median"),
    _cost("postprocess_s", "Postprocessing", "s", "postprocess_s", "median"),
    _cost("end_to_end_s", "End to end", "s", "end_to_end_s", "median"),
    _cost("sustained_speed", "Sustained over peak speed", "%", "sustained_speed", "median", lower=False),
    _share("dropped_ratio", "Dropped frames"),
    _share("deadline_miss_ratio", "Deadline misses"),
    _cost("peak_memory_bytes", "Peak memory", "B", "peak_memory_bytes", "max"),
    _cost("peak_pss_bytes", "Peak proportional memory", "B", "peak_pss_bytes", "max"),
    _cost("energy_j", "Energy per inference", "J", "energy_j", "median"),
    _cost("use_h", "Hours of use", "h", "use_h", "median", lower=False),
    _cost("size_bytes", "Model size", "B", "", ""),
    _ratio("latency_ratio", "Latency", "latency_s"),
    _ratio("memory_ratio", "Peak memory", "peak_memory_bytes"),
    _ratio("size_ratio", "Model size", ""),
    _ratio("energy_ratio", "Energy per inference", "energy_j"),
    _ratio("use_ratio", "Hours of use", "use_h", lower=False),
    _ratio("load_ratio", "Model load", "load_s"),
    _ratio("first_inference_ratio", "First inference", "first_inference_s"),
    _accuracy("accuracy", "Accuracy"),
    _accuracy("sensitivity", "Sensitivity"),
    _accuracy("specificity", "Specificity"),
    _accuracy("precision", "Precision"),
    _accuracy("f1", "F1"),
    _accuracy("macro_f1", "F1, macro"),
    _accuracy("balanced_accuracy", "Balanced accuracy"),
    _accuracy("quadratic_kappa", "Quadratically weighted kappa", "", needs="ordinal"),
    _accuracy("auroc", "AUROC", ""),
    _accuracy("exact_match", "Exact match of all labels"),
    _accuracy("hamming_accuracy", "Right labels"),
    _accuracy("macro_auroc", "AUROC, mean over labels", ""),
    _accuracy("sensitivity_at_specificity", "Sensitivity at the given specificity", needs="sensitivity_at_specificity"),
    _accuracy("specificity_at_sensitivity", "Specificity at the given sensitivity", needs="specificity_at_sensitivity"),
    _accuracy("brier", "Brier score", "", lower=True),
    _accuracy("calibration_error", "Calibration error", "", lower=True),
    _accuracy("agreement", "Agreement with the baseline"),
    _accuracy("reference_agreement", "Agreement with the host"),
    _accuracy("dice", "Dice"),
    _accuracy("iou", "IoU"),
    _accuracy("hausdorff", "Hausdorff distance", "px", lower=True),
    _accuracy("hausdorff_95", "Hausdorff distance, 95 %", "px", lower=True),
    _accuracy("nsd", "Normalised surface distance", needs="surface_tolerance"),
    _accuracy("hausdorff_mm", "Hausdorff distance in millimetres", "mm", lower=True),
    _accuracy("hausdorff_95_mm", "Hausdorff distance in millimetres, 95 %", "mm", lower=True),
    _accuracy("nsd_mm", "Normalised surface distance in millimetres", needs="surface_tolerance_mm"),
    _accuracy("corrupted_accuracy", "Accuracy, corrupted images", under="corruption"),
    _accuracy("corrupted_dice", "Dice, corrupted images", under="corruption"),
    _accuracy("attacked_accuracy", "Accuracy, attacked images", under="attack"),
)

#: Kind of condition -> what begins the name of the accuracy that is the mean over them.
UNDER: Final[Mapping[str, str]] = {"corruption": "corrupted", "attack": "attacked"}

#: Name -> MetricInfo, in the order in which reports show them.
METRICS: Final[Mapping[str, MetricInfo]] = {info.name: info for info in _TABLE}
