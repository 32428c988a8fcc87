"""What models gave for images with a square covered -> maps of where they look, and how alike two models' maps are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import registry, stats
from harness.errors import MeasurementError, Reason
from harness.model import Answers, FloatArray, IntArray, Occlusion, Run, Samples
from harness.stats.distributions import midranks

#: Squares along each side.
GRID: Final = 7
#: Key of the notes under which is kept why a run has no map.
NOTE: Final = "occlusion_absent"


@dataclass(frozen=True, slots=True)
class Covered:
    """What a model gave for the covered copies of some images, or why it gave nothing.

    Attributes:
        places: (M,) which images of the split.
        pictures: as `Occlusion.pictures`.
        outputs: (M * GRID * GRID, ...), the copies of one image one behind the other; None where there are none.
        absent: why there are none.
    """

    places: IntArray
    pictures: npt.NDArray[np.uint8] | None = None
    outputs: npt.NDArray[Any] | None = None
    absent: Reason | None = None

    def more(self, outputs: npt.NDArray[Any] | Reason) -> Covered:
        """Return this with the outputs for the next images, or the reason without them."""
        if isinstance(outputs, Reason):
            return replace(self, absent=self.absent or outputs)
        return replace(self, outputs=outputs if self.outputs is None else np.concatenate([self.outputs, outputs]))


def attached(run: Run, covered: Covered | None, baseline: Run | None, samples: Samples) -> Run:
    """Return a run with its maps, and how alike they are to its baseline's; unchanged where nothing was asked for.

    Args:
        run: of the images as they are.
        covered: what the same model gave for the covered copies.
        baseline: the run of the baseline with its own maps; None for itself.
        samples: the split.
    """
    if covered is None or run.answers is None:
        return run
    if covered.absent is not None or covered.outputs is None:
        return _without(run, covered.absent or Reason("no outputs of covered images came"))
    try:
        found = _maps(run, covered, baseline, samples)
    except MeasurementError as error:
        return _without(run, Reason(error.text, error.remedy))
    head = baseline.occlusion if baseline is not None and baseline.id != run.id else None
    if head is not None:
        alike = correlations(head.maps, found.maps)
        groups = samples.groups[found.places] if samples.groups is not None else None
        found = replace(
            found, correlations=alike, agreement=stats.mean_interval(alike, least=-1, most=1, groups=groups)
        )
    return replace(run, occlusion=found)


def _without(run: Run, reason: Reason) -> Run:
    return replace(run, notes={**run.notes, NOTE: asdict(reason)})


def absence(run: Run) -> Reason | None:
    """Return why a run has no maps, None if it has some or nobody asked for them."""
    kept = run.notes.get(NOTE)
    return Reason(**kept) if kept else None


def _maps(run: Run, covered: Covered, baseline: Run | None, samples: Samples) -> Occlusion:
    metrics = registry.load("metrics", run.case.task, file=run.case.suite, key="task.kind")
    answers, head = run.answers, (baseline or run).answers
    assert answers is not None
    assert covered.outputs is not None
    if head is None:
        raise MeasurementError("the baseline has no outputs", remedy="see why, in its own row")
    places, squares = covered.places, GRID * GRID
    classes = np.asarray(
        metrics.labels_of(Answers(head.values[places], head.reading), samples.classes), np.int64
    )  # the same class for every model, or their maps would be of different questions
    whole = metrics.sureness(Answers(answers.values[places], answers.reading), samples.classes, classes)
    hidden = Answers(covered.outputs, answers.reading)
    less = metrics.sureness(hidden, samples.classes, np.repeat(classes, squares)).reshape(-1, squares)
    maps = (whole[:, np.newaxis] - less).reshape(-1, GRID, GRID).astype(np.float32)
    return Occlusion(places, classes, maps, covered.pictures)


def correlations(maps: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> FloatArray:
    """Return (M,) Spearman's rank correlation of the squares of each image's two maps.

    A map that is the same everywhere points nowhere: it agrees with no other, and counts as 0.

    Args:
        maps: (M, G, G) of one model.
        others: (M, G, G) of the other.
    """
    found = np.zeros(len(maps))
    for place, (one, other) in enumerate(zip(maps, others, strict=True)):
        ranks = [midranks(each) for each in (one.ravel(), other.ravel())]
        if all(np.ptp(each) > 0 for each in ranks):
            found[place] = np.corrcoef(ranks[0], ranks[1])[0, 1]
    return found
