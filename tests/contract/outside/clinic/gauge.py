"""[meter]
kind = "gauge"
watts = 3.0                                 # what it shows
log = "/tmp/gauge.log"                      # optional; a file on this host that gets a line when it is opened

A meter that the host reads and that always shows nearly the same power.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

QUANTITY = "watts"
UNTESTED = "it measures nothing"


@dataclass(frozen=True)
class Options:
    """`watts`: what it shows; `log`: where it says that it was opened."""

    watts: float = 3.0
    log: str = ""


class Meter:
    """Watts drawn now."""

    resolution = 1e-3

    def __init__(self, options: Options) -> None:
        self._watts = options.watts
        if options.log:
            with Path(options.log).open("a") as file:
                file.write(f"{__name__}\n")

    def read(self) -> float:
        """Return the watts that it shows now."""
        return self._watts * random.uniform(0.99, 1.01)

    def charging(self) -> bool:
        """Return False: it feeds nothing."""
        return False

    def close(self) -> None:
        """Do nothing: nothing is held open."""
