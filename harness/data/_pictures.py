"""Image and mask files as pixels: 8 bits a pixel, of one size, and nothing in them guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from harness.errors import LabError

if TYPE_CHECKING:
    from PIL.Image import Image

Bytes = npt.NDArray[np.uint8]
#: The EXIF tag that says how a picture is to be turned (CIPA DC-008, 4.6.5.1.5).
_ORIENTATION: Final = 0x0112
#: A JPEG mask of one class: up to here a pixel is background, from here it is inside, and so many may lie between.
_DARK, _BRIGHT, _BLURRED = 64, 191, 0.02


class How(Protocol):
    """How files become pixels: `resize`, height and width or None; `mode`, "L", "RGB" or "" for what they are."""

    @property
    def resize(self) -> tuple[int, int] | None:
        """Height and width in pixels that all are brought to."""

    @property
    def mode(self) -> str:
        """What colours all are brought to."""


def wrong(path: Path, text: str, *, remedy: str) -> LabError:
    """Return the error of a file.

    Args:
        path: of the file.
        text: what is wrong with it.
        remedy: what to do.
    """
    return LabError(text, remedy=remedy, file=str(path))


def turned(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a remark if cameras noted that some images are to be shown turned, which nobody does here."""
    from PIL import Image

    count = 0
    for path in paths:
        if path.suffix.lower() in (".jpg", ".jpeg", ".tif", ".tiff", ".png"):
            with Image.open(path) as image:
                count += image.getexif().get(_ORIENTATION, 1) not in (0, 1)
    if not count:
        return ()
    return (
        f"{count} of {len(paths)} images hold an EXIF orientation, which is not applied: they are measured as they are "
        "stored; turn them once and for all if the model was trained on turned ones",
    )


def _open(path: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(path)
        frames = getattr(image, "n_frames", 1)
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise wrong(path, "is not an image that can be read", remedy="replace or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise wrong(path, f"is a corrupt image ({error})", remedy="replace or remove it") from error
    if frames > 1:
        raise wrong(path, f"holds {frames} pictures", remedy="save each as a file of its own")
    if image.mode.startswith(("I", "F")):
        raise wrong(path, f"has more than 8 bits a pixel ({image.mode})", remedy="save it with 8")
    return image


def _picture(path: Path, options: How) -> Bytes:
    """Return one image (H, W, C), C being 1 or 3."""
    image = _open(path)
    if options.mode:
        image = image.convert(options.mode)
    elif image.mode not in ("L", "RGB"):
        raise wrong(path, f"is neither 8-bit grey nor RGB but {image.mode}", remedy='set mode = "L" or "RGB" in [data]')
    if options.resize is not None:
        from PIL import Image

        image = image.resize(options.resize[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def joined(picture: Path, parts: Sequence[Path], options: How) -> Bytes:
    """Return one mask (H, W) of all the parts that an image has.

    Args:
        picture: file of the image.
        parts: files of its mask.
        options: how files become pixels.

    Raises:
        LabError: a part cannot be read, or two of them give a pixel two classes.
    """
    size = _open(picture).size
    joined = mask(size, parts[0], options)
    for path in parts[1:]:
        part = mask(size, path, options)
        if ((joined > 0) & (part > 0) & (joined != part)).any():
            raise wrong(path, f"and {parts[0].name} give a pixel two classes", remedy="correct one of them")
        joined = np.maximum(joined, part)
    return joined


def shape(picture: Path) -> tuple[int, int]:
    """Return height and width of an image as it is stored."""
    width, height = _open(picture).size
    return height, width


def mask(size: tuple[int, int], path: Path, options: How) -> Bytes:
    """Return one mask (H, W) of the size its image ends up with.

    Args:
        size: width and height of the image as it is stored.
        path: of the mask.
        options: how files become pixels.

    Raises:
        LabError: it cannot be read, is of another size, or is no mask.
    """
    mask = _open(path)
    if mask.mode == "RGB" and len({band.tobytes() for band in mask.split()}) == 1:
        mask = mask.getchannel(0)  # grey, saved as colour
    if mask.mode not in ("L", "P", "1"):
        raise wrong(path, f"is a mask in {mask.mode}", remedy="save one grey value, the class index, for each pixel")
    if mask.size != size:
        raise wrong(path, f"is {_spelled(mask.size)} and its image {_spelled(size)} pixels", remedy="make them alike")
    if options.resize is not None:
        from PIL import Image

        mask = mask.resize(options.resize[::-1], Image.Resampling.NEAREST)
    values = np.asarray(mask)
    if mask.mode == "1":
        return np.where(values, 255, 0).astype(np.uint8)
    return _unblurred(values, path) if path.suffix.lower() in (".jpg", ".jpeg") else values.astype(np.uint8)


def _unblurred(values: npt.NDArray[Any], path: Path) -> Bytes:
    """Return a JPEG mask as 0 and 255, which its compression has blurred; refuse one that is nowhere near them."""
    between = float(np.mean((values >= _DARK) & (values <= _BRIGHT)))
    if between > _BLURRED or values.max() <= _BRIGHT:
        raise wrong(
            path,
            "is a JPEG, whose compression changes class indices",
            remedy="save masks as PNG, with one grey value, the class index, for each pixel",
        )
    return np.where(values > (_DARK + _BRIGHT) / 2, 255, 0).astype(np.uint8)


def _spelled(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def stack(paths: Sequence[Path], options: How) -> npt.NDArray[Any]:
    """Return (N, H, W, C); raises LabError naming the first file that is unlike the first one."""
    first = _picture(paths[0], options)
    stack = np.empty((len(paths), *first.shape), np.uint8)
    for index, path in enumerate(paths):
        pixels = _picture(path, options)
        if pixels.shape[:2] != first.shape[:2]:
            raise wrong(
                path,
                f"is {pixels.shape[0]}x{pixels.shape[1]} pixels and {paths[0].name} {first.shape[0]}x{first.shape[1]}",
                remedy=f"set resize = [{first.shape[0]}, {first.shape[1]}] in [data]",
            )
        if pixels.shape[2] != first.shape[2]:
            raise wrong(
                path,
                f"and {paths[0].name} are not both grey or both colour",
                remedy='set mode = "L" or "RGB" in [data]',
            )
        stack[index] = pixels
    return stack
