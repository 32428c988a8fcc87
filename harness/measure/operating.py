"""The operating point of a suite: a threshold fixed on the validation split by the baseline, and used for every model.

The baseline runs on this host, on images that are not measured; nothing of the measured split has a part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from harness import registry, stats, units
from harness.errors import HarnessError, LabError, MeasurementError
from harness.lab import fit as fit_of
from harness.lab import read_split, shown
from harness.measure.jobs import Group
from harness.measure.reference import Library
from harness.model import Answers, Case, Fit, Samples, Suite

SPLIT = "validation"
_KEY = "task.operating_point"


def applied(
    group: Group,
    library: Library,
    samples: Samples,
    say: Callable[[str], None],
    fail: Callable[[Sequence[Case], HarnessError], None],
) -> Group | None:
    """Return a group whose models are read at the suite's operating point, if it has one; None if none can be.

    Args:
        group: whose models these are.
        library: of the host's own runs.
        samples: the split that is measured.
        say: called with a line when something is computed, and with what the threshold reaches.
        fail: called with the cases that are left out, and why.
    """
    if group.suite.task.operating_point is None:
        return group
    try:
        value, remark = threshold(group, library, samples, say)
    except HarnessError as error:
        fail(group.cases, error)
        return None
    say(f"remark: {remark}")
    fits: dict[str, Fit] = {}
    for case in group.cases:
        try:
            fits[case.id] = found = at(case, group.fit(case), value)
            if case.is_baseline:
                fits[case.id] = replace(found, remarks=(*found.remarks, remark))
        except HarnessError as error:
            fail([case], error)
    own = tuple(case for case in group.cases if case.id in fits)
    return replace(group, cases=own, fits=fits) if own else None


def threshold(group: Group, library: Library, samples: Samples, say: Callable[[str], None]) -> tuple[float, str]:
    """Return the threshold that a suite's operating point asks for, and a remark on what it reaches.

    Args:
        group: whose baseline fixes it.
        library: of the host's own runs.
        samples: the split that is measured.
        say: called with a line when something is computed.

    Raises:
        LabError: there is no baseline or no validation split that can fix it, or its images are measured too.
    """
    suite, file = group.suite, shown(group.suite.file)
    point, head = suite.task.operating_point, next((case for case in group.cases if case.is_baseline), None)
    assert point is not None
    if head is None:
        raise LabError(
            f"is fixed by the baseline {suite.baseline}, which cannot be run",
            remedy="correct its file first",
            file=file,
            key=_KEY,
        )
    split = apart(suite, read_split(suite, SPLIT), samples)
    fitted = fit_of(suite, head.variant, split)
    alone = replace(group, cases=(head,), fits={head.id: fitted})
    found = library.references(alone, split, say)[head.variant.sha256]
    if found.outputs is None:
        raise LabError(
            f"cannot be fixed here: {found.absent}",
            remedy="fix a threshold elsewhere, and write output = { threshold = NUMBER } under [task] instead",
            file=file,
            key=_KEY,
        )
    module = registry.load("metrics", suite.task.kind, file=file, key="task.kind")
    try:
        value, reached = module.threshold(Answers(found.outputs, fitted.reading), split, suite.task)
    except MeasurementError as error:
        raise LabError(f"{head.variant.path.name}, {SPLIT}: {error.text}", remedy=error.remedy, file=file) from error
    return value, (
        f"the threshold of every model is {value:.4g}, fixed by {suite.baseline} on the split {SPLIT} for a "
        f"{point.rate} of at least {point.at_least:g}: there it has {reached}"
    )


def apart(suite: Suite, split: Samples, measured: Samples) -> Samples:
    """Return the validation split without what is measured too, which is refused where `[data] overlap` does not say.

    Args:
        suite: says what is to be done.
        split: as it was read.
        measured: the split that is measured.

    Raises:
        LabError: the two have other classes, or have images or patients in common.
    """
    file = shown(suite.file)
    if split.classes != measured.classes:
        raise LabError(
            f"the split {SPLIT} has the classes {', '.join(split.classes)}, and {suite.split} has "
            f"{', '.join(measured.classes)}",
            remedy="name all classes, in their order, under [data]",
            file=file,
            key="data.classes",
        )
    common = stats.overlap(split.images, measured.images).first
    patients = stats.common_groups(split.groups, split.group_names, measured.groups, measured.group_names)
    shared = np.union1d(common, patients).astype(np.int64)
    if len(shared) and suite.overlap == "refuse":
        raise LabError(
            f"{units.count(len(shared))} of {units.count(len(split.images))} images of the split {SPLIT}, or their "
            f"patients, are (nearly) in {suite.split} too, and a threshold must not be fixed on what is measured",
            remedy='remove them, or write overlap = "leave_out" under [data]: the threshold is then fixed without them',
            file=file,
            key=_KEY,
        )
    return split.without(shared) if len(shared) else split


def at(case: Case, fit: Fit, value: float) -> Fit:
    """Return how a model is read at the operating point.

    Args:
        case: its case.
        fit: how it is fed and read.
        value: the threshold.

    Raises:
        LabError: a threshold cannot decide its answers.
    """
    file = shown(case.suite.file)
    module = registry.load("metrics", case.suite.task.kind, file=file, key="task.kind")
    if reason := module.no_threshold(fit.reading):
        raise LabError(
            f"{case.variant.path.name} {reason}",
            remedy="remove operating_point from [task], or bring a model with one probability or logit of each class",
            file=file,
            key=_KEY,
        )
    return replace(fit, reading=replace(fit.reading, threshold=value))
