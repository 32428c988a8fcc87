"""How images become a model's input: by its file, and by what its suite declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from harness import pixels, registry
from harness.errors import LabError
from harness.formats import ModelFile, Tensor
from harness.lab.held import Held, key_of, listed, table
from harness.model import InputSpec

_FLOATS: Final = ("float32", "float16", "float64")
INTEGERS: Final = ("uint8", "int8", "uint16", "int16", "int32", "int64")
#: Format -> the runtime that runs its files at one size.
_FIXED: Final = {"tflite": "LiteRT", "pte": "ExecuTorch"}
#: The filter in a line that is offered: which one a model was trained with, only its maker knows.
_FILTER: Final = "bilinear"


class Feeding(Held):
    """The input of one model."""

    def fed(self, file: ModelFile, spec: InputSpec) -> tuple[tuple[float, int], InputSpec]:
        """Return what an integer input stands for, and how images become the model's input."""
        tensor = self._image(file)
        if tensor.type not in (*_FLOATS, *INTEGERS):
            raise self.refusal(
                f"takes {tensor}, which no image can be made", remedy="export it with a float32 input", key="model"
            )
        fixed = _FIXED.get(file.format)
        if fixed and (file.format == "pte" or tensor.shape is not None) and None in (tensor.shape or (None, None))[1:]:
            raise self.refusal(
                f"takes {tensor}: its sizes are open, and {fixed} is run at fixed ones",
                remedy="export it with fixed sizes",
                key="model",
            )
        spec = self._laid_out(tensor, spec)
        if tensor.type in INTEGERS and tensor.scale == 0:
            self._pixels(tensor, spec)
        # TFLite's interpreter says itself what its integers stand for.
        return (tensor.scale, tensor.zero_point) if file.format == "onnx" else (0.0, 0), spec

    def _image(self, file: ModelFile) -> Tensor:
        """Return the input that takes the image: the only one that the suite gives no constant."""
        constants = self.variant.inputs
        names = [one.name for one in file.inputs]
        for name in constants:
            if name not in names:
                raise self.refusal(
                    f"has no input {name!r}, only {listed(file.inputs)}",
                    remedy=registry.suggestion(name, names),
                    key=f"inputs.{name}",
                )
        images = [one for one in file.inputs if one.name not in constants]
        if len(images) != 1:
            # The image is the one of four axes; a constant beside it has fewer.
            others = [one for one in file.inputs if one.shape is None or len(one.shape) != 4] or list(file.inputs[1:])
            line = ", ".join(f"{key_of(one.name)} = NUMBER" for one in others)
            raise self.refusal(
                f"has {len(file.inputs)} inputs: {listed(file.inputs)}",
                remedy=f"write inputs = {{ {line} }} under [{table(self.key)}] for those that stay the same, or "
                "export it with the image as its only input",
                key="inputs",
            )
        for one in file.inputs:
            if one.name in constants and (one.shape is None or None in one.shape[1:] or one.type in ("text", "map")):
                raise self.refusal(
                    f"takes {one}, whose size is open: no constant can be made of a number",
                    remedy="export it with a fixed size",
                    key=f"inputs.{one.name}",
                )
        return images[0]

    def _laid_out(self, tensor: Tensor, spec: InputSpec) -> InputSpec:
        """Return the spec with the layout that fits; the file's where it leaves no choice."""
        images = self.samples.images
        try:
            depth = pixels.channels(images.shape[-1], spec)
        except ValueError as error:
            raise self.refusal(f"cannot be fed: {error}", remedy="correct `color`", key="input") from error
        height, width = spec.size or images.shape[1:3]
        self._check_means(spec, depth)
        shape = tensor.shape
        if shape is None:
            return spec
        if len(shape) != 4:
            raise self.refusal(
                f"takes {tensor}: {len(shape)} axes, and an input of images has four (images, channels, height, width)",
                remedy="export it with four",
                key="model",
            )
        if shape[0] not in (None, 1):
            raise self.refusal(
                f"takes exactly {shape[0]} images at once",
                remedy="export it with a free number of images, or with one",
                key="model",
            )
        given = {"NCHW": (depth, height, width), "NHWC": (height, width, depth)}
        fitting = [layout for layout, sizes in given.items() if _matches(shape[1:], sizes)]
        declared = self.variant.input.get("layout")
        if spec.layout in fitting:
            return spec
        if fitting and not declared:
            self.remarks.append(f"{self.name} takes {fitting[0]}, by the shape of its input")
            return replace(spec, layout=fitting[0])
        if fitting:
            raise self.refusal(
                f"takes {tensor}, which is {fitting[0]}", remedy=f'write layout = "{fitting[0]}"', key="input.layout"
            )
        raise self._misfit(tensor, spec, (height, width, depth))

    def _check_means(self, spec: InputSpec, depth: int) -> None:
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            if len(values) not in (1, depth):
                raise self.refusal(
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
        if spec.layout != self.suite.input.layout:
            keys.append(f'layout = "{spec.layout}"')
        if (height or given[0], width or given[1]) != given[:2]:
            keys.append(f'size = [{height or given[0]}, {width or given[1]}], resize = "{_FILTER}"')
        if depth not in (None, given[2]):
            keys.append('color = "grey"' if depth == 1 else 'color = "RGB"')
        filtered = any("resize" in key for key in keys)
        said = "write, with the filter that it was trained with," if filtered else "write"
        way = f"{said} input = {{ {', '.join(keys)} }} under [{table(self.key)}]" if keys else ""
        return self.refusal(
            f"takes {tensor}, and the data gives images of {given[0]} x {given[1]} with {given[2]} channels",
            remedy=way or "bring images of its size and channels",
            key="input",
        )

    def _pixels(self, tensor: Tensor, spec: InputSpec) -> None:
        """Refuse an integer input that nothing explains, but for pixels, which are what they are."""
        if tensor.type != "uint8" or self.samples.images.dtype != np.uint8:
            raise self.refusal(
                f"takes {tensor} without saying what its integers stand for, and the images are "
                f"{self.samples.images.dtype}",
                remedy="export it with quantisation parameters, or with a float32 input",
                key="model",
            )
        plain = InputSpec()
        if (spec.scale, spec.mean, spec.std) != (plain.scale, plain.mean, plain.std):
            self.remarks.append(
                f"{self.name} takes the pixels 0 to 255 as they are: scale, mean and std have no part in it"
            )


def _matches(wanted: Sequence[int | None], given: Sequence[int]) -> bool:
    return all(size in (None, have) for size, have in zip(wanted, given, strict=True))
