"""The table of models and techniques says of every case the newest result, or why there is none."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from markupsafe import escape
from playwright.sync_api import Browser

from harness.model import Measurement
from harness.page import Report, technique_table
from tests.pages import own_script, stored_runs
from tests.pages.test_page_in_a_browser import opened


def newest(report: Report) -> dict[str, str]:
    return {outcome.case: report.campaign.id for outcome in report.outcomes}


def made() -> tuple[technique_table.Table, ...]:
    report = stored_runs.report()
    return technique_table.tables([report], newest(report))


def cells(line: str) -> list[str]:
    return [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_case_has_a_row_with_as_many_cells_as_there_are_columns() -> None:
    report = stored_runs.report()
    lines = [line for line in technique_table.markdown(made()).splitlines() if line.startswith("|")]
    head, rows = cells(lines[0]), [cells(line) for line in lines[2:]]
    assert len(rows) == len(report.outcomes)
    assert {len(row) for row in rows} == {len(head)}
    assert {"Accuracy", "Sensitivity = recall (solid)", "AUROC", "Latency, median", "Peak memory", "Model size"} <= set(
        head
    )


def test_a_cell_holds_the_value_its_interval_the_change_and_the_verdict() -> None:
    run, change = next(
        (run, one)
        for run in stored_runs.report().runs
        for one in stored_runs.report().comparisons
        if one.run == run.id and one.metric == "sensitivity" and one.verdict == "regressed"
    )
    row = next(row for row in made()[0].rows if row.variant == run.case.variant)
    shown = row.cells["sensitivity"]
    assert change.change is not None
    assert shown.value == f"{100 * run.accuracy['sensitivity'].point:.1f} %"
    assert shown.change == f"{100 * change.change.point:+.1f} pp".replace("-", "−")
    assert shown.change_interval.startswith(f"{100 * change.change.low:+.1f} to ".replace("-", "−"))
    assert shown.verdict == "regressed"


def test_what_has_no_number_says_why() -> None:
    remarks = {row.variant: row.remark for row in made()[0].rows if not row.cells}
    assert remarks["resnet18-broken"].startswith("no result: models/resnet18_broken.onnx: not an ONNX file")
    assert remarks["resnet18-int4"] == f"invalid: {stored_runs.DRIFTED}"
    unasked = "the suite does not ask for it ([robustness])"
    assert made()[0].absent == (
        ("Accuracy, corrupted images", unasked),
        ("Accuracy, attacked images", unasked),
        ("Energy per inference", "no meter configured for this device"),
    )
    assert "Energy per inference: not measured: no meter configured for this device." in technique_table.markdown(
        made()
    )


def test_a_number_that_other_rows_have_is_missing_with_its_reason() -> None:
    report = stored_runs.report()
    energy = Measurement("energy_j", "J", np.array([0.02]))
    suite = {**stored_runs.SUITE, "robustness": {"margin": 0.03}}
    level = stored_runs.report().runs[0].accuracy["accuracy"]
    absent = {"attack": {"text": "the baseline has no gradient", "remedy": ""}}
    runs = [
        replace(run, notes={**run.notes, "robustness": {"absent": absent}}) if place else replace(
            run, measurements={**run.measurements, "energy_j": energy},
            accuracy={**run.accuracy, "attacked_accuracy": level, "corrupted_accuracy": level},
        )
        for place, run in enumerate(report.runs)
    ]  # fmt: skip
    campaign = replace(report.campaign, suites={report.runs[0].case.suite: suite})
    (table,) = technique_table.tables([replace(report, campaign=campaign, runs=tuple(runs))], newest(report))
    assert {"Energy per inference", "Accuracy, attacked images"} <= set(table.titles.values())
    text = technique_table.markdown((table,))
    assert "| not measured: no meter configured for this device |" in text
    assert "| not measured: the baseline has no gradient |" in text
    assert "| not measured: not measured" not in text


def test_a_row_names_its_architecture_and_the_table_what_a_device_is() -> None:
    report = stored_runs.report()
    named, device = {"resnet18-fp32": "ResNet-18", "resnet18-int8": "ResNet-18"}, report.runs[0].case.device
    said = "in qemu: its times are no board's"
    suite = {**stored_runs.SUITE, "architectures": named, "devices": {device: said}}
    campaign = replace(report.campaign, suites={report.runs[0].case.suite: suite})
    (table,) = technique_table.tables([replace(report, campaign=campaign)], newest(report))
    models = {row.variant: row.model for row in table.rows}
    assert {models[name] for name in named} == {"ResNet-18"}
    assert {models[name] for name in set(models) - set(named)} <= {"resnet18-fp32", "—"}, "no architecture is guessed"
    assert f"{device}: {said}." in technique_table.markdown((table,))
    assert f"{device}: {escape(said)}." in technique_table.html((table,)).decode()


def test_a_case_is_shown_from_its_newest_campaign_alone() -> None:
    old = stored_runs.report()
    later = replace(old.campaign, id="c-later", started_at=old.campaign.started_at + timedelta(days=1))
    case = next(outcome for outcome in old.outcomes if "int8" in outcome.case)
    run = next(run for run in old.runs if run.id == case.run)
    new = Report(later, (replace(run, campaign=later.id, quick=True),), (), (case,))
    (table,) = technique_table.tables([old, new], {**newest(old), case.case: later.id})
    found = [row for row in table.rows if row.variant == run.case.variant and row.place.endswith("onnxruntime 1.31.1")]
    assert [(row.measured, row.remark) for row in found] == [(f"{later.started_at:%Y-%m-%d}", "quick")]
    assert len(table.rows) == len(old.outcomes)


def test_only_the_suites_that_are_wanted_are_shown() -> None:
    report = stored_runs.report()
    assert technique_table.tables([report], newest(report), {"another"}) == ()
    assert len(technique_table.tables([report], newest(report), {report.runs[0].case.suite})) == 1


def test_a_name_cannot_break_the_table() -> None:
    hostile = "a|b <script>*x*`\n# y"
    report = stored_runs.report(renamed={"resnet18-int8": hostile})
    found = technique_table.tables([report], newest(report))
    rows = [cells(line) for line in technique_table.markdown(found).splitlines() if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert r"a\|b \<script\>\*x\*\` \# y" in {row[2] for row in rows}
    assert "<script" not in own_script.without(technique_table.html(found).decode())


def test_the_page_opens_without_a_complaint(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "table.html"
    file.write_bytes(technique_table.html(made()))
    with opened(browser, file) as tab:
        assert tab.locator("tbody tr").count() == len(made()[0].rows)
        assert tab.locator("[role=note]").inner_text().startswith("Synthetic data.")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
