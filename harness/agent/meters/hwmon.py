"""[meter]
kind = "hwmon"
channel = "power1_input"                    # or volts times amperes: "in1_input * curr1_input"
chip = "ina226"                             # its name, or its folder; default: the only chip with that channel

Reads a power sensor of the kernel (INA219, INA226, INA3221 ...): power in µW, or mV x mA, as watts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

QUANTITY = "watts"
ROOT = Path("/sys/class/hwmon")

_POWER = re.compile(r"power\d+_(input|average)")
_PRODUCT = re.compile(r"(in\d+_input) *\* *(curr\d+_input)|(curr\d+_input) *\* *(in\d+_input)")


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    channel: str = "power1_input"
    chip: str = ""

    def __post_init__(self) -> None:
        if not (_POWER.fullmatch(self.channel) or _PRODUCT.fullmatch(self.channel)):
            raise ValueError(
                f'{self.channel!r} is no channel of power; write "power1_input", or volts times amperes: '
                '"in1_input * curr1_input"'
            )


class Meter:
    """Watts drawn now."""

    def __init__(self, options: Options) -> None:
        self._channels = [part.strip() for part in options.channel.split("*")]
        folder = _chip(options.chip, self._channels)
        self._files = [folder / channel for channel in self._channels]
        self.resolution = 1e-6
        self.read()

    def read(self) -> float:
        """Return the watts that flow through the sensor now; negative if they flow backwards."""
        values = [int(file.read_text()) for file in self._files]
        watts = 1e-6  # µW, and mV x mA, alike
        for value in values:
            watts *= value
        if len(values) > 1:
            # A last digit of volts or amperes moves the product by the other.
            self.resolution = 1e-6 * sum(abs(value) for value in values)
        return watts

    def charging(self) -> bool:
        """Return False: what the sensor sits on is drawn, wherever it comes from."""
        return False

    def close(self) -> None:
        """Do nothing: no file is held open."""


def _chip(wanted: str, channels: list[str]) -> Path:
    """Return the folder with the channels of the chip that is meant; raises OSError if there is not exactly one."""
    places = [Path(wanted)] if "/" in wanted else sorted(ROOT.glob("*"))
    names = {place: _name(place) for place in places}
    if wanted and "/" not in wanted:
        places = [place for place in places if names[place] == wanted]
        if not places:
            seen = ", ".join(sorted(set(names.values()) - {""})) or "none"
            raise FileNotFoundError(f"no chip under {ROOT} is called {wanted!r}; there is: {seen}")
    # Drivers written before 2013 keep their channels one folder further down.
    folders = [folder for place in places for folder in (place, place / "device")]
    found = [folder for folder in folders if all((folder / channel).is_file() for channel in channels)]
    if len(found) == 1:
        return found[0]
    where = wanted or f"any chip under {ROOT}"
    if not found:
        raise FileNotFoundError(f"{where} has no {' and '.join(channels)}; set chip and channel under [meter]")
    several = ", ".join(str(folder) for folder in found)
    raise FileNotFoundError(f"several chips have {' and '.join(channels)}: {several}; set chip to one of these folders")


def _name(place: Path) -> str:
    file = place / "name"
    return file.read_text(errors="replace").strip() if file.is_file() else ""
