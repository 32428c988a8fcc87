"""[meter]
kind = "powercap"
path = "/sys/class/powercap/intel-rapl:0"   # optional; one folder with energy_uj instead of all processor packages

Reads the energy counters of all processor packages of the machine (Linux powercap, microjoules), added up, each
unwrapped at its max_energy_range_uj.

Since Linux 5.10 root alone may read them, unless it is allowed (CVE-2020-8694): the refusal says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.agent.energy import Refused
from harness.agent.sensors import word

QUANTITY = "joules"
ROOT = Path("/sys/class/powercap")
#: What lets everybody read the counter, now and after every start of the machine.
_ALLOW = """sudo chmod o+r {} until the next start; for good the udev rule SUBSYSTEM=="powercap", ACTION=="add", \
RUN+="/bin/chmod o+r /sys%p/energy_uj" in /etc/udev/rules.d/70-powercap.rules"""


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    path: str = ""


class Meter:
    """A counter of joules."""

    resolution = 1e-6

    def __init__(self, options: Options) -> None:
        folders = [Path(options.path)] if options.path else packages()
        if not folders:
            raise FileNotFoundError(f"no processor package under {ROOT} counts its energy; use another meter")
        self._counters = [_Counter(folder) for folder in folders]

    def read(self) -> float:
        """Return the joules used since some fixed moment."""
        return sum(counter.microjoules() for counter in self._counters) * 1e-6

    def charging(self) -> bool:
        """Return False: the counters sit behind the supply."""
        return False

    def close(self) -> None:
        """Do nothing: no file is held open."""


def packages(root: Path = ROOT) -> list[Path]:
    """Return the folders of the processor packages: not of their parts, which they hold, nor of the whole platform."""
    zones = [folder for folder in sorted(root.glob("intel-rapl:*")) if folder.name.count(":") == 1]
    return [folder for folder in zones if word(folder / "name").startswith("package-")]


class _Counter:
    """The counter of one package."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "energy_uj"
        limit = folder / "max_energy_range_uj"
        self._range = _whole(limit) if limit.exists() else 0
        self._turns = 0
        try:
            self._last = _whole(self._file)
        except PermissionError as error:
            raise Refused(f"{self._file} is readable by root only", _ALLOW.format(self._file)) from error

    def microjoules(self) -> int:
        """Return what was used since some fixed moment."""
        now = _whole(self._file)
        if now < self._last and not self._range:
            raise ValueError(f"{self._file} went backwards and max_energy_range_uj does not say where it turns")
        if now < self._last:
            self._turns += 1
        self._last = now
        return now + self._turns * self._range


def _whole(path: Path) -> int:
    said = path.read_text(errors="replace").strip()
    if not said.isdecimal():
        raise ValueError(f'{path} holds "{said[:40]}", which is no whole number')
    return int(said)
