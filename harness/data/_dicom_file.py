"""One DICOM file: what it holds, whether it names its patient, and its pixels (decoders: pydicom.github.io)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from harness.data import _dicom_values, _pictures, _spacing
from harness.errors import LabError

Array = npt.NDArray[Any]

#: What identifies a patient (PS3.15, table E.1-1: the direct identifiers of a patient).
IDENTIFIERS: Final = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientBirthName", "PatientMotherBirthName",
    "PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation", "OtherPatientIDs", "OtherPatientNames",
    "MedicalRecordLocator", "InsurancePlanIdentification", "ResponsiblePerson", "CountryOfResidence",
)  # fmt: skip
#: What pixels themselves show (PS3.3, C.7.6.1 and C.7.6.1.1).
_IN_PIXELS: Final = {"BurnedInAnnotation": "text in the pixels", "RecognizableVisualFeatures": "a recognisable face"}
#: Names of transfer syntaxes begin so -> what installs a decoder that reads them.
_PLUGINS: Final = {
    "JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "High-Throughput JPEG 2000": "pylibjpeg pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
    "JPEG": "pylibjpeg pylibjpeg-libjpeg",
}
#: Objects with pixels that are no images.
_NO_IMAGES: Final = {"SEG": "a segmentation", "RTDOSE": "doses"}
_COLOURS: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "YBR_PARTIAL_422")


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file holds.

    Attributes:
        frames: (F, H, W, 1 or 3), uint8 or float32.
        shown: how its values became these, as `_dicom_values.frames` says.
        patient: the patient's id, "" where the file names none.
        identifying: what in the file identifies its patient, by the names of its elements.
        spacing: height and width of a pixel in millimetres, None where the file does not say it or nobody asked.
        at_detector: whether that is the size at the detector, larger than in the patient.
    """

    frames: Array
    shown: _dicom_values.Shown
    patient: str
    identifying: tuple[str, ...]
    spacing: _spacing.Size | None = None
    at_detector: bool = False


