"""What the report says of the campaigns before: on the first page what changed, further down each case by campaign."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness import compare, page
from harness.model import Reason
from harness.page import Report
from harness.page.publish import publish, stored, with_earlier
from harness.store import Store
from tests.pages import stored_runs

INT8 = "onnxruntime-resnet18-int8"


def night(
    report: Report, number: int, *, slower: float = 1.0, failed: Mapping[str, str] | None = None, kernel: str = "6.6"
) -> Report:
    """Return the report as it was measured on another night.

    Args:
        report: what is measured every night.
        number: of the night.
        slower: by how much the ratio of int8 is larger.
        failed: id of a run -> why its case failed that night.
        kernel: of the device.
    """
    name, day = f"n{number}", timedelta(days=number)
    ids = {run.id: f"{name}-{run.id}" for run in report.runs} | {"": ""}
    runs = tuple(
        replace(
            run, id=ids[run.id], campaign=name, started_at=run.started_at + day,
            fingerprint={**run.fingerprint, "kernel": kernel},
        )
        for run in report.runs
    )  # fmt: skip
    changes = []
    for one in report.comparisons:
        change = one.change
        if one.run not in ids:
            continue
        if change is not None and one.metric == "latency_ratio" and one.run == INT8:
            change = replace(change, point=slower * change.point, low=slower * change.low, high=slower * change.high)
        changes.append(replace(one, run=ids[one.run], baseline=ids[one.baseline], change=change))
    outcomes = [replace(one, run=ids[one.run]) for one in report.outcomes]
    for at, ended in enumerate(report.outcomes):
        if failed and ended.run in failed:
            outcomes[at] = replace(outcomes[at], status="failed", reasons=(Reason(failed[ended.run]),))
    campaign = replace(report.campaign, id=name, started_at=report.campaign.started_at + day)
    return Report(campaign, runs, tuple(changes), tuple(outcomes))


def after(*nights: Report) -> Report:
    """Return the report of the last night, which knows the ones before."""
    results = [compare.Results(one.campaign, one.runs, one.comparisons, one.outcomes) for one in nights]
    runs = {run.id: run for one in nights for run in one.runs}
    return replace(nights[-1], earlier=compare.histories(results, runs.get))


@cache
def changed() -> str:
    """Return the page of a night on which int8 became slower and failed, under another kernel."""
    report = stored_runs.report(runtime="onnxruntime")
    failed = {INT8: "latency too high"}
    nights = [night(report, 0), night(report, 1), night(report, 2, slower=1.3, failed=failed, kernel="6.12")]
    return page.render(after(*nights)).decode()


def section(html: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', html, re.S)
    return found[0] if found else ""


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_first_page_says_after_the_verdict_what_failed_what_moved_and_what_was_set_up_otherwise() -> None:
    html = changed()
    order = re.findall(r'<section id="([a-z]+)"', html)
    assert order[:2] == ["verdict", "since"]
    said = words(section(html, "since"))
    assert (
        "Since the campaign of 2026-11-22 20:00 UTC: 1 outcome changed (1 to failed or error), 1 number moved, 1 thing "
        "set up otherwise."
    ) in said
    assert "resnet18-int8 on pi5 with onnxruntime 1.31.1: ✓ passed → ✕ failed latency too high" in said
    assert "not yet confirmed." in said
    assert "Kernel changed: 6.6 → 6.12." in said


def test_the_history_has_a_chart_and_a_table_of_each_case_with_marks_in_words() -> None:
    part = section(changed(), "history")
    assert part.count("<table>") == 6
    assert part.count("<figure>") == 5, "the baseline has no ratio"
    assert "2026-11-23 20:00 ▲ slower" in part
    int8 = next(one for one in part.split("<details") if "resnet18-int8" in one)
    assert 'class="place" open' in int8, "a case that moved is open"
    rows = re.findall(r"<tr>.*?</tr>", int8, re.S)[1:]
    assert len(rows) == 3
    assert "Latency against the baseline: 0.47×" in rows[2]
    assert "Kernel changed: 6.6 → 6.12." in rows[2]
    assert "Kernel changed" not in "".join(rows[:2])
    assert 'aria-label="Latency of resnet18-int8 on pi5 with onnxruntime 1.31.1 relative to the baseline' in int8


def test_where_nothing_changed_there_is_one_sentence_and_no_list() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    part = section(page.render(after(night(report, 0), night(report, 1))).decode(), "since")
    assert "no outcome changed, no ratio or accuracy moved" in part
    assert "<li>" not in part


def test_a_first_campaign_has_neither_part() -> None:
    html = page.render(after(night(stored_runs.report(runtime="onnxruntime"), 0))).decode()
    assert section(html, "since") == section(html, "history") == ""


def test_of_many_places_the_overview_says_what_changed_and_each_place_its_own() -> None:
    fleet = stored_runs.fleet(25, 2)
    failed = {fleet.runs[1].id: "latency too high"}
    made = dict(page.pages(after(night(fleet, 0), night(fleet, 1, failed=failed)), "night"))
    overview = made["night.html"].decode()
    assert "1 outcome changed (1 to failed or error)" in section(overview, "since")
    assert section(overview, "history") == ""
    places = [html.decode() for name, html in made.items() if name != "night.html"]
    assert sum("1 outcome changed" in section(html, "since") for html in places) == 1
    assert all(section(html, "history") for html in places)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two nights, of which the second is slower."""
    made = Store(f"sqlite:///{tmp_path}/results.sqlite")
    report = stored_runs.report(runtime="onnxruntime")
    for one in (night(report, 0), night(report, 1, slower=1.3)):
        made.add_campaign(one.campaign)
        ended = {outcome.run: outcome for outcome in one.outcomes}
        for run in one.runs:
            made.add_case(one.campaign.id, run, [c for c in one.comparisons if c.run == run.id], ended[run.id])
    return made


def test_the_report_of_a_stored_campaign_knows_the_ones_before_it_and_none_after_it(
    store: Store, tmp_path: Path
) -> None:
    newest, oldest = store.campaigns()
    said: list[str] = []
    html = publish(store, newest, tmp_path / "html", overrides=tmp_path / "none", changed=said.append).read_text()
    assert "Since the campaign of 2026-11-21 20:00 UTC: 1 number moved." in section(html, "since")
    assert said == ["Since the campaign of 2026-11-21 20:00 UTC: 1 number moved."]
    publish(store, oldest, tmp_path / "html", overrides=tmp_path / "none", changed=said.append)
    assert len(said) == 1, "there is none before it"
    assert with_earlier(store, stored(store, oldest)).earlier[0].points[-1].campaign.id == oldest.id


def test_a_damaged_row_of_an_earlier_campaign_is_named_and_costs_nothing_else(store: Store, tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "results.sqlite") as file:
        file.execute("update run set document = '{' where id = ?", (f"n0-{INT8}",))
    said: list[str] = []
    html = publish(store, store.campaigns()[0], tmp_path / "html", overrides=tmp_path / "none", say=said.append)
    assert [text.startswith(f"run of n0-{INT8} ultrasound pi5 cannot be read") for text in said] == [True]
    part = section(html.read_text(), "history")
    assert "resnet18-pruned-filters" in part


@pytest.mark.parametrize("width", [1280, 390])
def test_the_history_fits_a_wide_page_and_a_phone(browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(changed(), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.goto(file.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tallest = tab.evaluate("Math.max(...[...document.querySelectorAll('#history tr')].map(row => row.offsetHeight))")
    assert tallest < 300, "what is said of a campaign is not squeezed into a narrow column"
    tab.close()
