"""The only place where a quantity becomes text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

NS_PER_S: Final = 1_000_000_000
#: What people read where there is no number; never a zero.
ABSENT: Final = "–"
#: What people read where an interval is open at an end.
UNBOUNDED: Final = "no bounded interval"
#: What people read where a number is not finite.
NO_NUMBER: Final = "no number"

#: Kinds of metrics whose changes are factors.
_FACTORS: Final = ("cost", "ratio")

_SCALES: Final[dict[str, tuple[tuple[float, str], ...]]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")),
    "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")),
    "J": ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ")),
    "W": ((1.0, "W"), (1e-3, "mW"), (1e-6, "µW")),
    "Hz": ((1e9, "GHz"), (1e6, "MHz"), (1e3, "kHz"), (1.0, "Hz")),
}
#: What the name of a recorded fact ends with -> its unit, as `human` takes it.
_SUFFIXES: Final = {
    "_s": "s", "_bytes": "B", "_hz": "Hz", "_c": "°C", "_j": "J", "_w": "W", "_ratio": "%", "_share": "%"
}  # fmt: skip
#: From here on, and below there, a number has an exponent: it comes of a defect, and has to be read as such.
_HUGE: Final = 1e15
_TINY: Final = 1e-6
#: How many decimals more than usual a number may have so that it is not read as another one.
_MORE: Final = 3
#: Quantities smaller than so many decimals of their smallest unit are written one by one.
_FINEST: Final = 9


#: What would do something on a terminal instead of being read there: controls, also of the direction of writing.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Interval(Protocol):
    """A number with the ends of its interval: `harness.model.Estimate`."""

    @property
    def point(self) -> float:
        """The number."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def printable(text: str) -> str:
    """Return a text of a device or a file as it can be shown: controls as Python writes them, ends of lines stay."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def printable_value(value: Any) -> Any:
    """Return a JSON value with every text in it, keys too, as `printable` has it."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return type(value)(map(printable_value, value))
    if isinstance(value, dict):
        return {printable(name): printable_value(item) for name, item in value.items()}
    return value


def named_unit(name: str) -> tuple[str, str]:
    """Return the end of a fact's name that says its unit, and the unit: `named_unit("free_bytes") == ("_bytes", "B")`.

    Both are "" where the name says none.
    """
    return next(((suffix, unit) for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), ("", ""))


def scale(unit: str, magnitude: float) -> tuple[float, str]:
    """Return the divisor and the unit name in which `magnitude` (SI) reads best, rounded as `significant` does it."""
    steps = _SCALES.get(unit, ((1.0, unit),))
    # Rounded first: 0.99996 ms is read as 1.00 ms and not as 1000 µs.
    rounded = abs(float(f"{magnitude:.2e}"))
    for divisor, name in steps:
        if rounded >= divisor:
            return divisor, name
    return steps[-1]


def decimal(value: float, decimals: int) -> str:
    """Return `value` for people: a true minus sign, none before a zero, an exponent only where it is huge.

    A value that is not finite is `NO_NUMBER`.
    """
    if not math.isfinite(value):
        return NO_NUMBER
    text = f"{value:.{decimals}f}" if abs(value) < _HUGE else f"{value:.2e}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits: 0.01234 -> 0.0123; an exponent only where it is very small."""
    if value == 0 or not math.isfinite(value):
        return decimal(value, 0)
    if abs(value) < _TINY:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    text = f"{value:#.{digits}g}"
    return decimal(float(text), _decimals(float(text), digits))


def _decimals(value: float, digits: int) -> int:
    """Return how many decimals show so many significant digits of a finite value."""
    if abs(value) >= 1:
        return max(0, digits - len(str(int(abs(value)))))
    leading = f"{abs(value):.{digits - 1}e}"
    return digits - 1 - int(leading[leading.index("e") + 1 :])


def _honest(value: float, decimals: int, never: Sequence[float]) -> int:
    """Return the decimals, a few more than asked for where `value` would else be read as one of `never` and is not."""
    for more in range(_MORE + 1):
        if all(float(f"{value:.{decimals + more}f}") != one or value == one for one in never):
            return decimals + more
    return decimals


def _shared_decimals(numbers: Sequence[float], decimals: int, never: Sequence[float] = ()) -> int:
    """Return the decimals that numbers which are read side by side have in common.

    Rounded alike, a point in its interval is never read as outside of it.

    Args:
        numbers: a point and the ends of its interval, or the ends alone, or one number.
        decimals: at least so many.
        never: what none of them may be read as that is not.
    """
    known = [number for number in numbers if math.isfinite(number) and abs(number) < _HUGE]
    needed = max((_honest(number, decimals, never) for number in known), default=decimals) if never else decimals
    for more in range(needed, needed + _MORE + 1):
        texts = [f"{number:.{more}f}" for number in known]
        # A point beside a narrow interval: 0.47 (0.46–0.46) would read as a defect.
        if len(known) != 3 or texts[0] == texts[1] or texts[1] != texts[2] or known[1] == known[2]:
            return more
    return needed