def read(path: Path, window: _dicom_values.Window, *, spaced: bool = False) -> Picture:
    """Return what a file holds.

    Args:
        path: of the file.
        window: what `[data]` says of grey values.
        spaced: whether it is asked how large a pixel is.

    Raises:
        LabError: pydicom is missing, the file is no DICOM, is truncated, holds no image, is compressed as no decoder
            here reads it, or leaves open how its grey values are shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be read is refused; the rest are remarks on other elements
        data = _opened(path)
        try:
            _check_kind(data, path)
            stored = _decoded(data, path)
            frames, shown = _dicom_values.frames(data, stored, window, path)
            measures = _dicom_values.group(data, 0, "PixelMeasuresSequence", "PixelSpacing")
            spacing, at_detector = _spacing.said_by(data, measures, path) if spaced else (None, False)
            patient, identifying = str(data.get("PatientID") or "").strip(), tuple(_identifying(data))
        except LabError:
            raise
        except Exception as error:
            # Elements are parsed when they are asked for, and what they hold may be anything.
            text = f"holds elements that make no sense ({' '.join(str(error).split())})"
            raise _pictures.wrong(path, text, remedy="copy it again, or remove it") from error
        return Picture(frames, shown, patient, identifying, spacing, at_detector)


def shipped(name: str, base: Path) -> Path:
    """Return a file that pydicom's own package holds.

    Args:
        name: of the file, such as "examples_rgb_color.dcm".
        base: named in errors.

    Raises:
        LabError: pydicom is missing, or holds no such file.
    """
    library(base)
    from pydicom.data import get_testdata_file

    found = get_testdata_file(name, download=False)
    if not isinstance(found, str):
        text = f"pydicom holds no file {name!r}"
        raise LabError(text, remedy="name one of its folder data/test_files", file=str(base), key="data.shipped")
    return Path(found)


def library(path: Path) -> Any:
    """Return pydicom; raises LabError with what installs it, for the file or folder that needs it."""
    try:
        import pydicom
    except ImportError as error:
        text = f"needs pydicom, which is not installed ({error})"
        raise _pictures.wrong(path, text, remedy='pip install "edgeward[dicom]"') from error
    return pydicom


def _opened(path: Path) -> Any:
    pydicom = library(path)
    try:
        return pydicom.dcmread(path)
    except pydicom.errors.InvalidDicomError as error:
        text = "is no DICOM file: DICM does not stand behind its first 128 bytes"
        raise _pictures.wrong(path, text, remedy="convert or remove it") from error
    except Exception as error:
        # A damaged file fails wherever its bytes stop to make sense.
        raise _pictures.wrong(
            path, f"cannot be read as DICOM ({error})", remedy="copy it again, or remove it"
        ) from error


def _check_kind(data: Any, path: Path) -> None:
    """Refuse a file that holds no image, or one of colours that are not read."""
    modality, kind = str(data.get("Modality") or ""), str(data.get("PhotometricInterpretation") or "")
    if modality in _NO_IMAGES:
        raise _pictures.wrong(path, f"holds {_NO_IMAGES[modality]}, no image ({modality})", remedy="remove it")
    keywords = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
    if not any(keyword in data for keyword in keywords) or not kind:
        text = f"holds no image{f' but is of the modality {modality}' if modality else ''}, or is truncated before it"
        raise _pictures.wrong(path, text, remedy="copy it again, or remove it")
    if kind not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", *_COLOURS):
        raise _pictures.wrong(path, f"holds the colours {kind}, which are not read", remedy="convert it to RGB")


def _decoded(data: Any, path: Path) -> Array:
    """Return the stored pixels, (F, H, W) or (F, H, W, 3), colours as red, green and blue."""
    syntax = data.file_meta.get("TransferSyntaxUID")
    try:
        pixels: Array = data.pixel_array
    except Exception as error:
        # Each decoder has errors of its own.
        name = syntax.name if syntax is not None else ""
        plugins = next((what for start, what in _PLUGINS.items() if name.startswith(start)), "")
        said = " ".join(str(error).split())
        if plugins:
            text = f"is compressed as {name} and could not be decoded ({said})"
            remedy = f"pip install {plugins}; if they are there, the file is damaged: copy it again"
        else:
            text, remedy = f"is truncated or damaged: its pixels cannot be read ({said})", "copy it again, or remove it"
        raise _pictures.wrong(path, text, remedy=remedy) from error
    frames = _count(data)
    shape = (frames, int(data.Rows), int(data.Columns), *([3] if int(data.get("SamplesPerPixel", 1)) == 3 else []))
    if pixels.size != int(np.prod(shape)):
        text = f"holds {pixels.size} pixel values, and its header says {' x '.join(map(str, shape))}"
        raise _pictures.wrong(path, text, remedy="copy it again, or remove it")
    return pixels.reshape(shape)


def _count(data: Any) -> int:
    return int(data.get("NumberOfFrames") or 1)


def _identifying(data: Any) -> Iterator[str]:
    """Yield the elements that identify a patient; those of one that is marked as de-identified do not."""
    removed = str(data.get("PatientIdentityRemoved") or "").strip().upper() == "YES"
    known = set()
    if not removed:
        known = {
            one.keyword for one in data.iterall() if one.keyword in IDENTIFIERS and str(one.value or "").strip(" ^=")
        }
    yield from (name for name in IDENTIFIERS if name in known)
    for name, what in _IN_PIXELS.items():
        if str(data.get(name) or "").strip().upper() == "YES":
            yield f"{name} ({what})"


def write(path: Path, stored: Array, **elements: Any) -> None:
    """Write an image without a patient, for examples: MONOCHROME2, or RGB where it has three channels.

    Args:
        path: of the file, whose folder is made.
        stored: (H, W), (F, H, W) or (H, W, 3), of whole numbers.
        elements: keyword -> value of further elements, or instead of what is written otherwise.
    """
    pydicom = library(path)
    from pydicom import uid

    colour = stored.ndim == 3 and stored.shape[-1] == 3
    data = pydicom.Dataset()
    data.SOPClassUID, data.SOPInstanceUID = uid.SecondaryCaptureImageStorage, uid.generate_uid()
    data.Rows, data.Columns = stored.shape[:2] if colour or stored.ndim == 2 else stored.shape[1:]
    if stored.ndim == 3 and not colour:
        data.NumberOfFrames = len(stored)
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = stored.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes() + bytes(stored.nbytes % 2)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
