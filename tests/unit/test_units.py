"""A change reads the same wherever it is printed: on the page, in a table, in a judgement, in the terminal."""

from __future__ import annotations

import math

import pytest

from harness import units
from harness.model import Estimate


@pytest.mark.parametrize(
    ("kind", "unit", "change", "said"),
    [
        ("ratio", "", Estimate(0.47, 0.45, 0.49), "0.47× (0.45–0.49×)"),
        ("cost", "s", Estimate(1.31, 1.27, 1.36), "1.31× (1.27–1.36×)"),
        ("accuracy", "%", Estimate(-0.01, -0.045, 0.003), "−1.0 pp (−4.5 to +0.3 pp)"),
        ("share", "%", Estimate(0.0, -0.01, 0.01), "0.0 pp (−1.0 to +1.0 pp)"),
        ("accuracy", "", Estimate(-0.0123, -0.02, 0.01), "−0.012 (−0.020 to +0.010)"),
        ("accuracy", "px", Estimate(1.5, 1.0, 2.0), "+1.500 px (+1.000 to +2.000 px)"),
    ],
)
def test_a_change_is_said_by_kind_and_unit(kind: str, unit: str, change: Estimate, said: str) -> None:
    assert units.full_change(kind, unit, change) == said


def test_what_is_exact_has_no_interval_and_what_is_open_says_so() -> None:
    assert units.full_change("ratio", "", Estimate(0.25, 0.25, 0.25)) == "0.25×"
    assert units.full_change("ratio", "", Estimate(1.2, 0.7, math.inf)) == "1.20× (no bounded interval)"
    assert units.full_change("ratio", "", None) == units.change("ratio", "", None) == units.ABSENT


@pytest.mark.parametrize(
    ("unit", "amount", "said"),
    [
        ("%", 0.015, "1.5 pp"),
        ("%", 0.00012, "0.012 pp"),
        ("", 0.36, "0.36"),
        ("", 0.0012, "0.0012"),
        ("B", 2e6, "2.00 MB"),
    ],
)
def test_a_tiny_gap_does_not_read_as_nothing(unit: str, amount: float, said: str) -> None:
    assert units.gap(unit, amount) == said


@pytest.mark.parametrize(
    ("name", "found"),
    [("free_bytes", ("_bytes", "B")), ("temperature_c", ("_c", "°C")), ("libc", ("", "")), ("at_s", ("_s", "s"))],
)
def test_the_name_of_a_fact_says_its_unit(name: str, found: tuple[str, str]) -> None:
    assert units.named_unit(name) == found


def test_one_of_a_thing_is_not_said_as_several() -> None:
    said = [units.counted(number, "launch", "launches") for number in (0, 1, 12)]
    assert said == ["0 launches", "1 launch", "12 launches"]
    assert units.counted(2, "model") == "2 models"