def human(value: float | None, unit: str) -> str:
    """Return a quantity in SI as people read it: `human(0.00123, "s") == "1.23 ms"`.

    A ratio (unit `""`) is printed plainly; `"%"` takes a ratio 0..1, and 0.9996 is not read as 100.0 %; `None` is
    `ABSENT`, and what is not finite `NO_NUMBER`.
    """
    if value is None:
        return ABSENT
    if not math.isfinite(value):
        return NO_NUMBER
    if unit == "%":
        return f"{_percents((value,))[0]} %"
    divisor, name = scale(unit, value)
    return f"{significant(value / divisor)} {name}".strip()


def _percents(ratios: Sequence[float], decimals: int = 1) -> list[str]:
    numbers = [100 * ratio for ratio in ratios]
    shared = _shared_decimals(numbers, decimals, (0.0, 100.0))
    return [decimal(number, shared) for number in numbers]


def level(unit: str, found: Interval | None) -> tuple[str, str]:
    """Return a quantity and its interval, both in one unit and with the same decimals: ("1.20 ms", "0.95–1.41 ms").

    Args:
        unit: as for `human`.
        found: the quantity with its interval; None is `ABSENT` and "".
    """
    if found is None:
        return ABSENT, ""
    if not bounded(found):
        return human(found.point, unit), UNBOUNDED
    if unit == "%":
        point, *ends = _percents((found.point, found.low, found.high))
        return f"{point} %", f"{_joined(*ends)} %"
    (point, *ends), name = _in_one_unit((found.point, found.low, found.high), unit)
    return f"{point} {name}".strip(), f"{_joined(*ends)} {name}".strip()


def _in_one_unit(numbers: Sequence[float], unit: str) -> tuple[list[str], str]:
    """Return finite quantities as texts with the same decimals, and the unit of all of them."""
    largest = max(map(abs, numbers))
    divisor, name = scale(unit, largest)
    shown = [number / divisor for number in numbers]
    least = _decimals(float(f"{largest / divisor:.2e}"), 3) if largest else 0
    if least > _FINEST:
        return [significant(number) for number in shown], name
    decimals = _shared_decimals(shown, least, (0.0,))
    return [decimal(number, decimals) for number in shown], name


def _joined(low: str, high: str) -> str:
    """Return the ends of an interval in words: a dash between two numbers, "to" where one has a minus sign."""
    return f"{low} to {high}" if "−" in low + high else f"{low}–{high}"


def two_digits(value: float) -> str:
    """Return a difference of outputs: exactly nothing, or two digits, with an exponent where it is tiny."""
    if not math.isfinite(value):
        return NO_NUMBER
    return "0" if value == 0 else f"{value:.0f}" if value >= 10 else f"{value:.2g}".replace("-", "−")


def times(ratio: float | None) -> str:
    """Return a ratio as people read it, never as nothing: `times(0.5) == "0.50×"`, `times(0.004) == "0.0040×"`."""
    if ratio is None:
        return ABSENT
    return f"{_ratios((ratio,))[0]}×" if math.isfinite(ratio) else NO_NUMBER


def _ratios(ratios: Sequence[float]) -> list[str]:
    if any(0 < abs(ratio) < _TINY for ratio in ratios):
        return [significant(ratio, 2) for ratio in ratios]
    needed = [_decimals(float(f"{ratio:.1e}"), 2) for ratio in ratios if math.isfinite(ratio) and ratio]
    shared = _shared_decimals(ratios, max([2, *needed]))
    return [decimal(ratio, shared) for ratio in ratios]


def _signed(value: float, decimals: int) -> str:
    """Return a change with its sign; what rounds to nothing has none."""
    text = decimal(value, decimals)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def points(difference: float | None) -> str:
    """Return a difference of two ratios 0..1 in percentage points: `points(-0.012) == "−1.2 pp"`."""
    if difference is None:
        return ABSENT
    return f"{_signed(difference * 100, 1)} pp" if math.isfinite(difference) else NO_NUMBER


