"""How far a run's outputs on the device are from the host's reference run of the same file, and when that is too far.

The difference is a measurement of the run, one value a sample; the share of equal labels is one of its accuracies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import registry
from harness.model import Answers, Estimate, Measurement, Reason, Run, Validity

#: What to do about a difference that rounding does not explain.
_REMEDY: Final = "look with `edgeward layers` where the two begin to differ"
Outputs = npt.NDArray[np.float32]

#: The measurements and the accuracy that this module adds to a run.
DIFFERENCE: Final = "reference_difference"
MEAN: Final = "reference_mean_difference"
LABELS: Final = "reference_agreement"
#: A label that flips where the host's own two best outputs lie closer than this share of the outputs' spread is a tie.
_TIE = 1e-3
#: The share of equal labels below which a float model of more than one label an image does more than round.
_PIXELS = 0.999
#: From which share of the outputs' spread a float model's difference cannot be rounding any more.
_FAR = 0.05
#: Integer kernels round differently from processor to processor; below this share of equal labels they do more.
_QUANTISED = 0.99


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model file gave on this host for the test split.

    Attributes:
        outputs: (N, ...) float32 in the split's order, None if there are none.
        runtime: what gave them: `onnxruntime 1.31.1 on x86_64`.
        quantised: whether the model computes with integers; False also where nothing is known.
        absent: why there are no outputs.
    """

    outputs: Outputs | None = None
    runtime: str = ""
    quantised: bool = False
    absent: str = ""


def held_against(run: Run, reference: Reference, *, same_machine: bool) -> Run:
    """Return the run with its difference from the reference, degraded where that is beyond what rounding explains.

    Args:
        run: a run after its accuracy pass.
        reference: the host's outputs of the same model file for the same samples.
        same_machine: whether the device is the host itself, which makes the reference a check of the way of the data.
    """
    reason = _obstacle(run, reference)
    own = run.answers
    if reason or own is None or run.outputs is None or reference.outputs is None:
        absent = {name: Measurement(name, "", absent_reason=reason) for name in (DIFFERENCE, MEAN)}
        return replace(run, measurements={**run.measurements, **absent})
    module = registry.load("metrics", run.case.task, file=run.case.suite, key="task.kind")
    facts = _facts(own, reference, module)
    where = f"against {reference.runtime}, {'this very machine' if same_machine else 'the host'}"
    labels: Estimate = module.agreement(Answers(reference.outputs, own.reading), own)
    far = np.abs(run.outputs.astype(np.float64) - reference.outputs).reshape(len(run.outputs), -1)
    found = {
        DIFFERENCE: Measurement(DIFFERENCE, "", far.max(axis=1), method=f"largest of each sample's outputs, {where}"),
        MEAN: Measurement(MEAN, "", far.mean(axis=1), method=f"mean of each sample's outputs, {where}"),
    }
    doubt = doubts(facts, labels, reference)
    named = {"runtime": reference.runtime, "same_machine": same_machine, **facts, "doubtful": doubt is not None}
    return replace(
        run,
        measurements={**run.measurements, **found},
        accuracy={**run.accuracy, LABELS: labels},
        notes={**run.notes, "reference": named},
        validity=Validity.DEGRADED if doubt and run.validity is Validity.VALID else run.validity,
        reasons=(*run.reasons, doubt) if doubt else run.reasons,
    )


def doubts(facts: Mapping[str, Any], labels: Estimate, reference: Reference) -> Reason | None:
    """Return why the difference is more than rounding, None if it is not.

    A float model's labels must be the host's but for ties, and its outputs within a twentieth of their spread. A model
    of integers may differ more: kernels of different processors round, and saturate, in their own ways.

    Args:
        facts: the differences as plain values, see `_facts`.
        labels: share of equal labels.
        reference: the host's outputs.
    """
    named = f"{reference.runtime}, the host,"
    if not facts["finite"]:
        return Reason(f"{named} gives outputs of this file that are not numbers, the device does not", _REMEDY)
    if reference.quantised:
        if labels.high >= _QUANTISED:
            return None
        return Reason(f"the device agrees with {named} in only {labels.point:.1%} of the labels", _REMEDY)
    if facts["labels_differ"] > facts["ties"]:
        count = facts["labels_differ"] - facts["ties"]
        samples = f"{count} of {facts['samples']} samples"
        return Reason(f"the device gives {samples} another label than {named} does, and not by a tie", _REMEDY)
    if labels.point < _PIXELS and not facts["labels_differ"]:
        return Reason(f"only {labels.point:.2%} of the pixels have the label they have from {named}", _REMEDY)
    if facts["max_difference"] > _FAR * facts["spread"]:
        share = facts["max_difference"] / facts["spread"] if facts["spread"] else float("inf")
        return Reason(
            f"the device's outputs differ from those of {named} by up to {share:.0%} of their spread", _REMEDY
        )
    return None


def _obstacle(run: Run, reference: Reference) -> str:
    if reference.outputs is None:
        return reference.absent or "no reference run was made"
    if run.outputs is None:
        return "the device gave no outputs"
    if run.outputs.shape != reference.outputs.shape:
        return f"the device's outputs are of shape {run.outputs.shape}, the host's of {reference.outputs.shape}"
    return ""


def _facts(own: Answers, reference: Reference, metrics: Any) -> dict[str, Any]:
    """Return plain values: largest and mean difference, the spread they are held against, and flips of the label.

    Args:
        own: what the device gave.
        reference: what the host gave.
        metrics: the module of the task's kind.
    """
    assert reference.outputs is not None
    outputs, theirs = own.values, reference.outputs
    finite = bool(np.isfinite(theirs).all())
    far = np.abs(outputs.astype(np.float64) - theirs)
    spread = float(theirs.std(dtype=np.float64))
    flips, ties = 0, 0
    if finite and hasattr(metrics, "flips"):
        flips, ties = metrics.flips(Answers(theirs, own.reading), own, _TIE * spread)
    elif finite and outputs.ndim == 2:
        flips, ties = _flips(outputs, theirs, spread)
    return {
        "finite": finite,
        "quantised": reference.quantised,
        "samples": len(outputs),
        "max_difference": float(far.max()),
        "mean_difference": float(far.mean()),
        "spread": spread,
        "identical": bool(np.array_equal(outputs, theirs)),
        "labels_differ": flips,
        "ties": ties,
    }


def _flips(outputs: Outputs, theirs: Outputs, spread: float) -> tuple[int, int]:
    """Return how many samples have another label than the host's, and for how many of those the host's was a tie."""
    flipped = outputs.argmax(axis=1) != theirs.argmax(axis=1)
    if theirs.shape[1] < 2:
        return int(flipped.sum()), 0
    best = np.sort(theirs[flipped], axis=1)
    return int(flipped.sum()), int((best[:, -1] - best[:, -2] <= _TIE * spread).sum())
