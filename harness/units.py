"""The only place where a quantity becomes text."""

from __future__ import annotations

import math
from typing import Final, Protocol

NS_PER_S: Final = 1_000_000_000
#: What people read where there is no number; never a zero.
ABSENT: Final = "–"
#: What people read where an interval is open at an end.
UNBOUNDED: Final = "no bounded interval"

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


def named_unit(name: str) -> tuple[str, str]:
    """Return the end of a fact's name that says its unit, and the unit: `named_unit("free_bytes") == ("_bytes", "B")`.

    Both are "" where the name says none.
    """
    return next(((suffix, unit) for suffix, unit in _SUFFIXES.items() if name.endswith(suffix)), ("", ""))


def scale(unit: str, magnitude: float) -> tuple[float, str]:
    """Return the divisor and the unit name in which `magnitude` (SI) reads best."""
    steps = _SCALES.get(unit, ((1.0, unit),))
    for divisor, name in steps:
        if abs(magnitude) >= divisor:
            return divisor, name
    return steps[-1]


def significant(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits and no exponent: 0.01234 -> 0.0123."""
    if value == 0:
        return "0"
    text = f"{value:#.{digits}g}"
    return f"{float(text):.{_decimals(float(text), digits)}f}"


def _decimals(value: float, digits: int) -> int:
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if whole:
        return max(0, digits - whole)
    leading = f"{abs(value):e}"
    return digits - 1 - int(leading[leading.index("e") + 1 :])


def human(value: float | None, unit: str) -> str:
    """Return a quantity in SI as people read it: `human(0.00123, "s") == "1.23 ms"`.

    A ratio (unit `""`) is printed plainly; `"%"` takes a ratio 0..1; `None` is `ABSENT`.
    """
    if value is None:
        return ABSENT
    if unit == "%":
        return f"{100 * value:.1f} %"
    divisor, name = scale(unit, value)
    text = significant(value / divisor)
    return f"{text} {name}".strip()


def two_digits(value: float) -> str:
    """Return a difference of outputs: exactly nothing, or two digits, with an exponent where it is tiny."""
    if not math.isfinite(value):
        return "no number"
    return "0" if value == 0 else f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def times(ratio: float | None) -> str:
    """Return a ratio as people read it: `times(0.5) == "0.50×"`."""
    return ABSENT if ratio is None else f"{ratio:.2f}×"


def _signed(value: float, decimals: int) -> str:
    """Return a change with its sign; what rounds to nothing has none."""
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return f"{'−' if value < 0 else '+'}{text}"


def points(difference: float | None) -> str:
    """Return a difference of two ratios 0..1 in percentage points: `points(-0.012) == "−1.2 pp"`."""
    if difference is None:
        return ABSENT
    return f"{_signed(difference * 100, 1)} pp"


def span(low: float, high: float, unit: str) -> str:
    """Return an interval with both ends in one unit: `span(0.00121, 0.00130, "s") == "1.21–1.30 ms"`.

    Args:
        low: the lower end (SI).
        high: the upper end (SI).
        unit: as for `human`.
    """
    if unit == "%":
        return f"{100 * low:.1f}–{100 * high:.1f} %"
    divisor, name = scale(unit, max(abs(low), abs(high)))
    return f"{significant(low / divisor)}–{significant(high / divisor)} {name}".strip()


def times_span(low: float, high: float) -> str:
    """Return an interval of ratios: `times_span(0.45, 0.49) == "0.45–0.49×"`."""
    return f"{low:.2f}–{high:.2f}×"


def points_span(low: float, high: float) -> str:
    """Return an interval of differences in percentage points: `points_span(-0.012, 0.004) == "−1.2 to +0.4 pp"`."""
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
    return points(value) if unit == "%" else f"{_signed(value, 3)} {unit}".strip()


def change_interval(kind: str, unit: str, change: Interval) -> str:
    """Return the interval of a change: `0.45–0.49×`, `−1.2 to +0.4 pp`; "" where the change is known exactly.

    Args:
        kind: as for `change`.
        unit: as for `change`.
        change: the change with its interval.
    """
    if change.low == change.high:
        return ""
    if not bounded(change):
        return UNBOUNDED
    if kind in _FACTORS:
        return times_span(change.low, change.high)
    if unit == "%":
        return points_span(change.low, change.high)
    return f"{_signed(change.low, 3)} to {_signed(change.high, 3)} {unit}".strip()


def full_change(kind: str, unit: str, found: Interval | None) -> str:
    """Return a change with its interval in one line: `0.47× (0.45–0.49×)`.

    Args:
        kind: as for `change`.
        unit: as for `change`.
        found: the change with its interval; None is `ABSENT`.
    """
    if found is None:
        return ABSENT
    within = change_interval(kind, unit, found)
    return f"{change(kind, unit, found.point)} ({within})" if within else change(kind, unit, found.point)


def gap(unit: str, amount: float) -> str:
    """Return by how much a bound is missed, without a sign and with enough digits not to read as nothing.

    Args:
        unit: of what is bounded: "%" gives percentage points.
        amount: at least 0.
    """
    if unit == "%":
        return f"{100 * amount:.1f} pp" if amount >= 0.0005 else f"{significant(100 * amount, 2)} pp"
    if unit == "":
        return f"{amount:.2f}" if amount >= 0.005 else significant(amount, 2)
    return human(amount, unit)


def bounded(estimate: Interval) -> bool:
    """Return True if a number and both ends of its interval are finite."""
    return all(map(math.isfinite, (estimate.point, estimate.low, estimate.high)))


def whole_percent(ratio: float) -> str:
    """Return a share 0..1 without decimals, as confidences are read: `whole_percent(0.95) == "95 %"`."""
    return f"{100 * ratio:.0f} %"


def bound(ratio: float) -> str:
    """Return a margin 0..1 in points with as many decimals as it has: `bound(0.05) == "5 pp"`."""
    return f"{100 * ratio:.3g} pp"


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
