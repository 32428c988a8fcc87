"""The summary of a campaign in Markdown: the sentence, a row a case, what failed; no text of a lab becomes markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.model import MeasuredCase, Outcome, Reason, Validity
from harness.page import Report, campaign_summary
from harness.page.headline import overall
from tests.pages import stored_runs

HTML = Path("/srv/reports/20261121-200000-2026-1.html")
#: What a device, a suite or a tool may say, and what it would mean in Markdown or HTML.
NASTY = "a|b `c` <script>x</script> *d* _e_ [f](javascript:g) &lt; ~~h~~ $i$ \\| # j\r\n\n## k\n| l |"


def tokens(text: str) -> list[Token]:
    """Return the Markdown as a parser of its own reads it."""
    found = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [inner for token in found for inner in (token, *(token.children or ()))]


def cells(text: str) -> list[list[str]]:
    """Return what the reader sees in each row of the tables, with a line of a cell as `/`."""
    rows: list[list[str]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        inside = token.type != "table_close" and (inside or token.type == "table_open")
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and inside:
            rows[-1].append("".join("/" if one.type == "html_inline" else one.content for one in token.children or ()))
    return rows


def test_every_case_has_a_row_with_how_it_ended_its_latency_the_bounded_accuracies_and_its_validity() -> None:
    report = stored_runs.report()
    head, *rows = cells(campaign_summary.markdown(report, HTML))
    assert head == [
        "Device", "Variant", "Outcome", "Latency, median", "Sensitivity (solid)", "Specificity (solid)", "Validity",
    ]  # fmt: skip
    assert len(rows) == len(report.outcomes)
    assert {len(row) for row in rows} == {len(head)}
    (row,) = [row for row in rows if row[:2] == ["pi5 · onnxruntime 1.31.1", "resnet18-int8"]]
    (change,) = [
        one.change for one in report.comparisons
        if (one.run, one.metric) == ("onnxruntime-resnet18-int8", "latency_ratio")
    ]  # fmt: skip
    assert change is not None
    assert row[2] == "✓ passed"
    assert row[3].endswith(f"/{change.point:.2f}× ({change.low:.2f}–{change.high:.2f}×) ✓ improved")
    assert row[4].endswith("pp) = equivalent")
    assert row[6] == "✓ valid"


def test_it_begins_with_the_sentence_of_the_report_and_ends_with_where_that_is() -> None:
    report = stored_runs.report(quick=True)
    shown = [token.content for token in tokens(campaign_summary.markdown(report, HTML)) if token.type == "text"]
    head = overall(report)[0]
    assert head.sentence in shown
    assert set(head.caveats) <= set(shown)
    assert shown[-1] == f"Report: {HTML}"


def test_what_failed_and_what_ended_in_an_error_stands_below_with_each_of_its_messages() -> None:
    report = stored_runs.report()
    _, _, below = campaign_summary.markdown(report, HTML).partition("### Failures and errors")
    shown = [token.content for token in tokens(below) if token.type == "text"]
    broken = [one for one in report.outcomes if one.status in ("failed", "error")]
    assert broken
    for outcome in report.outcomes:
        assert (outcome.case in shown) == (outcome in broken)
        for reason in outcome.reasons if outcome in broken else ():
            assert str(reason) in shown


def test_a_campaign_without_a_failure_says_nothing_of_failures() -> None:
    report = stored_runs.report()
    passed = tuple(one for one in report.outcomes if one.status == "passed")
    runs = tuple(run for run in report.runs if run.id in {one.run for one in passed})
    assert "Failures" not in campaign_summary.markdown(replace(report, runs=runs, outcomes=passed), HTML)


def test_the_numbers_of_an_invalid_run_are_left_out_and_the_reason_stands_with_its_validity() -> None:
    rows = cells(campaign_summary.markdown(stored_runs.report(), HTML))
    (row,) = [row for row in rows if row[6].startswith("✕ invalid")]
    assert row[3:6] == ["–"] * 3
    assert row[6] == f"✕ invalid/{stored_runs.DRIFTED}"


@pytest.mark.parametrize("place", ["variant", "device", "reason", "title"])
def test_no_text_of_a_lab_or_a_device_becomes_markup(place: str) -> None:
    report = stored_runs.report()
    case = MeasuredCase("x", "ultrasound", NASTY if place == "variant" else "v", "pi5", "onnxruntime")
    case = replace(case, device=NASTY if place == "device" else "pi5")
    reasons = (Reason(NASTY if place == "reason" else "lost"),)
    title = NASTY if place == "title" else "Ultrasound"
    campaign = replace(report.campaign, suites={"ultrasound": {**stored_runs.SUITE, "title": title}})
    error = Outcome(f"suites/{case.variant}@{case.device}", "error", "", reasons, (), case)
    run = replace(report.runs[0], validity=Validity.DEGRADED, reasons=reasons)
    made = Report(campaign, (run, *report.runs[1:]), report.comparisons, (*report.outcomes, error))
    text = campaign_summary.markdown(made, HTML)
    found = tokens(text)
    html = {token.content for token in found if token.type in ("html_inline", "html_block")}
    assert html <= {"<br>", "<sup>", "</sup>"}
    kinds = {token.type for token in found}
    assert not kinds & {"link_open", "code_inline", "em_open", "s_open", "fence", "code_block"}
    assert [token.tag for token in found if token.type == "heading_open"] == ["h2", "h3"]
    assert {len(row) for row in cells(text)} == {7}
    assert any(" ".join(NASTY.split()) in token.content for token in found if token.type == "text"), "it is shown whole"


def test_each_of_several_suites_has_a_table_of_its_own_with_the_accuracies_it_bounds() -> None:
    report = stored_runs.report()
    other = {**stored_runs.SUITE, "title": "Another", "accept": [{"metric": "auroc", "rule": "min", "bound": 0.8}]}
    runs = tuple(replace(run, id=f"o-{run.id}", case=replace(run.case, suite="other", id="")) for run in report.runs)
    campaign = replace(report.campaign, suites={**report.campaign.suites, "other": other})
    text = campaign_summary.markdown(replace(report, campaign=campaign, runs=(*report.runs, *runs)), HTML)
    heads = [row for row in cells(text) if row[0] == "Device"]
    assert [row[4:-1] for row in heads] == [["Sensitivity (solid)", "Specificity (solid)"], ["AUROC"]]
    assert "### Another" in text
