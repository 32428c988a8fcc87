"""[meter]
kind = "power_supply"
path = "/sys/class/power_supply/battery"    # optional; default: the first battery

Reads voltage_now (µV) x current_now (µA) of a battery, or power_now (µW) where there is one: watts, refused while
charging. A charge counter is not joules and is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

QUANTITY = "watts"


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    path: str = ""


class Meter:
    """Watts drawn now."""

    resolution = 1e-6

    def __init__(self, options: Options) -> None:
        self._folder = Path(options.path) if options.path else _first_battery()
        self.read()

    def read(self) -> float:
        """Return the watts drawn from the battery now; the sign of the current differs between drivers."""
        power = self._folder / "power_now"
        if power.exists():
            return abs(int(power.read_text())) * 1e-6
        volts = int((self._folder / "voltage_now").read_text()) * 1e-6
        return volts * abs(int((self._folder / "current_now").read_text())) * 1e-6

    def charging(self) -> bool:
        """Return whether the battery is being charged, which hides what the device draws."""
        status = self._folder / "status"
        return status.exists() and status.read_text().strip() in ("Charging", "Full")


def _first_battery() -> Path:
    for supply in sorted(Path("/sys/class/power_supply").glob("*")):
        if (supply / "type").read_text().strip() == "Battery":
            return supply
    raise FileNotFoundError("no battery under /sys/class/power_supply; set path under [meter]")
