"""[meter]
kind = "gauge"
watts = 3.0                                 # what it shows

A meter that the host reads and that always shows nearly the same power.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

QUANTITY = "watts"
UNTESTED = "it measures nothing"


@dataclass(frozen=True)
class Options:
    """`watts`: what it shows."""

    watts: float = 3.0


class Meter:
    """Watts drawn now."""

    resolution = 1e-3

    def __init__(self, options: Options) -> None:
        self._watts = options.watts

    def read(self) -> float:
        """Return the watts that it shows now."""
        return self._watts * random.uniform(0.99, 1.01)

    def charging(self) -> bool:
        """Return False: it feeds nothing."""
        return False

    def close(self) -> None:
        """Do nothing: nothing is held open."""
