"""Impossible numbers, hostile texts and damaged rows: the rest of the report is there, and what is missing is named."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness import page
from harness.cli import cli
from harness.cli.settings import Settings
from harness.model import Comparison, Estimate, Measurement, Run, Variant
from harness.page import charts, wording
from harness.page.publish import publish
from harness.page.render import encoded
from harness.page.report import Report
from harness.results import scenarios
from harness.store import Store
from tests.pages import own_script, stored_runs
from tests.pages.test_page import section
from tests.pages.test_page_scenarios import rendered, streamed, sustained

RUNTIME = "ai-edge-litert"


@cache
def small() -> Report:
    """Return the report of a baseline and one variant, with joules."""
    whole = stored_runs.report(runtime=RUNTIME)
    joules = Measurement("energy_j", "J", np.array([0.0121, 0.0123, 0.0122]), method="gross, meter")
    runs = tuple(replace(run, measurements={**run.measurements, "energy_j": joules}) for run in whole.runs[:2])
    kept = {run.id for run in runs}
    return replace(
        whole,
        runs=runs,
        comparisons=tuple(one for one in whole.comparisons if one.run in kept),
        outcomes=tuple(one for one in whole.outcomes if one.run in kept),
    )


def measured(report: Report, change: Callable[[np.ndarray], np.ndarray]) -> Report:
    """Return a report with all raw values of its last run changed."""
    *others, last = report.runs
    found = {
        name: replace(one, values=change(one.values.copy()), rounds=None) if len(one.values) else one
        for name, one in last.measurements.items()
    }
    return replace(report, runs=(*others, replace(last, measurements=found)))


def first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[0] = value
        return values

    return change


@pytest.mark.parametrize(
    "change",
    [
        first(0.0),
        first(-1.0),
        first(math.nan),
        first(math.inf),
        np.zeros_like,
        lambda values: np.full_like(values, 0.004),
        lambda values: values[:1],
        lambda values: np.full_like(values, math.nan),
        lambda values: np.full_like(values, 5e-324),
    ],
    ids=["one zero", "one negative", "one NaN", "one infinite", "zeros", "all equal", "one sample", "NaN", "denormal"],
)
def test_every_section_is_drawn_whatever_was_measured(change: Callable[[np.ndarray], np.ndarray]) -> None:
    text = page.render(measured(small(), change)).decode()
    assert 'id="latency"' in text
    assert not re.search(r">\s*[+−-]?(nan|inf)\b", text), "a number that is none is said in words"


@pytest.mark.parametrize("number", [0.0, -1.0, 1e-300, 1e300, math.nan, math.inf])
def test_every_section_is_drawn_whatever_a_change_or_a_level_is(number: float) -> None:
    report = small()
    impossible = Estimate(number, min(number, 0.0), number)
    changes = tuple(replace(one, change=impossible, control=impossible) for one in report.comparisons)
    runs = tuple(replace(run, accuracy=dict.fromkeys(run.accuracy, impossible)) for run in report.runs)
    text = page.render(replace(report, runs=runs, comparisons=changes)).decode()
    assert 'id="ratio"' in text


PARTS = scenarios.parts(np.full((30, 3), 2_000_000), "python")
WINDOWS = {"stream": streamed, "sustained": sustained}


@pytest.mark.parametrize("value", [0.0, math.nan])
@pytest.mark.parametrize("scenario", ["stream", "offline", "sustained", "single_stream"])
def test_the_sections_of_a_scenario_are_drawn_whatever_was_measured(scenario: str, value: float) -> None:
    def spoiled(run: Run, number: int) -> dict[str, Measurement]:
        found = {**run.measurements, **{one.metric: one for one in PARTS}}
        if scenario in WINDOWS:
            found |= WINDOWS[scenario](run, number)
        return {name: replace(one, values=np.full_like(one.values, value)) for name, one in found.items()}

    load = {"scenario": scenario, "frame_rate_hz": 30.0, "batch": 8, "max_duration_s": 60.0}
    assert ">nan" not in rendered(load, spoiled)


def test_a_ratio_of_zero_and_a_latency_of_zero_are_said_and_not_drawn() -> None:
    report = measured(small(), first(0.0))
    zero = Estimate(0.0, 0.0, 0.1)
    text = page.render(replace(report, comparisons=tuple(replace(one, change=zero) for one in report.comparisons)))
    assert "a logarithmic axis begins above zero" in section(text.decode(), "ratio")
    assert "1 latency that is no number above zero" in section(text.decode(), "latency")


HOSTILE = (
    "a\ud800",
    "😀" * 40,
    "\ufffe",
    "\x00\x07\x1b[31m",
    "\u202eabc",
    "\U0001ffff",
    "</script>",
    "{{ 7 * 7 }}",
    "\ue000",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_chart_holds_any_text(text: str) -> None:
    row = {"variant": text, "value": 1.0, "state": "improved", "text": text, "hover": text}
    drawn = charts.figure(charts.bars([row], title=text, heading=text), alt=text)
    assert encoded(drawn).decode().count("<svg") == 2


def test_an_emoji_in_a_chart_stays_one() -> None:
    row = {"variant": "😀 \ue000", "value": 1.0, "state": "improved", "text": "", "hover": "🇩🇪"}
    drawn = charts.figure(charts.bars([row], title="t"), alt="")
    assert "😀 \ue000" in drawn
    assert "🇩🇪" in drawn


def with_text(part: Any, text: str) -> Any:
    """Return a part of a report with `text` added to each text in it that people or devices may choose."""
    if type(part) is str:
        return part + text
    if is_dataclass(part) and not isinstance(part, type):
        kept = KEPT.get(type(part), ())
        return replace(
            part,
            **{
                one.name: with_text(getattr(part, one.name), text)
                for one in fields(part)
                if one.name not in kept and one.init
            },
        )
    if isinstance(part, tuple):
        return tuple(with_text(one, text) for one in part)
    if isinstance(part, Mapping):
        return {key: with_text(value, text) for key, value in part.items()}
    return part


#: What links the parts of a report, or is one of a few words.
KEPT: Mapping[type, tuple[str, ...]] = MappingProxyType({
    Report: ("campaign",),
    Run: ("id", "campaign", "confusion", "outputs", "labels"),
    Variant: ("path",),
    Comparison: ("metric", "baseline", "run"),
    Measurement: ("metric", "unit", "values", "rounds"),
})  # fmt: skip


def renamed(report: Report, text: str) -> Report:
    """Return a report with `text` in every text of its runs, comparisons and reasons, and of its suite."""
    runs = tuple(with_text(run, text) for run in report.runs)
    cases = {run.id: run.case for run in runs}
    outcomes = tuple(
        replace(
            one,
            case=one.case + text,
            reasons=with_text(one.reasons, text),
            judgements=tuple(replace(line, message=line.message + text) for line in one.judgements),
            about=cases.get(one.run, one.about),
        )
        for one in report.outcomes
    )
    suite = dict(stored_runs.SUITE)
    data = {**suite["data"], "description": text, "classes": [text]}
    suite = {**suite, "title": text, "data": data, "task": {**suite["task"], "positive": text}}
    environment = with_text(report.campaign.environment, text)
    campaign = replace(report.campaign, command=text, environment=environment)
    campaign = replace(campaign, suites={run.case.suite: suite for run in runs})
    return replace(
        report, campaign=campaign, runs=runs, comparisons=with_text(report.comparisons, text), outcomes=outcomes
    )


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@example("".join(HOSTILE))
@given(st.text(st.characters(), min_size=1, max_size=40))
def test_every_section_is_drawn_whatever_stands_in_a_text(text: str) -> None:
    html = page.render(renamed(small(), text)).decode()
    assert wording.readable(html) == html
    assert "<script" not in own_script.without(html)


def test_a_section_that_fails_says_so_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "latency.html").write_text("{{ 1 / 0 }}")
    said: list[str] = []
    text = page.render(small(), overrides=tmp_path, say=said.append).decode()
    assert "This section could not be drawn:" in section(text, "latency")
    assert "ZeroDivisionError: division by zero" in section(text, "latency")
    assert "<svg" in section(text, "ratio")
    assert len(said) == 1
    assert "drawing Latency failed" in said[0]
    with pytest.raises(ZeroDivisionError):
        page.render(small(), overrides=tmp_path)


def test_a_report_whose_sentence_cannot_be_made_is_drawn_around_it() -> None:
    report = small()
    odd: Any = "five"  # as a store that was written by hand may hold it
    outcomes = tuple(
        replace(
            one,
            judgements=tuple(replace(each, criterion=replace(each.criterion, bound=odd)) for each in one.judgements),
        )
        for one in report.outcomes
    )
    said: list[str] = []
    text = page.render(replace(report, outcomes=outcomes), say=said.append).decode()
    assert "This section could not be drawn:" in section(text, "verdict")
    assert "<svg" in section(text, "ratio")
    assert len(said) == 1


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a store whose second run, and a comparison of it, are no JSON any more."""
    file = tmp_path / "results.sqlite"
    store, report = Store(f"sqlite:///{file}"), stored_runs.report(runtime=RUNTIME)
    store.add_campaign(report.campaign)
    for run in report.runs:
        changes = [one for one in report.comparisons if one.run == run.id]
        store.add_case(report.campaign.id, run, changes, next(one for one in report.outcomes if one.run == run.id))
    with store._engine.begin() as connection:
        name = {"id": report.runs[1].id}
        connection.execute(sa.text("UPDATE run SET document = '{\"case\": ' WHERE id = :id"), name)
        connection.execute(
            sa.text("UPDATE comparison SET change = '{' WHERE run = :id AND metric = 'size_ratio'"), name
        )
    store.close()
    return file


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_shown(damaged: Path, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{damaged}")
    said: list[str] = []
    file = publish(store, store.campaigns()[0], tmp_path / "html", overrides=tmp_path / "none", say=said.append)
    text = file.read_text(encoding="utf-8")
    lost = stored_runs.report(runtime=RUNTIME).runs[1].id
    assert f"<strong>Not readable:</strong> run of {lost} ultrasound pi5 cannot be read from the store" in text
    assert text.count("<strong>Not readable:</strong>") == len(said) == 2
    assert said[0].startswith(f"run of {lost} ultrasound pi5 cannot be read from the store (JSONDecodeError")
    assert "its run cannot be read from the store; measure it again" in section(text, "summary")
    assert "resnet18-int4" in section(text, "summary")


def test_the_command_writes_the_report_of_a_damaged_store_and_says_by_its_exit_code_that_it_is_not_whole(
    damaged: Path, tmp_path: Path
) -> None:
    arguments = ["--store", f"sqlite:///{damaged}", "report", "--out", str(tmp_path / "html")]
    done = CliRunner().invoke(cli, arguments, obj=Settings(), prog_name="edgeward")
    assert done.exit_code == 1
    assert "warning: run of" in done.output
    assert len(list((tmp_path / "html").glob("2*.html"))) == 1
