"""[meter]
kind = "power_supply"
supply = "BAT0"                             # optional; default: all batteries of the machine, added up
path = "/sys/class/power_supply/BAT0"       # optional; the folder instead of the name
current_unit = "mA"                         # optional; where the driver does not count in µA (voltage_unit, power_unit)

Reads power_now, or voltage_now x current_now, of the machine's own batteries: watts, refused unless they alone feed it.
A charge counter is not joules and is not used.

The kernel wants µV, µA and µW, and not all drivers obey: a unit counts as known where it alone gives a power that a
machine in use draws and, where the battery says its capacity, some hours of use. Else it must be declared. The sign of
a current that is drawn differs between drivers: the first reading shows it, and a current of the other sign flows in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.agent import supplies
from harness.agent.energy import Refused
from harness.agent.sensors import number, reading, word

QUANTITY = "watts"
#: What a machine that is awake may draw, in W; the volts of its battery; and how long that may last, in hours.
PLAUSIBLE_W = (0.1, 200.0)
PLAUSIBLE_V = (1.0, 100.0)
PLAUSIBLE_H = (0.25, 200.0)
#: Capacities of batteries in µWh and µAh; what lies outside is in another unit, and not used.
_ENERGY_UWH = (5e5, 5e8)
_CHARGE_UAH = (1.5e5, 1e8)
_PREFIXES = {"u": 1e-6, "m": 1e-3, "": 1.0}
_UNPLUG = "unplug it (a phone: connect it by Wi-Fi), or put a meter into its supply"


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    path: str = ""
    supply: str = ""
    voltage_unit: str = ""
    current_unit: str = ""
    power_unit: str = ""

    def __post_init__(self) -> None:
        if self.path and self.supply:
            raise ValueError("path and supply name one battery twice; leave one")
        for key, unit in (("voltage", "V"), ("current", "A"), ("power", "W")):
            said = getattr(self, f"{key}_unit")
            if said and said not in [prefix + unit for prefix in _PREFIXES]:
                raise ValueError(f'{key}_unit is "u{unit}", "m{unit}" or "{unit}", not {said!r}')


class Meter:
    """Watts drawn now."""

    resolution = 1e-6

    def __init__(self, options: Options) -> None:
        folders = _meant(options)
        self._room = supplies.ROOT if str(folders[0]).startswith("/sys/") else folders[0].parent
        self._batteries = [_Battery(folder, options) for folder in folders]
        if not self.charging():
            self.read()

    def read(self) -> float:
        """Return the watts drawn from all batteries now."""
        watts = sum(battery.watts() for battery in self._batteries)
        if PLAUSIBLE_W[0] <= watts <= PLAUSIBLE_W[1]:
            return watts
        names = " and ".join(str(battery.folder) for battery in self._batteries)
        raise ValueError(f"{names} gives {watts:.3g} W, which no machine in use draws from its battery")

    def charging(self) -> bool:
        """Return whether a battery is being charged; raises Refused where it does not alone feed the machine."""
        states = [battery.status() for battery in self._batteries]
        if "Charging" in states or ("Full" in states and "Discharging" not in states):
            return True
        for outside in supplies.feeding(self._room):
            raise Refused(f"{outside.name} is online and feeds the device beside its battery", _UNPLUG)
        for battery, state in zip(self._batteries, states):
            if state != "Discharging" and ("Discharging" not in states or not battery.idle()):
                raise Refused(f'the status of {battery.folder.name} is "{state}", not "Discharging"', _UNPLUG)
        return False

    def close(self) -> None:
        """Do nothing: no file is held open."""


class _Battery:
    """One battery: what it gives, in the unit that is known or declared."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder, self._options = folder, options
        direct = folder / "power_now"
        readable = number(word(direct), -1e15, 1e15) is not None
        self._direct = readable or (direct.exists() and not (folder / "current_now").exists())
        self._key, self._unit = ("power", "W") if self._direct else ("current", "A")
        said = getattr(options, f"{self._key}_unit")
        self._scale = _PREFIXES[said[:-1]] if said else 0.0
        self._sign = 0.0

    def status(self) -> str:
        return word(self.folder / "status")

    def idle(self) -> bool:
        return self._raw(f"{self._key}_now") == 0

    def watts(self) -> float:
        """Return what it gives, W; raises ValueError or Refused where that cannot be known."""
        volts = 1.0 if self._direct else self._volts()
        raw = self._raw(f"{self._key}_now")
        if raw == 0:
            return 0.0
        if raw * self._sign < 0:
            raise Refused(f"a current flows into {self.folder.name}: its {self._key}_now changed its sign", _UNPLUG)
        self._scale = self._scale or self._known_scale(abs(raw), volts)
        self._sign = raw
        return abs(raw) * self._scale * volts

    def _raw(self, name: str) -> float:
        return reading(self.folder / name, 1e15)

    def _volts(self) -> float:
        raw, said = self._raw("voltage_now"), self._options.voltage_unit
        fits = [prefix for prefix, scale in _PREFIXES.items() if _within(raw * scale, PLAUSIBLE_V)]
        prefix = said[:-1] if said else "u"
        if prefix in fits:
            return raw * _PREFIXES[prefix]
        remedy = _line("voltage", fits, "V") if fits else "look at [meter] in the device's file"
        raise Refused(
            f"voltage_now in {self.folder} is {raw:.0f}, which is no battery's voltage in {prefix or ''}V", remedy
        )

    def _known_scale(self, raw: float, volts: float) -> float:
        """Return what makes A or W of a reading: 1e-6, unless another unit is as plausible or more so."""
        fits = [prefix for prefix, scale in _PREFIXES.items() if self._plausible(raw * scale * volts, volts)]
        if fits == ["u"]:
            return _PREFIXES["u"]
        micro = f"{raw * _PREFIXES['u'] * volts:.3g} W in u{self._unit}"
        raise Refused(
            f"{self._key}_now in {self.folder} is {raw:.0f}, {micro}: its unit cannot be known",
            _line(self._key, fits or list(_PREFIXES), self._unit),
        )

    def _plausible(self, watts: float, volts: float) -> bool:
        capacity = self._watt_hours(volts)
        return _within(watts, PLAUSIBLE_W) and (capacity is None or _within(capacity / watts, PLAUSIBLE_H))

    def _watt_hours(self, volts: float) -> float | None:
        """Return the battery's capacity, None where it says none in the kernel's units."""
        for name in ("energy_full", "energy_full_design"):
            energy = number(word(self.folder / name), *_ENERGY_UWH)
            if energy is not None:
                return energy * 1e-6
        if self._direct:
            return None
        for name in ("charge_full", "charge_full_design"):
            charge = number(word(self.folder / name), *_CHARGE_UAH)
            if charge is not None:
                return charge * 1e-6 * volts
        return None


def _line(key: str, prefixes: list[str], unit: str) -> str:
    """Return the line to write: the unit that fits, or those that may."""
    values = " or ".join(f'{key}_unit = "{prefix}{unit}"' for prefix in prefixes)
    return f"see what its driver counts in and write {values} under [meter]"


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]


def _meant(options: Options) -> list[Path]:
    """Return the folders of the batteries that are meant; raises OSError if there is none."""
    if options.path:
        Path(options.path).stat()  # says by itself that it is not there
        return [Path(options.path)]
    found = supplies.batteries()
    if not found:
        raise FileNotFoundError(f"the device has no battery of its own under {supplies.ROOT}; use another meter")
    named = [folder for folder in found if options.supply in ("", folder.name)]
    if not named:
        there = ", ".join(folder.name for folder in found)
        raise FileNotFoundError(f"the device has no battery called {options.supply!r}; there is: {there}")
    return named
