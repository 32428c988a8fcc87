"""[meter]
kind = "hwmon"
channel = "power1_input"                    # or volts times amperes: "in1_input * curr1_input"; "+" adds up several
labels = ["VDD_IN"]                         # instead: channels by what their label files say, added up
chip = "ina226"                             # its name, its address on the bus ("1-0040"), or its label

Reads a power sensor of the kernel (INA219, INA226, INA3221 ...): power in µW, or mV x mA, as watts. Without `chip` it
is the only one with these channels. The number in /sys/class/hwmon/hwmon3 may be another after a start of the device,
so that it is refused where the chip has a name or an address of its own: they stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.agent.sensors import word

QUANTITY = "watts"
ROOT = Path("/sys/class/hwmon")

#: A place in sysfs whose number is given out anew at each start of the device.
_NUMBERED = re.compile(r"(/sys/.*/hwmon\d+)(/.*)?")
_POWER = re.compile(r"power\d+_(input|average)")
_PRODUCT = re.compile(r"(in\d+_input) *\* *(curr\d+_input)|(curr\d+_input) *\* *(in\d+_input)")


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    channel: str = ""
    labels: tuple[str, ...] = ()
    chip: str = ""

    def __post_init__(self) -> None:
        if self.channel and self.labels:
            raise ValueError("channel and labels say the same twice; leave one")
        for part in self.parts():
            if not (_POWER.fullmatch(part) or _PRODUCT.fullmatch(part)):
                raise ValueError(
                    f'{part!r} is no channel of power; write "power1_input", or volts times amperes: '
                    '"in1_input * curr1_input"'
                )

    def parts(self) -> list[str]:
        """Return the channels that are added up, none where they are chosen by their labels."""
        return [] if self.labels else [part.strip() for part in (self.channel or "power1_input").split("+")]


class Meter:
    """Watts drawn now."""

    def __init__(self, options: Options) -> None:
        folder = _chip(options)
        self._terms = [[folder / name for name in names] for names in _channels(folder, options)]
        self.resolution = 1e-6
        self.read()

    def read(self) -> float:
        """Return the watts that flow through the sensor now; negative if they flow backwards."""
        watts, steps = 0.0, 0.0
        for files in self._terms:
            values = [int(file.read_text()) for file in files]
            product = 1e-6  # µW, and mV x mA, alike
            for value in values:
                product *= value
            watts += product
            # A last digit of volts or amperes moves the product by the other.
            steps += 1e-6 * sum(abs(value) for value in values) if len(values) > 1 else 1e-6
        self.resolution = steps
        return watts

    def charging(self) -> bool:
        """Return False: what the sensor sits on is drawn, wherever it comes from."""
        return False

    def close(self) -> None:
        """Do nothing: no file is held open."""


def _chip(options: Options) -> Path:
    """Return the folder with the channels of the chip that is meant; raises OSError if there is not exactly one."""
    wanted = options.chip
    numbered = _NUMBERED.fullmatch(wanted)
    lasting = _lasting(Path(numbered[1])) if numbered else ""
    if lasting:
        raise FileNotFoundError(
            f'the number in {wanted} may be another chip\'s after a start of the device; write chip = "{lasting}"'
        )
    places = [Path(wanted)] if "/" in wanted else sorted(ROOT.glob("*"))
    if wanted and "/" not in wanted:
        seen = ", ".join(sorted({word(place / "name") for place in places} - {""})) or "none"
        places = [place for place in places if wanted in _names(place)]
        if not places:
            raise FileNotFoundError(f"no chip under {ROOT} is called {wanted!r}; there is: {seen}")
    # Drivers written before 2013 keep their channels one folder further down.
    folders = [folder for place in places for folder in (place, place / "device")]
    found = [folder for folder in folders if _channels(folder, options)]
    if len(found) == 1:
        return found[0]
    where, what = wanted or f"any chip under {ROOT}", _shown(options)
    if not found:
        raise FileNotFoundError(f"{where} has no {what}; set chip and channel under [meter]")
    several = ", ".join(_address(folder) or str(folder) for folder in found)
    raise FileNotFoundError(f"several chips have {what}: {several}; set chip to one of these")


def _lasting(place: Path) -> str:
    """Return what a chip is called after every start: its address, else its name if no other has it; "" if nothing."""
    name = word(place / "name")
    alike = [one for one in ROOT.glob("*") if word(one / "name") == name]
    return _address(place) or (name if len(alike) == 1 else "")


def _names(place: Path) -> set[str]:
    """Return what a chip may be called: its driver's name, its address on the bus and its label."""
    return {word(place / "name"), _address(place), word(place / "label")}


def _address(folder: Path) -> str:
    """Return the address on its bus of the chip with a folder, "" where it has none."""
    device = folder if folder.name == "device" else folder / "device"
    return device.resolve().name if device.is_symlink() else ""


def _shown(options: Options) -> str:
    named = [f'channel with the label "{label}"' for label in options.labels]
    return " and ".join(named or [name for part in options.parts() for name in _files(part)])


def _files(part: str) -> list[str]:
    return [name.strip() for name in part.split("*")]


def _channels(folder: Path, options: Options) -> Sequence[Sequence[str]]:
    """Return the files of each channel that is added up, nothing where the folder lacks one."""
    terms = [_labelled(folder, label) for label in options.labels] or [_files(part) for part in options.parts()]
    there = all(names and all((folder / name).is_file() for name in names) for names in terms)
    return terms if there else []


def _labelled(folder: Path, label: str) -> list[str]:
    """Return the files of the one channel with a label, nothing where none or several have it."""
    found = [file.name[: -len("_label")] for file in folder.glob("*_label") if word(file) == label]
    powers = [[f"{name}_input"] for name in found if re.fullmatch(r"power\d+", name)]
    products = [[f"{name}_input", f"curr{name[2:]}_input"] for name in found if re.fullmatch(r"in\d+", name)]
    meant = powers or products
    return meant[0] if len(meant) == 1 else []
