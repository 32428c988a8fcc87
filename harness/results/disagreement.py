"""Images that a variant and its baseline give different classes, and small copies of some of them for the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness import registry
from harness.errors import Reason
from harness.model import Disagreement, Example, FloatArray, Run, Samples, Suite, Task, Truth
from harness.pixels import small_copies
from harness.units import counted


def attached(run: Run, baseline: Run | None, samples: Samples, suite: Suite) -> Run:
    """Return a run with the examples that its suite asks for; unchanged where it asks for none or is confidential.

    Args:
        run: of a variant.
        baseline: the run of its baseline, None where there is none.
        samples: the split that both were given.
        suite: says how many.

    Raises:
        MeasurementError: as the metrics' `called`; outputs that were judged give none.
    """
    if not suite.examples or suite.confidential or baseline is None or baseline.id == run.id:
        return run
    found = between(baseline, run, suite.task, suite.examples)
    if found is None or not found.examples:
        return replace(run, disagreement=found)
    pictures = small_copies(samples.images[[one.place for one in found.examples]])
    unseen = None
    if pictures is None:
        said = f"the images are {samples.images.dtype} with {counted(samples.images.shape[-1], 'channel')}"
        unseen = Reason(said, "bring them as uint8 with 1 or 3")
    return replace(run, disagreement=replace(found, pictures=pictures, unseen=unseen))


def between(baseline: Run, run: Run, task: Task, most: int) -> Disagreement | None:
    """Return how many images a run and its baseline give different classes, and the first of them, without pictures.

    None where that cannot be said: one of the two has no outputs, the images have no labels or are not the same, or the
    task does not give each image one class.

    Args:
        baseline: the run of the baseline.
        run: of the variant.
        task: says how outputs are read, and which class is the positive one.
        most: how many examples are wanted. First come the images that only the baseline has right, then those that only
            the variant has right, then the others; in each of these parts those of the positive class, then by place.

    Raises:
        MeasurementError: as the metrics' `called`.
    """
    metrics = registry.load("metrics", task.kind, file=run.case.suite, key="task.kind")
    if baseline.answers is None or run.answers is None or run.labels is None or not hasattr(metrics, "called"):
        return None
    if not len(run.labels) or not np.array_equal(np.asarray(baseline.labels), run.labels):
        return None
    truth = Truth(run.labels, run.classes)
    before, after = (metrics.called(answers, truth, task) for answers in (baseline.answers, run.answers))
    was_right, is_right = before.names == before.truth, after.names == after.truth
    differing = np.flatnonzero(before.names != after.names)
    parts = np.select([was_right, is_right], [0, 1], 2)[differing]
    ordered = differing[np.lexsort((differing, ~before.positive[differing], parts))]
    lost, gained, others = np.bincount(parts, minlength=3).tolist()
    examples = tuple(
        Example(
            place,
            before.truth[place],
            before.names[place],
            after.names[place],
            _share(before.shares, place),
            _share(after.shares, place),
        )
        for place in ordered[:most].tolist()
    )
    return Disagreement(len(run.labels), lost, gained, others, examples)


def _share(shares: FloatArray | None, place: int) -> float | None:
    return None if shares is None else float(shares[place])
