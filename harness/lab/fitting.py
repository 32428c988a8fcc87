"""How a model is fed and read: what its file says, what the suite declares, and a refusal where neither decides.

Nothing is taken from values: whether numbers are probabilities, which output is meant and in which order its classes
come is said by the file's operators, names and metadata, or by the suite.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from harness import formats, pixels, registry
from harness.errors import LabError
from harness.formats import ModelFile, Tensor
from harness.lab.reading import shown
from harness.model import Fit, InputSpec, Reading, Samples, Suite, Variant

_FLOATS: Final = ("float32", "float16", "float64")
_INTEGERS: Final = ("uint8", "int8", "uint16", "int16", "int32", "int64")
#: The filter in a line that is offered: which one a model was trained with, only its maker knows.
_FILTER: Final = "bilinear"


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
    whole = _Fitting(suite, variant, samples)
    spec = input_of(suite, variant)
    if not formats.known(variant.format):
        declared = Reading(**whole.declared)
        return Fit(input=spec, reading=replace(declared, classes=tuple(declared.classes)))
    try:
        file = formats.read(variant.path, variant.format)
    except formats.Unreadable as error:
        raise LabError(error.text, remedy=error.remedy, file=shown(variant.path)) from error
    quantization, spec = whole.fed(file, spec)
    reading, labels, answer = whole.read(file)
    return Fit(spec, quantization, answer, reading, labels, dict(variant.inputs), tuple(whole.remarks))


class _Fitting:
    """One model held against the data; `remarks` grows with what should be seen."""

    def __init__(self, suite: Suite, variant: Variant, samples: Samples) -> None:
        self._suite, self._variant, self._samples = suite, variant, samples
        self._name = variant.path.name
        self._key = "baseline" if variant.id == suite.baseline else f"variant[{variant.id}]"
        self.remarks: list[str] = []
        if variant.parts:
            self.remarks.append(
                f"{self._name} and {_words(variant.parts)} are measured as one file, joined on this host"
            )
        output = dict(variant.output)
        self.declared: dict[str, Any] = {"output": output.pop("name", ""), **output}

    def _refusal(self, text: str, *, remedy: str, key: str) -> LabError:
        return LabError(f"{self._name} {text}", remedy=remedy, file=shown(self._suite.file), key=f"{self._key}.{key}")

    # --- the input -----------------------------------------------------------------------------------------------

    def fed(self, file: ModelFile, spec: InputSpec) -> tuple[tuple[float, int], InputSpec]:
        """Return what an integer input stands for, and how images become the model's input."""
        tensor = self._image(file)
        if tensor.type not in (*_FLOATS, *_INTEGERS):
            raise self._refusal(
                f"takes {tensor}, which no image can be made", remedy="export it with a float32 input", key="model"
            )
        spec = self._laid_out(tensor, spec)
        if tensor.type in _INTEGERS and tensor.scale == 0:
            self._pixels(tensor, spec)
        # TFLite's interpreter says itself what its integers stand for.
        return (tensor.scale, tensor.zero_point) if file.format == "onnx" else (0.0, 0), spec

    def _image(self, file: ModelFile) -> Tensor:
        """Return the input that takes the image: the only one that the suite gives no constant."""
        constants = self._variant.inputs
        names = [one.name for one in file.inputs]
        for name in constants:
            if name not in names:
                raise self._refusal(
                    f"has no input {name!r}, only {_listed(file.inputs)}",
                    remedy=registry.suggestion(name, names),
                    key=f"inputs.{name}",
                )
        images = [one for one in file.inputs if one.name not in constants]
        if len(images) != 1:
            # The image is the one of four axes; a constant beside it has fewer.
            others = [one for one in file.inputs if one.shape is None or len(one.shape) != 4] or list(file.inputs[1:])
            line = ", ".join(f"{_key(one.name)} = NUMBER" for one in others)
            raise self._refusal(
                f"has {len(file.inputs)} inputs: {_listed(file.inputs)}",
                remedy=f"write inputs = {{ {line} }} under [{_table(self._key)}] for those that stay the same, or "
                "export it with the image as its only input",
                key="inputs",
            )
        for one in file.inputs:
            if one.name in constants and (one.shape is None or None in one.shape[1:] or one.type in ("text", "map")):
                raise self._refusal(
                    f"takes {one}, whose size is open: no constant can be made of a number",
                    remedy="export it with a fixed size",
                    key=f"inputs.{one.name}",
                )
        return images[0]

    def _laid_out(self, tensor: Tensor, spec: InputSpec) -> InputSpec:
        """Return the spec with the layout that fits; the file's where it leaves no choice."""
        images = self._samples.images
        try:
            depth = pixels.channels(images.shape[-1], spec)
        except ValueError as error:
            raise self._refusal(f"cannot be fed: {error}", remedy="correct `color`", key="input") from error
        height, width = spec.size or images.shape[1:3]
        self._check_means(spec, depth)
        shape = tensor.shape
        if shape is None:
            return spec
        if len(shape) != 4:
            raise self._refusal(
                f"takes {tensor}: {len(shape)} axes, and an input of images has four (images, channels, height, width)",
                remedy="export it with four",
                key="model",
            )
        if shape[0] not in (None, 1):
            raise self._refusal(
                f"takes exactly {shape[0]} images at once",
                remedy="export it with a free number of images, or with one",
                key="model",
            )
        given = {"NCHW": (depth, height, width), "NHWC": (height, width, depth)}
        fitting = [layout for layout, sizes in given.items() if _matches(shape[1:], sizes)]
        declared = self._variant.input.get("layout")
        if spec.layout in fitting:
            return spec
        if fitting and not declared:
            self.remarks.append(f"{self._name} takes {fitting[0]}, by the shape of its input")
            return replace(spec, layout=fitting[0])
        if fitting:
            raise self._refusal(
                f"takes {tensor}, which is {fitting[0]}", remedy=f'write layout = "{fitting[0]}"', key="input.layout"
            )
        raise self._misfit(tensor, spec, (height, width, depth))

    def _check_means(self, spec: InputSpec, depth: int) -> None:
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            if len(values) not in (1, depth):
                raise self._refusal(
                    f"gets images of {depth} channels, and `{name}` has {len(values)} values",
                    remedy="give one, or one a channel",
                    key=f"input.{name}",
                )

    def _misfit(self, tensor: Tensor, spec: InputSpec, given: tuple[int, int, int]) -> LabError:
        assert tensor.shape is not None
        sizes = tensor.shape[1:]
        depth, height, width = sizes if spec.layout == "NCHW" else (sizes[2], *sizes[:2])
        other = "NHWC" if spec.layout == "NCHW" else "NCHW"
        if depth not in (None, 1, 3):  # the layout is not what it takes
            depth, height, width = (sizes[2], *sizes[:2]) if spec.layout == "NCHW" else sizes
            spec = replace(spec, layout=other)
        keys = []
        if spec.layout != self._suite.input.layout:
            keys.append(f'layout = "{spec.layout}"')
        if (height or given[0], width or given[1]) != given[:2]:
            keys.append(f'size = [{height or given[0]}, {width or given[1]}], resize = "{_FILTER}"')
        if depth not in (None, given[2]):
            keys.append('color = "grey"' if depth == 1 else 'color = "RGB"')
        filtered = any("resize" in key for key in keys)
        said = "write, with the filter that it was trained with," if filtered else "write"
        way = f"{said} input = {{ {', '.join(keys)} }} under [{_table(self._key)}]" if keys else ""
        return self._refusal(
            f"takes {tensor}, and the data gives images of {given[0]} x {given[1]} with {given[2]} channels",
            remedy=way or "bring images of its size and channels",
            key="input",
        )

    def _pixels(self, tensor: Tensor, spec: InputSpec) -> None:
        """Refuse an integer input that nothing explains, but for pixels, which are what they are."""
        if tensor.type != "uint8" or self._samples.images.dtype != np.uint8:
            raise self._refusal(
                f"takes {tensor} without saying what its integers stand for, and the images are "
                f"{self._samples.images.dtype}",
                remedy="export it with quantisation parameters, or with a float32 input",
                key="model",
            )
        plain = InputSpec()
        if (spec.scale, spec.mean, spec.std) != (plain.scale, plain.mean, plain.std):
            self.remarks.append(
                f"{self._name} takes the pixels 0 to 255 as they are: scale, mean and std have no part in it"
            )

    # --- the output ----------------------------------------------------------------------------------------------

    def read(self, file: ModelFile) -> tuple[Reading, tuple[str, ...], tuple[float, int]]:
        """Return which output is judged and how, what its answers are called, and what its integers stand for."""
        chosen = self._chosen(file)
        classes = self._classes(file, chosen)
        kind = self._kind(chosen)
        if "threshold" in self.declared and len(self._samples.classes) != 2:
            raise self._refusal(
                f"cannot have a threshold: the data has {len(self._samples.classes)} classes, and the largest decides",
                remedy="remove it",
                key="output.threshold",
            )
        several = chosen.name if len(file.outputs) > 1 else ""
        labels = chosen.labels if chosen.type in ("text", "map") or (kind == "labels" and chosen.labels) else ()
        if chosen.type in _INTEGERS and kind not in ("labels", "") and chosen.scale == 0:
            raise self._refusal(
                f"gives {chosen} without saying what its integers stand for",
                remedy="export it with quantisation parameters, or with a float32 output",
                key="output",
            )
        # TFLite's interpreter says itself what its integers stand for.
        scaled = file.format == "onnx" and chosen.type in _INTEGERS and kind != "labels"
        quantization = (chosen.scale, chosen.zero_point) if scaled else (0.0, 0)
        return Reading(several, kind, self.declared.get("threshold", 0.5), classes), labels, quantization

    def _chosen(self, file: ModelFile) -> Tensor:
        named = self.declared["output"]
        found = [one for one in file.outputs if one.name == named]
        if named and not found and len(file.outputs) > 1:
            raise self._refusal(
                f"has no output {named!r}, only {_listed(file.outputs)}",
                remedy=registry.suggestion(named, [one.name for one in file.outputs]),
                key="output.name",
            )
        if found or len(file.outputs) == 1:
            chosen = (found or list(file.outputs))[0]
            if self._fits(chosen, file) is False:
                raise self._wrong_shape(chosen)
            return chosen
        fitting = [one for one in file.outputs if self._fits(one, file) is not False]
        # A classifier's label is the largest of its scores: both are one answer, of which the scores say more.
        if len({one.source for one in fitting}) == 1:
            fitting = [one for one in fitting if one.kind != "labels" and one.type != "text"] or fitting
        if len(fitting) != 1 or self._fits(fitting[0], file) is None:
            lines = " or ".join(f"output = {{ name = {_quoted(one.name)} }}" for one in (fitting or file.outputs)[:4])
            raise self._refusal(
                f"has {len(file.outputs)} outputs, {_listed(file.outputs)}, and which one is judged is not said",
                remedy=f"write {lines} under [{_table(self._key)}]",
                key="output.name",
            )
        others = [one.name for one in file.outputs if one is not fitting[0]]
        self.remarks.append(f"{self._name}: {fitting[0].name} is judged, {_words(others)} cannot be what is asked for")
        return fitting[0]

    def _fits(self, tensor: Tensor, file: ModelFile) -> bool | None:
        module = registry.load("metrics", self._suite.task.kind, file=shown(self._suite.file), key="task.kind")
        fits = getattr(module, "fits", None)
        if fits is None:
            return None if len(file.outputs) > 1 else True
        known: bool | None = fits(tensor, self._samples, self._columns(file, tensor))
        return known

    def _matters(self, tensor: Tensor) -> bool:
        """Return whether the answers of a task depend on what the numbers of an output stand for."""
        module = registry.load("metrics", self._suite.task.kind, file=shown(self._suite.file), key="task.kind")
        needs = getattr(module, "needs_kind", None)
        return bool(needs and needs(tensor)) or "threshold" in self.declared

    def _columns(self, file: ModelFile, tensor: Tensor) -> int:
        """Return how many classes an output has: those that are declared or named in the file, else the data's."""
        return len(self.declared.get("classes") or tensor.labels or _named_in(file, tensor) or self._samples.classes)

    def _wrong_shape(self, tensor: Tensor) -> LabError:
        classes = self._samples.classes
        listed = f"{len(classes)} classes ({_words(classes)})"
        if self._samples.masks is not None:
            height, width = self._samples.masks.shape[1:]
            return self._refusal(
                f"gives {tensor}, and the masks are {height} x {width} with {listed}",
                remedy="export it with one map a class of that size",
                key="output",
            )
        remedy = f"export it with one output a class, (N, {len(classes)})"
        # The last axis that is more than one is the classes'.
        sizes = [size for size in (tensor.shape or ())[1:] if size not in (None, 1)]
        if len(sizes) == 1 and sizes[0] is not None and sizes[0] > len(classes):
            remedy = (
                f"name all {sizes[0]} in the model's order, with those that the data has no image of: output = "
                f'{{ classes = ["background", "{classes[0]}", …] }} under [{_table(self._key)}]'
            )
        return self._refusal(f"gives {tensor}, and the data has {listed}", remedy=remedy, key="output")

    def _kind(self, tensor: Tensor) -> str:
        declared = str(self.declared.get("kind", ""))
        if declared:
            if tensor.kind not in ("", declared):
                self.remarks.append(
                    f"{self._name}: {tensor.name} is read as {declared}, as declared, though its last operations make "
                    f"{tensor.kind} of it"
                )
            return declared
        if tensor.type == "text":
            return "labels"
        if tensor.kind or not self._matters(tensor):
            return tensor.kind
        made = f"it is made by {tensor.maker}" if tensor.maker else "no operator makes it"
        raise self._refusal(
            f"does not say what the numbers of its output {tensor.name!r} stand for: {made}",
            remedy='write output = { kind = "logits" } (or "probabilities", "sigmoid" for a probability of each class '
            f'on its own, "labels") under [{_table(self._key)}]',
            key="output.kind",
        )

    def _classes(self, file: ModelFile, tensor: Tensor) -> tuple[str, ...]:
        """Return what the model's outputs are called in its own order, by the data's names where it has one."""
        own = self._samples.classes
        declared = self.declared.get("classes")
        names = tuple(declared or tensor.labels or _named_in(file, tensor))
        if not names:
            return own
        known = {_folded(name): name for name in own}
        matched = tuple(known.get(_folded(name), name) for name in names)
        if set(own) <= set(matched):
            if matched != own and not declared:
                self.remarks.append(
                    f"{self._name} calls its outputs {_words(names)}: they are read by these names, not in the data's "
                    f"order ({_words(own)})"
                )
            return matched
        numbers = tuple(str(place) for place in range(len(own)))
        # Numbers that count the classes are their places; so are the names of classes that the data has no names for.
        if names[: len(own)] == numbers or own == numbers:
            return (*own, *names[len(own) :])
        lacking = [name for name in own if name not in matched]
        raise self._refusal(
            f"calls its outputs {_words(names)}, and the data's classes are {_words(own)}: {_words(lacking)} are not "
            "found among them",
            remedy=f"write output = {{ classes = [{', '.join(_quoted(one) for one in own)}] }} in the model's own "
            f"order under [{_table(self._key)}]",
            key="output.classes",
        )


def _named_in(file: ModelFile, tensor: Tensor) -> tuple[str, ...]:
    """Return the names of classes in the file's metadata, if they can be those of an output."""
    sizes = {size for size in (tensor.shape or ())[1:] if size is not None}
    return file.classes if tensor.shape is None or len(file.classes) in sizes else ()


def _matches(wanted: Sequence[int | None], given: Sequence[int]) -> bool:
    return all(size in (None, have) for size, have in zip(wanted, given, strict=True))


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _table(key: str) -> str:
    return "baseline" if key == "baseline" else f"[{key.partition('[')[0]}]"


def _key(name: str) -> str:
    """Return a name as a key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(map(str, tensors)) or "none"


def _words(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def differently(one: Reading, baseline: Reading) -> str:
    """Return how a model is read otherwise than its baseline, "" where it is not."""
    said = []
    if one.kind != baseline.kind:
        said.append(f"its numbers are read as {one.kind}, those of its baseline as {baseline.kind}")
    if one.threshold != baseline.threshold:
        said.append(f"its threshold is {one.threshold:g}, that of its baseline {baseline.threshold:g}")
    return "; ".join(said)
