"""Writes .npy files without numpy, so that the conductor needs nothing but the standard library."""

from __future__ import annotations

import struct
from pathlib import Path


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a version 1.0 .npy file in C order (numpy.lib.format)."""
    text = repr({"descr": descr, "fortran_order": False, "shape": shape})
    length = len(text) + 1
    padded = text + " " * (-(length + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode("latin1")


def write(path: Path, descr: str, shape: tuple[int, ...], raw: bytes) -> None:
    """Write `raw` as an array; it appears under its name whole or not at all.

    Args:
        path: of the file.
        descr: numpy's name of the type, with its byte order.
        shape: of the array.
        raw: its bytes in C order.
    """
    temporary = path.with_suffix(".part")
    with temporary.open("wb") as file:
        file.write(header(descr, shape))
        file.write(raw)
    temporary.replace(path)
