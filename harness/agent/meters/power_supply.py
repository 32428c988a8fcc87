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
#: What a machine that is awake may draw. Some drivers count in mA, or in steps of their own, against the rules of the
#: kernel: 2.6 A at 3.8 V, given in mA, would pass for 0.0099 W.
PLAUSIBLE_W = (0.01, 200.0)


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
            return self._plausible(abs(int(power.read_text())) * 1e-6, "power_now")
        volts = int((self._folder / "voltage_now").read_text()) * 1e-6
        amperes = abs(int((self._folder / "current_now").read_text())) * 1e-6
        return self._plausible(volts * amperes, "voltage_now x current_now")

    def charging(self) -> bool:
        """Return whether the battery is being charged, which hides what the device draws."""
        status = self._folder / "status"
        return status.exists() and status.read_text().strip() in ("Charging", "Full")

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def _plausible(self, watts: float, source: str) -> float:
        if PLAUSIBLE_W[0] <= watts <= PLAUSIBLE_W[1]:
            return watts
        raise ValueError(
            f"{source} in {self._folder} is {watts:.3g} W, which no device in use draws: it is not in micro-units, "
            "or nothing is drawn from the battery"
        )


def _first_battery() -> Path:
    for supply in sorted(Path("/sys/class/power_supply").glob("*")):
        if (supply / "type").read_text().strip() == "Battery":
            return supply
    raise FileNotFoundError("no battery under /sys/class/power_supply; set path under [meter]")
