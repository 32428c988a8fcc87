"""How the report shows cold starts, memory and bounds of percentiles."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest

from harness import page, stats, units
from harness.model import Measurement, Run
from harness.page import Report
from harness.page.sections import cold
from tests.pages import stored_runs

SHARE = "CLOCK_MONOTONIC on the device, 0 % of the model file in the page cache before"
KEPT = "the system keeps 100 % of the model file in its page cache: its file system lies in memory"
UNKNOWN = "the device's kernel does not say Pss (no such file)"


def report_with(*more: Measurement, cache: str) -> Report:
    """Return a report of two runs that hold `more`, too."""
    report = stored_runs.report(runtime="ai-edge-litert")

    def with_more(run: Run) -> Run:
        measurements = {**run.measurements, **{one.metric: one for one in more}}
        return replace(run, measurements=measurements, notes={**run.notes, "page_cache": cache})

    return replace(report, runs=tuple(with_more(run) for run in report.runs[:2]), outcomes=report.outcomes[:2])


@pytest.fixture(scope="module")
def text() -> str:
    """Give a whole report, evicted starts and all, as text without tags."""
    report = report_with(
        Measurement("load_evicted_s", "s", np.array([0.0911]), method=SHARE),
        Measurement("first_inference_evicted_s", "s", np.array([0.0122]), method=SHARE),
        Measurement("peak_memory_bytes", "B", np.array([90e6]), method="VmHWM + VmSwap"),
        Measurement("peak_pss_bytes", "B", absent_reason=UNKNOWN),
        cache="warm, evicted",
    )
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page.render(report).decode()).split()))


def test_starts_with_the_file_out_of_the_page_cache_stand_apart_from_warm_ones(text: str) -> None:
    assert "Model load, evicted First inference, evicted" in text
    assert "91.1 ms 12.2 ms" in text
    assert "Page cache: warm; evicted: the model's file was dropped from it just before, the runtime was not." in text


def test_memory_says_what_was_read_and_why_the_rest_is_absent(text: str) -> None:
    assert "ran it (VmHWM + VmSwap)" in text
    assert "growth is that of VmRSS" in text
    assert UNKNOWN in text


def test_percentiles_stand_beside_the_bound_that_their_samples_give(text: str) -> None:
    run = next(one for one in stored_runs.report(runtime="ai-edge-litert").runs if one.is_baseline)
    bound = stats.percentile_bound(run.measurements["latency_s"].values, 0.9)
    assert bound is not None
    assert f"≤ {units.human(bound, 's')}" in text


def test_a_cache_that_could_not_be_emptied_is_said_with_the_reason() -> None:
    absent = [Measurement(name, "s", absent_reason=KEPT) for name in cold.EVICTED]
    found = cold.context(report_with(*absent, cache="warm"))
    assert found is not None
    (figure,) = found["figures"]
    assert figure["reasons"] == KEPT
    assert [row["others"] for row in figure["rows"]] == [[units.ABSENT] * 2] * 2


def test_runs_of_before_have_no_columns_of_evicted_starts() -> None:
    found = cold.context(report_with(cache="warm"))
    assert found is not None
    assert [len(figure["titles"]) for figure in found["figures"]] == [3]
