"""A change reads the same wherever it is printed: on the page, in a table, in a judgement, in the terminal."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.47, "0.47×"), (2.74, "2.74×"), (0.004, "0.0040×"), (0.05, "0.050×"), (-0.0, "0.00×"), (math.nan, "no number")],
)
def test_a_ratio_has_two_decimals_and_never_reads_as_nothing(ratio: float, said: str) -> None:
    assert units.times(ratio) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.99996e-3, "s", "1.00 ms"),
        (0.9999996, "s", "1.00 s"),
        (999.96, "B", "1.00 kB"),
        (999_999.0, "B", "1.00 MB"),
        (0.99996e-3, "W", "1.00 mW"),
        (0.99996, "J", "1.00 J"),
        (999.9999e6, "Hz", "1.00 GHz"),
        (999.4, "B", "999 B"),
    ],
)
def test_the_unit_is_chosen_for_the_rounded_value(value: float, unit: str, said: str) -> None:
    assert units.human(value, unit) == said
    assert units.span(value, value, unit).endswith(said)


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.9996, "99.96 %"), (0.0004, "0.04 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (-0.0, "0.0 %"), (0.985, "98.5 %")],
)
def test_a_share_reads_as_all_or_nothing_only_if_it_is(share: float, said: str) -> None:
    assert units.human(share, "%") == said


def test_a_whole_percentage_takes_a_decimal_where_it_would_read_as_all_or_nothing() -> None:
    assert [units.whole_percent(share) for share in (0.95, 299 / 300, 0.003, 1.0)] == [
        "95 %",
        "99.7 %",
        "0.3 %",
        "100 %",
    ]


def test_a_negative_number_has_a_true_minus_sign_and_zero_has_none() -> None:
    assert units.human(-5, "°C") == "−5.00 °C"
    assert units.span(-2, 3, "W") == "−2.00 to 3.00 W"
    assert [units.human(-0.0, unit) for unit in ("°C", "")] == ["0 °C", "0"]
    assert units.decimal(-0.001, 1) == "0.0"


def test_a_number_that_is_not_finite_is_said_to_be_none() -> None:
    for value in (math.nan, math.inf, -math.inf):
        said = [units.human(value, unit) for unit in ("s", "%", "")]
        said += [units.times(value), units.points(value), units.change("accuracy", "", value)]
        assert set(said) == {units.NO_NUMBER}
    assert units.span(0, math.inf, "s") == units.times_span(0, math.nan) == units.UNBOUNDED


def test_a_quantity_and_its_interval_share_unit_and_decimals() -> None:
    assert units.level("s", Estimate(0.9e-3, 0.8e-3, 1.1e-3)) == ("0.90 ms", "0.80–1.10 ms")
    assert units.level("%", Estimate(0.995, 0.987, 0.9996)) == ("99.50 %", "98.70–99.96 %")
    assert units.level("B", Estimate(1.0, 0.0, math.inf)) == ("1.00 B", units.UNBOUNDED)
    assert units.level("s", None) == (units.ABSENT, "")


def test_an_interval_is_read_as_one_where_its_point_lies_beside_it() -> None:
    assert units.full_change("ratio", "", Estimate(0.466, 0.4641, 0.4649)) == "0.466× (0.464–0.465×)"
    assert units.full_change("ratio", "", Estimate(0.501, 0.498, 0.504)) == "0.50× (0.50–0.50×)"


def _read(text: str) -> list[float]:
    """Return the numbers of a text as people read them."""
    plain = text.replace("−", "-").replace("–", " ").translate(str.maketrans("", "", "×()%+"))
    return [float(word) for word in plain.split() if word[0] in "-0123456789"]


_ENDS = st.lists(st.floats(1e-4, 1e4), min_size=3, max_size=3).map(sorted)


@given(_ENDS, st.sampled_from([("ratio", ""), ("accuracy", "%"), ("accuracy", "")]), st.sampled_from([-1, 1]))
def test_no_change_is_printed_outside_its_interval(ends: list[float], kind: tuple[str, str], sign: int) -> None:
    low, point, high = sorted(sign * end for end in ends)
    read = _read(units.full_change(*kind, Estimate(point, low, high)))
    if low != high:
        assert read[1] <= read[0] <= read[2]


@given(_ENDS, st.sampled_from(["s", "B", "J", "W", "Hz", "%", "px", "°C"]))
def test_no_quantity_is_printed_outside_its_interval(ends: list[float], unit: str) -> None:
    low, point, high = ends
    own, within = units.level(unit, Estimate(point, low, high))
    assert own.split()[1:] == within.split()[1:], "both are in one unit"
    read = _read(f"{own} {within}")
    assert read[1] <= read[0] <= read[2]


@given(st.sampled_from(["s", "B", "J", "W", "Hz"]), st.floats(1e-3, 1e12))
def test_a_quantity_never_reads_as_a_thousand_of_a_unit_that_has_a_larger_one(unit: str, value: float) -> None:
    text, name = units.human(value, unit).split()
    largest = units.human(1e15, unit).split()[1]
    assert float(text) < 1000 or name == largest
