"""[meter]
kind = "powercap"
path = "/sys/class/powercap/intel-rapl:0"   # optional; the folder with energy_uj

Since Linux 5.10 root alone may read it, unless it is allowed (CVE-2020-8694): the refusal says how.

Reads the processor package's energy counter (Linux powercap, microjoules), unwrapping it at max_energy_range_uj.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.agent.energy import Refused

QUANTITY = "joules"
#: What lets everybody read the counter, now and after every start of the machine.
_ALLOW = """sudo chmod o+r {} until the next start; for good the udev rule SUBSYSTEM=="powercap", ACTION=="add", \
RUN+="/bin/chmod o+r /sys%p/energy_uj" in /etc/udev/rules.d/70-powercap.rules"""


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
        try:
            self._last = int(self._counter.read_text())
        except PermissionError as error:
            raise Refused(f"{self._counter} is readable by root only", _ALLOW.format(self._counter)) from error
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
