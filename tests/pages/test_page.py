"""What stands in the report, and what must never stand there."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from harness import page
from harness.model import (
    Circumstance,
    Comparison,
    Estimate,
    MeasuredCase,
    Measurement,
    Outcome,
    Reason,
    Verdict,
)
from harness.page.plots import density
from harness.page.render import sections
from harness.page.report import DRAWN, TOGETHER
from harness.page.sections.latency import DRAWN as SAMPLES_DRAWN
from harness.page.sections.latency import thinned
from tests.pages import own_script, stored_runs


def shown() -> list[str]:
    """Return the sections that have something to say of the stored runs, in the order that each asks for."""
    report = stored_runs.report()
    said = [(section.ORDER, name) for name, section in sections() if section.context(report) is not None]
    return [name for _, name in sorted(said)]


def test_the_sections_stand_in_the_order_they_ask_for_and_the_verdict_is_first(html: str) -> None:
    assert re.findall(r'<section id="([^"]+)"', html) == shown()
    assert shown()[0] == "verdict"


def test_every_section_has_a_heading_that_names_it(html: str) -> None:
    for name in shown():
        assert f'aria-labelledby="{name}-title"' in html
        assert html.count(f'id="{name}-title"') == 1


def test_the_policy_forbids_everything_but_the_pages_own_style_and_script(html: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)
    css = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert policy
    assert css
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    code = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    directives = policy[1].replace("&#39;", "'").split("; ")
    assert "default-src 'none'" in directives
    assert f"style-src 'sha256-{digest}'" in directives
    assert f"script-src 'sha256-{code}'" in directives
    assert "unsafe" not in policy[1]


def test_there_is_no_script_but_its_own_no_inline_style_and_no_address_to_fetch(html: str) -> None:
    html = own_script.without(html)
    assert "<script" not in html
    assert not re.search(r"\sstyle=", html)
    assert not re.search(r"\son\w+=", html)
    assert not re.search(
        r'(?:src|href)="(?!#|data:|method\.html")', html.replace('xlink="http://www.w3.org/1999/xlink"', "")
    )
    assert "@import" not in html
    assert "url(http" not in html


def test_the_file_is_small_enough_to_send(html: str) -> None:
    assert len(html.encode()) < 2_000_000


def test_the_same_runs_give_the_same_bytes(html: str) -> None:
    assert page.render(stored_runs.report()).decode() == html


def test_synthetic_data_is_named_at_the_top_and_wherever_accuracy_is_shown(html: str) -> None:
    assert '<p class="banner" role="note"><strong>Synthetic data.</strong>' in html
    for name in ("summary", "tradeoff", "accuracy"):
        assert '<span class="chip">synthetic data</span>' in section(html, name)


def test_real_data_is_not_called_synthetic() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    data = {**stored_runs.SUITE["data"], "synthetic": False, "description": "Scans of one clinic."}
    suites = {"ultrasound": {**stored_runs.SUITE, "data": data}}
    text = page.render(replace(report, campaign=replace(report.campaign, suites=suites))).decode()
    assert "ynthetic" not in text


def test_an_errored_case_is_shown_with_its_message(html: str) -> None:
    summary = section(html, "summary")
    assert "resnet18-broken" in summary
    assert "not an ONNX file (bad magic)" in summary


def test_numbers_of_an_invalid_run_are_shown_nowhere(html: str) -> None:
    report = stored_runs.report()
    invalid = next(run for run in report.runs if run.validity == "invalid")
    latency = float(np.median(invalid.measurements["latency_s"].values)) * 1e3
    assert f"{latency:.3g} ms" not in section(html, "summary")
    assert "the sentinel drifted by 14 % in 31 of 72 rounds" in section(html, "summary")
    assert html.count(f"{invalid.variant.sha256}") == 1  # its digest, in how to run it again


def test_an_absent_energy_gives_its_reason_once(html: str) -> None:
    assert section(html, "energy").count("no meter configured for this device") == 1


def test_the_confusion_matrices_hold_the_counts(html: str) -> None:
    run = stored_runs.report().runs[0]
    assert run.confusion is not None
    for count in np.diag(run.confusion):
        assert f'<span class="value">{count}</span>' in section(html, "accuracy")


def test_a_hostile_variant_is_escaped_in_text_and_in_charts() -> None:
    hostile = "<b onmouseover='x'>&\"</b>"
    text = page.render(stored_runs.report(runtime="ai-edge-litert", renamed={"resnet18-int8": hostile})).decode()
    assert "<b onmouseover" not in text
    assert "&lt;b onmouseover" in text


def test_percentiles_without_enough_samples_are_absent_with_the_reason() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    first = report.runs[0]
    few = Measurement("latency_s", "s", first.measurements["latency_s"].values[:100])
    runs = (replace(first, measurements={**first.measurements, "latency_s": few}), *report.runs[1:])
    latency = section(page.render(replace(report, runs=runs)).decode(), "latency")
    assert "662" in latency


def test_what_must_be_known_of_a_comparison_stands_below_the_table() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    note = "too few launches, so the variance between launches is not in the interval"
    around = (Circumstance("quick"), Circumstance("run degraded", "hot; very hot"))
    changes = tuple(replace(one, reasons=(Reason(note),), circumstances=around) for one in report.comparisons)
    summary = section(page.render(replace(report, comparisons=changes)).decode(), "summary")
    assert f"<li>{note}; run degraded</li>" in summary


def test_an_interval_without_an_end_is_said_and_not_drawn() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    endless = Estimate(0.5, 0.4, float("inf"))
    changes = tuple(
        Comparison(one.metric, one.baseline, one.run, endless, Verdict.INCONCLUSIVE) for one in report.comparisons
    )
    text = page.render(replace(report, comparisons=changes)).decode()
    assert "no bounded interval" in section(text, "summary")
    assert "inf" not in re.sub(r"inf(er|orm)", "", section(text, "ratio"))


def test_nothing_but_an_error_still_gives_a_report() -> None:
    text = page.render(stored_runs.nothing_but_an_error()).decode()
    assert "Nothing was measured" in section(text, "verdict")
    assert "no answer from pi5.lab:22 within 15 s" in section(text, "summary")
    assert "<svg" not in text


def test_a_template_of_the_lab_stands_in_for_the_reports_own(tmp_path: Path) -> None:
    (tmp_path / "energy.html").write_text('<h2 id="energy-title">Joules of {{ report.campaign.id }}</h2>')
    (tmp_path / "page.css").write_text("body { color: CanvasText }")
    text = page.render(stored_runs.nothing_but_an_error(), overrides=tmp_path).decode()
    assert "<style>body { color: CanvasText }</style>" in text
    full = page.render(stored_runs.report(runtime="ai-edge-litert"), overrides=tmp_path).decode()
    assert '<h2 id="energy-title">Joules of 2026-11-21T20-00-00</h2>' in full


def test_joules_are_drawn_where_a_meter_read_them() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    joules = Measurement("energy_j", "J", np.array([0.0121, 0.0123, 0.0122]), method="gross, meter")
    runs = tuple(replace(run, measurements={**run.measurements, "energy_j": joules}) for run in report.runs)
    energy = section(page.render(replace(report, runs=runs, comparisons=())).decode(), "energy")
    assert "12.2 mJ" in energy
    assert "<svg" in energy
    assert "no meter" not in energy


def test_a_segmentation_is_shown_with_its_own_metrics() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    levels = {"dice": Estimate(0.85, 0.83, 0.87), "hausdorff": Estimate(4.1, 3.8, 4.5)}
    changes = tuple(
        Comparison(name, report.runs[0].id, report.runs[1].id, Estimate(-0.01, -0.02, 0.004), Verdict.INCONCLUSIVE)
        for name in levels
    )
    runs = tuple(replace(run, accuracy=levels, confusion=None, labels=None, outputs=None) for run in report.runs)
    accuracy = section(page.render(replace(report, runs=runs, comparisons=changes)).decode(), "accuracy")
    assert "Dice" in accuracy
    assert "4.10 px" in accuracy
    assert "Confusion" not in accuracy


def test_every_margin_stands_below_the_table_that_is_judged_by_it() -> None:
    text = section(page.render(stored_runs.report(runtime="onnxruntime")).decode(), "summary")
    said = re.search(r"Margins, up to which a change does not matter: (.*?)\.</p>", text)
    assert said is not None
    assert said[1].split("; ") == [
        "2 % of latency, peak memory, model size",
        "5 pp of Sensitivity (solid), Specificity (solid)",
        "2 pp of Accuracy",
    ]


def test_each_device_has_tables_of_its_own() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    text = page.render(stored_runs.on_devices(report, "far")).decode()
    assert "A variant that is faster and meets the suite&#39;s limits was found in 1 of 2 places" in section(
        text, "verdict"
    )
    assert "<h3>far · ai-edge-litert 2.3.0</h3>" in section(text, "summary")
    rows = re.findall(r"<tr data-device.*?</tr>", section(text, "places"), re.DOTALL)
    assert [re.search(r'<th scope="row">(\S+)', row)[1] for row in rows] == ["pi5", "far"]  # type: ignore[index]
    assert "0.71×" in rows[0], "the ratio to the place's own baseline"
    assert "not measured" not in rows[0]
    assert 'id="places"' not in page.render(report).decode(), "one device needs no overview"


def test_thinned_samples_keep_their_shape() -> None:
    samples = np.random.default_rng(1).lognormal(size=20_000)
    few = thinned(samples)
    assert len(few) == SAMPLES_DRAWN
    np.testing.assert_allclose(np.quantile(few, [0.1, 0.5, 0.9]), np.quantile(samples, [0.1, 0.5, 0.9]), rtol=0.02)


def test_the_drawn_density_is_that_of_the_samples_also_where_they_vary_by_factors() -> None:
    rng = np.random.default_rng(2)
    for spread in (0.001, 0.05, 1.0):
        powers = spread * rng.standard_normal(500)
        ends = float(powers.min() - 0.1), float(powers.max() + 0.1)
        at = np.linspace(*ends, 101)
        bell = stats.gaussian_kde(powers, lambda kde: 1.06 * kde.n**-0.2)(at)
        ours = density(10**powers, (10 ** ends[0], 10 ** ends[1]))
        assert ours.shape == (101,)
        assert ours.max() == 1
        # Of samples that lie within one step the drawing cannot show more than where they are.
        assert abs(at[ours.argmax()] - at[bell.argmax()]) < max(0.6 * spread, 1.01 * (at[1] - at[0]))
        if spread > 0.001:
            np.testing.assert_allclose(ours, bell / bell.max(), atol=0.12)


def test_a_report_of_many_devices_is_an_overview_that_leads_to_a_page_of_each() -> None:
    report = stored_runs.fleet(TOGETHER + 1, 3)
    made = dict(page.pages(report, "night"))
    overview = made.pop("night.html").decode()
    assert re.findall(r'<section id="([^"]+)"', overview) == [
        "verdict", "places", "method", "downloads", "again", "words"
    ]  # fmt: skip
    assert "Details of each device stand on pages of their own" in overview
    assert list(dict.fromkeys(re.findall(r'<a href="(night/[^"#]+)', overview))) == list(made)
    assert "<svg" not in overview
    table = section(overview, "places")
    assert table.count('<span class="value">0.47×</span></a><span class="interval">0.46–0.48×</span>') == len(made)
    for number, html in enumerate(made.values()):
        text = html.decode()
        assert f"<h1>{stored_runs.SUITE['title']}, board-{number:03}</h1>" in text
        assert '<a href="../night.html">' in text
        leads_to = re.findall(rf'<a href="{re.escape(list(made)[number])}#([^"]+)"', overview)
        assert len(leads_to) == 2
        assert all(text.count(f'id="{one}"') == 1 for one in leads_to), "every cell leads to the row of its case"
        assert {"summary", "latency", "accuracy"} < set(re.findall(r'<section id="([^"]+)"', text))
        assert f"board-{number:03} ·" in section(text, "latency"), "the page holds the charts of its own device"


def test_the_matrix_frames_what_the_verdict_names_and_a_baseline_without_a_run_is_no_variant() -> None:
    report = stored_runs.fleet(3, 3, 144)
    silent = {run.case.id: run for run in report.runs if run.case.device == "board-002"}
    gone = tuple(
        replace(one, status="error", run="", reasons=(Reason("no answer"),), judgements=())
        if one.case in silent
        else one
        for one in report.outcomes
    )
    runs = tuple(run for run in report.runs if run.case.id not in silent)
    table = section(page.render(replace(report, runs=runs, outcomes=gone)).decode(), "places")
    assert re.findall(r'<th scope="col"[^>]*data-variant="([^"]+)"', table) == ["resnet18-int8", "resnet18-int4"]
    rows = re.findall(r"<tr data-device.*?</tr>", table, re.DOTALL)
    assert [row.count('class="best"') for row in rows] == [1, 1, 0]
    assert all("named by the verdict" in re.split(r"<td", row)[2] for row in rows[:2]), "resnet18-int8"
    assert rows[2].count("no result") == 2


def test_a_report_of_as_many_devices_as_fit_together_stays_one_file() -> None:
    report = stored_runs.fleet(TOGETHER, 1)
    ((name, html),) = page.pages(report, "night")
    assert name == "night.html"
    assert html == page.render(report)


def test_the_page_of_a_device_says_the_same_as_a_report_of_it_alone() -> None:
    report = stored_runs.fleet(TOGETHER + 1, 3)
    first, alone = next(iter(page.pages(report, "night"))), stored_runs.fleet(1, 3)
    assert section(first[1].decode(), "summary") == section(page.render(alone).decode(), "summary")


def test_among_too_many_places_the_pages_hold_tables_and_say_how_charts_are_drawn() -> None:
    report = stored_runs.fleet(DRAWN + 1, 2, 144)
    _, html = next(iter(page.pages(report, "night")))
    latency = section(html.decode(), "latency")
    assert "<svg" not in html.decode()
    assert "<code>edgeward report --device board-000</code>" in latency
    assert "resnet18-int8" in latency
    assert report.of([("ultrasound", "board-000")]).drawn


def test_a_case_without_a_result_stands_with_its_own_suite_on_its_own_page() -> None:
    report = stored_runs.fleet(TOGETHER + 1, 1)
    silent = Reason("no answer", "check that the device is on")
    cases = [MeasuredCase(f"lost@{name}", "ultrasound", "lost", name) for name in ("board-003", "board-dark")]
    lost = tuple(Outcome(case.id, "error", "", (silent,), (), case) for case in cases)
    made = {name: html.decode() for name, html in page.pages(replace(report, outcomes=report.outcomes + lost), "night")}
    telling = [name for name, text in made.items() if "No result. no answer" in text]
    assert telling == ["night/004-ultrasound-board-003.html", "night/014-ultrasound-board-dark.html"]


def section(html: str, name: str) -> str:
    """Return the HTML of one section."""
    found = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    assert found, name
    return found[0]


def test_a_fold_of_a_pool_is_named_with_what_its_intervals_leave_out() -> None:
    full = stored_runs.report()
    data = {**stored_runs.SUITE["data"], "folds": {"count": 5, "fold": 1, "pool": "abc"}}
    campaign = replace(full.campaign, suites={"ultrasound": {**stored_runs.SUITE, "data": data}})
    text = page.render(replace(full, campaign=campaign)).decode()
    assert "2 of 5, the models of which learnt from the others; what another training set would have changed" in text
    assert "edgeward folds" not in page.render(full).decode()
