"""How a model is fed and read: what its file says, what the suite declares, and a refusal where neither decides.

Nothing is taken from values: whether numbers are probabilities, which output is meant and in which order its classes
come is said by the file's operators, names and metadata, or by the suite.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness import formats
from harness.errors import LabError
from harness.lab.answering import Answering
from harness.lab.feeding import Feeding
from harness.lab.held import words
from harness.lab.reading import shown
from harness.model import Fit, InputSpec, Reading, Samples, Suite, Variant


def input_of(suite: Suite, variant: Variant) -> InputSpec:
    """Return how an image becomes the input of one model: `[data.input]`, then what its own `input` declares."""
    own: dict[str, Any] = {**variant.input}
    wanted = own.pop("channels", None)
    if wanted and "color" not in own:
        own["color"] = "grey" if wanted == 1 else "RGB"
    for key in ("mean", "std", "size"):
        if key in own:
            own[key] = tuple(own[key])
    return replace(suite.input, **own)


def fit(suite: Suite, variant: Variant, samples: Samples) -> Fit:
    """Return how one model of a suite is fed with its images and how its answers are read.

    Args:
        suite: says what is declared.
        variant: a model whose file can be used.
        samples: the split that is judged.

    Raises:
        LabError: the file does not fit the data, or leaves open what only a person knows; it says the line to write.
    """
    feeding, answering = Feeding(suite, variant, samples), Answering(suite, variant, samples)
    spec = input_of(suite, variant)
    if not formats.known(variant.format):
        declared = answering.undescribed()
        reading = replace(declared, classes=tuple(declared.classes))
        return Fit(input=spec, reading=reading, constants=dict(variant.inputs))
    try:
        file = formats.read(variant.path, variant.format)
    except formats.Unreadable as error:
        raise LabError(error.text, remedy=error.remedy, file=shown(variant.path)) from error
    quantization, spec = feeding.fed(file, spec)
    names = words((variant.path.name, *variant.parts))
    joined = (f"{names} are measured as one file, joined on this host",) if variant.parts else ()
    reading, labels, answer = answering.read(file)
    return Fit(
        spec,
        quantization,
        answer,
        reading,
        labels,
        dict(variant.inputs),
        (*joined, *feeding.remarks, *answering.remarks),
        file.paths,
    )


def differently(one: Reading, baseline: Reading) -> str:
    """Return how a model is read otherwise than its baseline, "" where it is not."""
    said = []
    if one.kind != baseline.kind:
        said.append(f"its numbers are read as {one.kind}, those of its baseline as {baseline.kind}")
    if one.threshold != baseline.threshold:
        said.append(f"its threshold is {one.threshold:g}, that of its baseline {baseline.threshold:g}")
    return "; ".join(said)
