"""[meter]
kind = "powercap"
path = "/sys/class/powercap/intel-rapl:0"   # optional; the folder with energy_uj

Reads the processor package's energy counter (Linux powercap, microjoules), unwrapping it at max_energy_range_uj.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

QUANTITY = "joules"


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    path: str = "/sys/class/powercap/intel-rapl:0"


class Meter:
    """A counter of joules."""

    resolution = 1e-6

    def __init__(self, options: Options) -> None:
        self._counter = Path(options.path) / "energy_uj"
        limit = Path(options.path) / "max_energy_range_uj"
        self._range = int(limit.read_text()) if limit.exists() else 0
        self._last = int(self._counter.read_text())
        self._turns = 0

    def read(self) -> float:
        """Return the joules used since some fixed moment."""
        now = int(self._counter.read_text())
        if now < self._last and not self._range:
            raise ValueError(f"{self._counter} went backwards and max_energy_range_uj does not say where it turns")
        if now < self._last:
            self._turns += 1
        self._last = now
        return (now + self._turns * self._range) * 1e-6

    def charging(self) -> bool:
        """Return False: the counter sits behind the supply."""
        return False

    def close(self) -> None:
        """Do nothing: no file is held open."""
