"""Can a split be judged as its suite asks? What is left open is refused before anything is measured."""

from __future__ import annotations

from harness import registry
from harness.errors import LabError
from harness.model import Samples, Suite
from harness.vocabulary import METRICS


def check(suite: Suite, samples: Samples) -> None:
    """Refuse a split of which the suite leaves open how it is judged, or that cannot be judged so.

    Raises:
        LabError: naming the key and the line to write.
    """
    _check_truth(suite, samples)
    _check_spacing(suite, samples)
    positive = suite.task.positive
    if not len(samples.labels) and samples.masks is None:
        return  # models are held against one another: no class is the one that anything speaks of
    if not positive and suite.task.kind == "classification" and len(samples.classes) == 2:
        first, second = samples.classes
        raise LabError(
            f"is not set, and sensitivity may speak of {first!r} or of {second!r}",
            remedy=f'write positive = "{second}" or positive = "{first}" under [task]',
            file=str(suite.file),
            key="task.positive",
        )
    curves = [key for key in ("sensitivity_at_specificity", "specificity_at_sensitivity") if getattr(suite.task, key)]
    if curves and not positive:
        raise LabError(
            "is a point of the curve of one class against the others, and no class is named",
            remedy=f"write positive = one of {', '.join(samples.classes)} under [task]",
            file=str(suite.file),
            key=f"task.{curves[0]}",
        )
    if positive and positive not in samples.classes:
        raise LabError(
            f"{positive!r} is not a class of the data",
            remedy=registry.suggestion(positive, samples.classes),
            file=str(suite.file),
            key="task.positive",
        )
    if positive and len(samples.labels) and not samples.of_class(positive).any():
        raise LabError(
            f"no image of the split {suite.split} is of the class {positive!r}, so nothing shows its sensitivity",
            remedy="add some, or name a class that has images",
            file=str(suite.file),
            key="task.positive",
        )


def _check_spacing(suite: Suite, samples: Samples) -> None:
    """Refuse what is asked for in millimetres where nobody says how large a pixel is."""
    wanted = [f"accept.{line.metric}" for line in suite.accept if METRICS[line.metric].unit == "mm"]
    wanted += ["task.surface_tolerance_mm"] if suite.task.surface_tolerance_mm is not None else []
    if wanted and samples.masks is not None and samples.spacing is None:
        raise LabError(
            f"is in millimetres, and how large a pixel of the split {suite.split} is, nobody says",
            remedy="write spacing = [HEIGHT, WIDTH] of a stored pixel in millimetres under [data], or ask for pixels",
            file=str(suite.file),
            key=wanted[0],
        )


def _check_truth(suite: Suite, samples: Samples) -> None:
    """Refuse labels where masks are judged, the reverse, and masks that nowhere hold the positive class."""
    kind, positive, file = suite.task.kind, suite.task.positive, str(suite.file)
    labels, masks = len(samples.labels) > 0, samples.masks is not None
    if kind == "segmentation" and labels and not masks:
        raise LabError(
            f"is {kind!r}, and the split {suite.split} has labels and no masks",
            remedy='write kind = "classification", or bring the masks',
            file=file,
            key="task.kind",
        )
    if kind in ("classification", "multilabel") and masks and not labels:
        raise LabError(
            f"is {kind!r}, and the split {suite.split} has masks and no labels",
            remedy='write kind = "segmentation", or bring the labels',
            file=file,
            key="task.kind",
        )
    if samples.masks is not None and kind == "segmentation" and positive in samples.classes:
        number = samples.classes.index(positive)
        if not any((mask == number).any() for mask in samples.masks):
            raise LabError(
                f"no mask of the split {suite.split} holds the class {positive!r}: nothing shows how it is outlined",
                remedy="add some, or name a class that has pixels",
                file=file,
                key="task.positive",
            )
