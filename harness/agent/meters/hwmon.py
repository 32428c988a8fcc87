"""[meter]
kind = "hwmon"
channel = "power1_input"                    # or volts times amperes: "in1_input * curr1_input"; "+" adds up several
labels = ["VDD_IN"]                         # instead: channels by what their label files say, of any chips, added up
chip = "ina226"                             # its name, its address on the bus ("1-0040"), or its label

Reads a power sensor of the kernel (INA219, INA226, INA3221 ...): power in µW, or mV x mA, as watts. Without `chip` it
is the only one with these channels; without `channel` and `labels`, the chip's only channel of power. The number in
/sys/class/hwmon/hwmon3 may be another after a start of the device, so that it is refused where the chip has a name or
an address of its own: they stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.agent.energy import Refused
from harness.agent.sensors import reading, word

QUANTITY = "watts"
ROOT = Path("/sys/class/hwmon")
#: Most that a file may hold, either way: a megawatt in µW.
_MOST = 1e12

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
        self._terms = _terms(options)
        self.resolution = 1e-6
        self.read()

    def read(self) -> float:
        """Return the watts that flow through the sensor now; negative if they flow backwards."""
        watts, steps = 0.0, 0.0
        for files in self._terms:
            values = [reading(file, _MOST) for file in files]
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


def _terms(options: Options) -> list[list[Path]]:
    """Return the files of each channel that is added up; raises OSError or Refused where it is not clear which."""
    folders = _folders(options)
    if options.labels:
        labelled = [(label, {folder: _labelled(folder, label) for folder in folders}) for label in options.labels]
        return [found[_only(options, found, f'channel with the label "{label}"')] for label, found in labelled]
    terms = [_files(part) for part in options.parts()]
    names = [name for term in terms for name in term]
    there = {folder: [folder / name for name in names if (folder / name).is_file()] for folder in folders}
    found = {folder: files for folder, files in there.items() if len(files) == len(names)}
    folder = _only(options, found, " and ".join(names))
    if not options.channel:
        _alone(folder)
    return [[folder / name for name in term] for term in terms]


def _folders(options: Options) -> list[Path]:
    """Return the folders with the channels of the chips that are meant; raises OSError where none is called so."""
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
    return [folder for place in places for folder in (place, place / "device")]


def _only(options: Options, found: dict[Path, list[Path]], what: str) -> Path:
    """Return the one folder that has what is meant; raises OSError where none or several have."""
    having = [folder for folder, files in found.items() if files]
    if len(having) == 1:
        return having[0]
    if not having:
        where = options.chip or f"any chip under {ROOT}"
        raise FileNotFoundError(f"{where} has no {what}; set chip and channel under [meter]")
    several = ", ".join(_address(folder) or str(folder) for folder in having)
    raise FileNotFoundError(f"several chips have {what}: {several}; set chip to one of these")


def _alone(folder: Path) -> None:
    """Raise Refused where the chip has more channels of power than the one that is read unless another is named."""
    inputs = [f"power{number}_input" for number in range(1, 100) if (folder / f"power{number}_input").is_file()]
    if len(inputs) > 1:
        labels = {name: word(folder / name.replace("_input", "_label")) for name in inputs}
        shown = ", ".join(f"{name} ({label})" if label else name for name, label in labels.items())
        raise Refused(
            f"{_address(folder) or folder} has several channels of power: {shown}",
            f'name the one, channel = "{inputs[0]}", or add up, channel = "{" + ".join(inputs)}", under [meter]',
        )


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


def _files(part: str) -> list[str]:
    return [name.strip() for name in part.split("*")]


def _labelled(folder: Path, label: str) -> list[Path]:
    """Return the files of the one channel with a label, nothing where none or several of the folder have it."""
    found = [file.name[: -len("_label")] for file in folder.glob("*_label") if word(file) == label]
    powers = [[f"{name}_input"] for name in found if re.fullmatch(r"power\d+", name)]
    products = [[f"{name}_input", f"curr{name[2:]}_input"] for name in found if re.fullmatch(r"in\d+", name)]
    meant = powers or products
    files = [folder / name for name in meant[0]] if len(meant) == 1 else []
    return files if all(file.is_file() for file in files) else []