def span(low: float, high: float, unit: str) -> str:
    """Return an interval with both ends in one unit: `span(0.00121, 0.00130, "s") == "1.21–1.30 ms"`.

    Args:
        low: the lower end (SI).
        high: the upper end (SI).
        unit: as for `human`.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNBOUNDED
    if unit == "%":
        return f"{_joined(*_percents((low, high)))} %"
    ends, name = _in_one_unit((low, high), unit)
    return f"{_joined(*ends)} {name}".strip()


def times_span(low: float, high: float) -> str:
    """Return an interval of ratios: `times_span(0.45, 0.49) == "0.45–0.49×"`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNBOUNDED
    return f"{_joined(*_ratios((low, high)))}×"


def points_span(low: float, high: float) -> str:
    """Return an interval of differences in percentage points: `points_span(-0.012, 0.004) == "−1.2 to +0.4 pp"`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return UNBOUNDED
    return f"{_signed(low * 100, 1)} to {points(high)}"


def change(kind: str, unit: str, value: float | None) -> str:
    """Return what changed as people read it: `0.47×`, `−1.2 pp` or `−0.012`, by the metric's kind and unit.

    Args:
        kind: as in the vocabulary: costs and ratios change by a factor, shares and accuracies by a difference.
        unit: the metric's unit; differences of shares ("%") are in percentage points.
        value: the factor or difference; None is `ABSENT`.
    """
    if value is None:
        return ABSENT
    if kind in _FACTORS:
        return times(value)
    if unit == "%":
        return points(value)
    return f"{_signed(value, 3)} {unit}".strip() if math.isfinite(value) else NO_NUMBER


def change_with_interval(kind: str, unit: str, found: Interval | None) -> tuple[str, str]:
    """Return a change and its interval with the same decimals: ("0.47×", "0.45–0.49×").

    The interval is "" where the change is known exactly.

    Args:
        kind: as for `change`.
        unit: as for `change`.
        found: the change with its interval; None is `ABSENT` and "".
    """
    if found is None:
        return ABSENT, ""
    numbers = (found.point, found.low, found.high)
    if found.low == found.high:
        return change(kind, unit, found.point), ""
    if not bounded(found):
        return change(kind, unit, found.point), UNBOUNDED
    if kind in _FACTORS:
        point, *ends = _ratios(numbers)
        return f"{point}×", f"{_joined(*ends)}×"
    factor, least, name = (100, 1, "pp") if unit == "%" else (1, 3, unit)
    scaled = [factor * number for number in numbers]
    decimals = _shared_decimals(scaled, least)
    point, low, high = (_signed(number, decimals) for number in scaled)
    return f"{point} {name}".strip(), f"{low} to {high} {name}".strip()


def full_change(kind: str, unit: str, found: Interval | None) -> str:
    """Return a change with its interval in one line: `0.47× (0.45–0.49×)`.

    Args:
        kind: as for `change`.
        unit: as for `change`.
        found: the change with its interval; None is `ABSENT`.
    """
    point, within = change_with_interval(kind, unit, found)
    return f"{point} ({within})" if within else point


def gap(unit: str, amount: float) -> str:
    """Return by how much a bound is missed, without a sign and with enough digits not to read as nothing.

    Args:
        unit: of what is bounded: "%" gives percentage points.
        amount: at least 0.
    """
    if unit == "%":
        return f"{decimal(100 * amount, 1)} pp" if amount >= 0.0005 else f"{significant(100 * amount, 2)} pp"
    if unit == "":
        return decimal(amount, 2) if amount >= 0.005 else significant(amount, 2)
    return human(amount, unit)


def bounded(estimate: Interval) -> bool:
    """Return True if a number and both ends of its interval are finite."""
    return all(map(math.isfinite, (estimate.point, estimate.low, estimate.high)))


def whole_percent(ratio: float) -> str:
    """Return a share 0..1 without decimals, as confidences are read: `whole_percent(0.95) == "95 %"`.

    What is not all of something, and not nothing of it, is not read so: 0.997 is 99.7 %.
    """
    return f"{_percents((ratio,), 0)[0]} %"


def bound(ratio: float) -> str:
    """Return a margin 0..1 in points with as many decimals as it has: `bound(0.05) == "5 pp"`."""
    return f"{100 * ratio:.3g} pp".replace("-", "−")


def count(number: int) -> str:
    """Return a count with its thousands set apart: `count(12000) == "12 000"` (a narrow no-break space)."""
    return f"{number:,}".replace(",", "\u202f")


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number of things in words: `counted(1, "launch", "launches") == "1 launch"`.

    Args:
        number: of them.
        one: the word for one of them.
        many: the word for none or several, `one` with an s if not given.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def moment(at: datetime) -> str:
    """Return a moment as people read it, in UTC to the minute."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
