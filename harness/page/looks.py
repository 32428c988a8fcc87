"""Where variants look against their baseline: rank correlations, and the images on which they differ most."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness import units
from harness.model import Occlusion
from harness.page.report import Group
from harness.results.occlusion import GRID, absence

#: Side of a picture, pixels; how many images are shown of a variant.
_SIDE: Final = 96
_WORST: Final = 3
#: Longest side of a picture that stands among many: PNG hardly packs speckle, and a report must be one to send.
SMALL: Final = 48
#: How bright a square that counts nothing still is.
_DIM: Final = 0.25


def context(group: Group) -> Mapping[str, Any]:
    """Return what is said and shown of a group's occlusion maps; `looks` is empty where nobody asked for them."""
    head = group.baseline.run.occlusion if group.baseline and group.baseline.run else None
    found: list[dict[str, Any]] = []
    for entry in group.measured:
        own = entry.run.occlusion if entry.run else None
        if entry.run is not None and (reason := absence(entry.run)):
            found.append({"variant": entry.variant, "said": f"no map: {reason}", "worst": []})
        elif own is not None and own.agreement is not None and head is not None:
            worst = list(_worst(head, own, entry.variant, entry.run.classes if entry.run else ()))
            found.append({"variant": entry.variant, "said": _said(own), "worst": worst})
    return {"looks": found, "grid": GRID, "looked": units.count(len(head.places)) if head else "no"}


def _said(own: Occlusion) -> str:
    assert own.agreement is not None
    one = own.agreement
    flat = int((np.ptp(own.maps.reshape(len(own.maps), -1), axis=1) == 0).sum())
    more = f"; its map is flat on {units.count(flat)}, which count as 0" if flat else ""
    point, low, high = (units.decimal(number, 2) for number in (one.point, one.low, one.high))
    return f"{point} ({low} to {high}){more}"


def _worst(head: Occlusion, own: Occlusion, variant: str, classes: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
    if own.pictures is None or own.correlations is None:
        return
    for at in np.argsort(own.correlations, kind="stable")[:_WORST].tolist():
        place, name = int(own.places[at]), classes[int(own.classes[at])] if classes else str(own.classes[at])
        picture = own.pictures[at]
        pictures = [
            {"url": url(picture, side=_SIDE), "alt": f"image {place}"},
            {"url": url(picture, head.maps[at], side=_SIDE), "alt": f"map of the baseline on image {place}"},
            {"url": url(picture, own.maps[at], side=_SIDE), "alt": f"map of {variant} on image {place}"},
        ]
        said = f"image {place}, called {name} by the baseline: rank correlation "
        said += units.decimal(float(own.correlations[at]), 2)
        yield {"pictures": pictures, "said": said}


def url(picture: npt.NDArray[np.uint8], squares: npt.NDArray[np.float32] | None = None, *, side: int = 0) -> str:
    """Return a picture as the data URL of a PNG; with a map, the squares that count less are darker.

    Args:
        picture: (h, w, 1 or 3).
        squares: (G, G), None for the picture alone.
        side: pixels to which both sides are brought; 0: as it is, or made smaller by averaging up to `SMALL`.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture[..., 0] if picture.shape[-1] == 1 else picture))
    if side:
        image = image.resize((side, side), Image.Resampling.NEAREST)
    else:
        image.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    if squares is not None:
        low, high = float(squares.min()), float(squares.max())
        share = (squares - low) / (high - low) if high > low else np.zeros_like(squares)
        light = np.rint(255 * (_DIM + (1 - _DIM) * share)).astype(np.uint8)
        mask = Image.fromarray(light).resize(image.size, Image.Resampling.NEAREST)
        image = Image.composite(image, Image.new(image.mode, image.size), mask)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
