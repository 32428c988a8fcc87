"""What the report says of energy: gross and net with intervals, and of the meter what makes them narrow or wide."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from harness import page
from harness.model import Estimate, Measurement
from tests.pages import stored_runs

FACTS = {
    "meter": "joulescope", "quantity": "joules", "resolution": 1e-6, "update_s": 0.05, "clock_s": 0.012,
    "window_s": 12.0, "inferences": 1000, "busy_w": 5.0, "idle_w": [2.0, 2.1],
    "budget": {"variation": 2e-5, "resolution": 1e-9, "edges": 6e-5},
    "untested": "never tried on a Joulescope: no hardware was at hand",
}  # fmt: skip


def shown(use: Measurement | None = None, **changes: Any) -> str:
    """Return the words of the energy section of a report whose runs have joules; `changes` are of the facts."""
    facts = {key: value for key, value in {**FACTS, **changes}.items() if value is not None}
    report = stored_runs.report(runtime="ai-edge-litert")
    measured = {
        name: Measurement(name, "J", np.full(10, point), method=method, estimate=Estimate(point, low, high))
        for name, point, low, high, method in (
            ("energy_j", 0.0121, 0.0119, 0.0123, "gross, joulescope, 12 s window, 230 updates"),
            ("energy_net_j", 0.0071, 0.0067, 0.0075, "idle subtracted"),
        )
    }
    if use is not None:
        measured["use_h"] = use
    runs = tuple(
        replace(run, measurements={**run.measurements, **measured}, notes={**run.notes, "energy": facts})
        for run in report.runs
    )
    html = page.render(replace(report, runs=runs)).decode()
    found = re.search(r'<section[^>]*id="energy".*?</section>', html, re.DOTALL)
    assert found
    return " ".join(re.sub(r"<svg.*?</svg>|<script.*?</script>|<[^>]+>", " ", found[0], flags=re.DOTALL).split())


def test_gross_and_net_stand_with_their_intervals() -> None:
    words = shown()
    assert "12.1 mJ 11.9–12.3 mJ" in words
    assert "7.10 mJ 6.70–7.50 mJ" in words


def test_the_meter_is_said_with_its_step_its_clock_and_that_nobody_tried_it() -> None:
    assert (
        "Meter: joulescope, steps of 1.00 µJ, a new reading every 50.0 ms, read by the host, which knows the device's "
        "clock to ±12.0 ms; never tried on a Joulescope: no hardware was at hand."
    ) in shown().replace("&#39;", "'")


def test_what_widens_the_interval_is_named_the_largest_first() -> None:
    assert "edges 0.5 %, variation 0.2 %, resolution 0.0 %" in shown()


def test_a_meter_on_the_device_needs_no_word_about_clocks() -> None:
    words = shown(meter="hwmon", quantity="watts", clock_s=0.0, untested=None)
    assert "Meter: hwmon, steps of 1.00 µW, a new reading every 50.0 ms." in words


def with_hours(**changes: Any) -> str:
    """Return the words of the section where each run has hours of use, or why it has none."""
    found = {"values": np.array([17.24]), "method": "30 frames a second, idle otherwise, a battery of 50 Wh"}
    estimate = None if "absent_reason" in changes else Estimate(17.24, 16.8, 17.7)
    return shown(use=Measurement("use_h", "h", estimate=estimate, **{**found, **changes}))


def test_hours_of_use_stand_with_their_interval_and_their_duty() -> None:
    words = with_hours()
    assert "17.2 h 16.8–17.7 h" in words
    assert "Hours of use: 30 frames a second, idle otherwise, a battery of 50 Wh; screen, radio and probe" in words
    assert "Hours of use" not in shown()


def test_hours_that_are_not_known_say_why() -> None:
    words = with_hours(values=np.empty(0), absent_reason="the battery's capacity is not known")
    assert "Hours of use are not said: the battery&#39;s capacity is not known." in words
