"""How a model is fed and how it is read, as pydantic models: `input` and `output`, of all models or of one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.lab.strict import Table, wrong
from harness.model import InputSpec

_INPUT = InputSpec()


class InputTable(Table):
    """`[data.input]`: x = (pixel * scale - mean) / std."""

    layout: Literal["NCHW", "NHWC"] = Field(description="Order of the axes of the model's input.")
    scale: float = Field(gt=0, description="Factor on a pixel's value: 0.00392156862745098 makes 0..255 into 0..1.")
    mean: list[float] = Field(
        default=list(_INPUT.mean), min_length=1, description="Subtracted, one value or one a channel."
    )
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=list(_INPUT.std), min_length=1, description="Divided by, one value or one a channel."
    )


Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Size = Annotated[int, Field(ge=1, le=65_535)]


class ModelInputTable(Table):
    """`input` of a model: what is not as `[data.input]` says for it."""

    layout: Literal["NCHW", "NHWC"] | None = Field(default=None, description="Order of the axes of its input.")
    scale: float | None = Field(default=None, gt=0, description="Factor on a pixel's value.")
    mean: list[float] | None = Field(default=None, min_length=1, description="Subtracted, one value or one a channel.")
    std: list[Annotated[float, Field(gt=0)]] | None = Field(
        default=None, min_length=1, description="Divided by, one value or one a channel."
    )
    size: list[Size] | None = Field(
        default=None, min_length=2, max_length=2, description="[HEIGHT, WIDTH] that it takes; needs `resize`."
    )
    resize: Filter | None = Field(default=None, description="The filter that brings images to `size`.")
    antialias: bool | None = Field(
        default=None, description="Whether the filter is widened where images become smaller (true unless said)."
    )
    color: Literal["RGB", "BGR", "grey"] | None = Field(
        default=None, description="Order of its channels; grey images are repeated, colour ones weighted (ITU-R 601)."
    )
    channels: Literal[1, 3] | None = Field(
        default=None, description="1 for grey, 3 for red, green and blue; the short form of `color`."
    )

    @model_validator(mode="after")
    def _complete(self) -> ModelInputTable:
        if self.size is not None and self.resize is None:
            raise wrong("`size` needs a filter", remedy='write resize = "bilinear", or the one it was trained with')
        if self.size is None and (self.resize is not None or self.antialias is not None):
            raise wrong("`resize` and `antialias` belong to `size`", remedy="write size = [HEIGHT, WIDTH]")
        if self.channels is not None and self.color is not None and (self.channels == 1) != (self.color == "grey"):
            raise wrong("`channels` and `color` do not agree", remedy="leave one")
        return self


class OutputTable(Table):
    """`output`: which output is judged, and what its numbers stand for, where the model's file leaves it open."""

    name: str | None = Field(default=None, min_length=1, description="Name of the output that is judged.")
    kind: Literal["logits", "probabilities", "sigmoid", "labels"] | None = Field(
        default=None,
        description="What its numbers stand for: logits, before a softmax; probabilities of classes that exclude each "
        "other; sigmoid, a probability of each class on its own; labels, the answer itself.",
    )
    threshold: float | None = Field(
        default=None, gt=0, lt=1, description="Probability above which the second of two classes is the answer; 0.5."
    )
    classes: list[str] | None = Field(
        default=None, min_length=1, description="The names of its outputs, in its own order, as the data calls them."
    )
