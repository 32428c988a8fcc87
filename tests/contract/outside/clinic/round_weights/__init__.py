"""`recipe = "round_weights"`, `parameters = { digits = 1 }`: keep so many digits of every weight."""

from __future__ import annotations

from dataclasses import dataclass

from clinic.round_weights import _file
from harness.ports.recipes import Build

FORMATS = ("tiny",)
TOOLS = ("numpy", "clinic")


@dataclass(frozen=True, slots=True)
class Options:
    """`digits`: how many are kept behind the point."""

    digits: int = 1


def build(job: Build, options: Options) -> None:
    """Write the parent with rounded weights."""
    arrays = _file.read(job.parent)
    _file.write(job.target, {**arrays, "weights": arrays["weights"].round(options.digits)})
