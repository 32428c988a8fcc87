"""What people do with the report in a browser: filter, sort, send a view, copy, download, fold, print, read aloud."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader

from harness import page
from harness.page import method_page
from tests.pages import stored_runs
from tests.pages.test_page_in_a_browser import Scheme, opened


@pytest.fixture(scope="module")
def report() -> page.Report:
    """Six variants on two devices."""
    return stored_runs.fleet(2, 6, samples=720)


@pytest.fixture(scope="module")
def two(report: page.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("two") / "two.html"
    file.write_bytes(page.render(report))
    return file


@pytest.fixture
def tab(browser: Browser, two: Path) -> Iterator[Page]:
    with opened(browser, two) as one:
        one.set_default_timeout(10_000)
        yield one


def visible(tab: Page) -> list[str]:
    """Return the ids of the rows of the summary that are to be seen."""
    return [row.get_attribute("id") or "" for row in tab.locator("#summary tr[data-case]:visible").all()]


def choose(tab: Page, title: str, value: str) -> None:
    tab.get_by_label(title, exact=True).select_option(value)


def test_a_device_and_a_variant_are_asked_for_and_the_view_can_be_sent(tab: Page, browser: Browser, two: Path) -> None:
    assert len(visible(tab)) == 12
    choose(tab, "Device", "board-001")
    choose(tab, "Variant", "resnet18-int8")
    assert len(visible(tab)) == 2, "the variant and the baseline that it is against"
    assert tab.locator(".count").inner_text() == "2 of 12 cases shown"
    assert tab.locator("#latency .place:visible").count() == 1
    assert tab.locator("#places thead th:visible").all_inner_texts()[2:] == ["resnet18-int8"]
    assert tab.locator("#places tbody tr:visible").count() == 1
    sent = tab.evaluate("location.hash")
    assert sent == "#device=board-001&variant=resnet18-int8"
    with opened(browser, two, fragment=sent) as other:
        assert visible(other) == visible(tab)
        assert other.get_by_label("Device", exact=True).input_value() == "board-001"
    tab.get_by_role("button", name="Show all").click()
    assert len(visible(tab)) == 12
    assert tab.evaluate("location.hash") == ""


def test_only_failures_are_shown_on_request(tab: Page) -> None:
    choose(tab, "Only", "failing")
    names = set(tab.locator("#summary tr[data-case]:visible .variant").all_inner_texts())
    assert names == {"resnet18-pruned-filters", "resnet18-pruned-magnitude"}
    choose(tab, "Only", "changed")
    assert "resnet18-fp32" not in tab.locator("#summary tr[data-case]:visible .variant").all_inner_texts()


def test_a_metric_is_asked_for(tab: Page) -> None:
    choose(tab, "Metric", "size_bytes")
    heads = tab.locator("#summary thead").first.locator("th:visible").all_inner_texts()
    assert heads == ["Variant", "Model size", "Outcome"]


@pytest.mark.parametrize(
    "fragment", ["#device=nowhere&only=%E0%A4%A", "#&&==&x=1", "#case-000", "#sort=99.99.z&only=x"]
)
def test_a_fragment_that_says_nothing_known_shows_everything(browser: Browser, two: Path, fragment: str) -> None:
    with opened(browser, two, fragment=fragment) as tab:
        assert len(visible(tab)) == 12


def test_a_table_is_sorted_by_its_numbers_and_not_by_its_text(tab: Page) -> None:
    table = tab.locator("#summary table").first
    head = table.get_by_role("button", name="Latency")
    own = table.locator("tbody .variant").all_inner_texts()
    head.click()
    rising = [float(cell.get_attribute("data-sort") or "nan") for cell in table.locator("td:nth-child(2)").all()]
    assert rising == sorted(rising)
    assert table.locator("th[aria-sort=ascending]").count() == 1
    head.click()
    falling = [float(cell.get_attribute("data-sort") or "nan") for cell in table.locator("td:nth-child(2)").all()]
    assert falling == rising[::-1]
    assert re.fullmatch(r"#sort=\d+\.1\.d", tab.evaluate("location.hash"))
    head.click()
    assert table.locator("tbody .variant").all_inner_texts() == own


def test_the_worst_place_comes_first_on_request(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "places.html"
    file.write_bytes(page.render(stored_runs.on_devices(stored_runs.report(runtime="ai-edge-litert"), "far")))
    with opened(browser, file) as tab:
        rows = tab.locator("#places tbody tr")
        before = [int(row.get_attribute("data-worst") or 0) for row in rows.all()]
        tab.get_by_role("button", name="Worst first").click()
        assert [int(row.get_attribute("data-worst") or 0) for row in rows.all()] == sorted(before, reverse=True)


def test_a_cell_leads_to_the_row_of_its_case_also_where_that_was_filtered_away(tab: Page) -> None:
    link = tab.locator("#places tbody tr").nth(1).locator("td a").first
    anchor = (link.get_attribute("href") or "")[1:]
    choose(tab, "Metric", "latency_p50_s")
    link.click()
    expect(tab.locator(f"#{anchor}")).to_be_in_viewport()
    assert tab.evaluate("document.activeElement.id") == anchor
    assert tab.evaluate("location.hash") == f"#{anchor}&metric=latency_p50_s"
    tab.go_back()
    assert tab.evaluate("location.hash") == "#metric=latency_p50_s"


def test_everything_is_reached_by_the_keyboard_alone(tab: Page) -> None:
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        seen.add(tab.evaluate("document.activeElement.tagName + ' ' + document.activeElement.className"))
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert {"SELECT ", "BUTTON sort", "A "} <= seen
    tab.get_by_label("Only", exact=True).focus()
    tab.keyboard.press("f")
    assert "failing" in tab.evaluate("location.hash")


def test_a_table_is_copied_as_markdown_and_with_plain_numbers_for_a_spreadsheet(tab: Page) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    act = tab.locator("#summary .act").first
    act.get_by_text("Copy as Markdown").click()
    expect(act.get_by_text("Copied")).to_be_visible()
    lines = tab.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0].startswith("| Variant | Latency, median | Peak memory |")
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    act.get_by_text("Copy for a spreadsheet").click()
    tab.wait_for_function("navigator.clipboard.readText().then(text => text.includes('\\t'))")
    rows = list(csv.DictReader(io.StringIO(tab.evaluate("navigator.clipboard.readText()")), delimiter="\t"))
    assert len(rows) == 6
    int8 = next(row for row in rows if row["Variant"].startswith("resnet18-int8"))
    assert 0.001 < float(int8["Latency, median [s]"]) < 0.01
    low, point, high = (float(int8[f"Latency, median: change{which}"]) for which in (", low", "", ", high"))
    assert low < point < high
    assert int8["Latency, median: verdict"] == "improved"
    assert float(int8["Sensitivity (solid): change"]) < 1, "a difference of shares, with an ASCII minus"


def test_the_numbers_are_downloaded_from_the_page_itself(tab: Page, report: page.Report, tmp_path: Path) -> None:
    kept = {}
    for link in tab.locator("#downloads a").all():
        with tab.expect_download() as found:
            link.click()
        kept[found.value.suggested_filename] = tmp_path / found.value.suggested_filename
        found.value.save_as(kept[found.value.suggested_filename])
    name = f"edgeward-{report.campaign.id}"
    assert set(kept) == {f"{name}.csv", f"{name}.json.gz"}
    assert len(list(csv.DictReader(kept[f"{name}.csv"].open()))) == 12
    document = json.loads(gzip.decompress(kept[f"{name}.json.gz"].read_bytes()))
    for run, said in zip(report.runs, document["runs"], strict=True):
        assert said["measurements"]["latency_s"]["values"] == run.measurements["latency_s"].values.tolist()


def test_a_confidential_suite_gives_away_no_single_answer(report: page.Report) -> None:
    suites = {name: {**suite, "confidential": True} for name, suite in report.campaign.suites.items()}
    html = page.render(replace(report, campaign=replace(report.campaign, suites=suites))).decode()
    assert ".json.gz" not in html
    assert "The suite is confidential" in html
    assert 'download="edgeward-2026-11-21T20-00-00.csv"' in html


def test_without_a_script_the_page_is_whole(browser: Browser, two: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(two.as_uri())
    assert tab.locator("#summary tr[data-case]:visible").count() == 12
    assert tab.locator("section:visible").count() == tab.locator("section").count()
    assert tab.locator("button, select").count() == 0, "nothing that would not work"
    context.close()


def test_on_a_phone_all_but_the_answers_is_folded_and_a_link_opens_it(browser: Browser, two: Path) -> None:
    tab = browser.new_page(viewport={"width": 360, "height": 800})
    tab.goto(two.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    height = tab.evaluate("document.documentElement.scrollHeight")
    assert tab.locator("#latency figure:visible").count() == 0
    tab.locator("nav a[href='#latency']").click()
    expect(tab.locator("#latency figure").first).to_be_visible()
    assert tab.locator("#latency .fold").get_attribute("aria-expanded") == "true"
    tab.evaluate("document.querySelectorAll('.fold[aria-expanded=false]').forEach(one => one.click())")
    assert height < 0.6 * tab.evaluate("document.documentElement.scrollHeight")
    tab.close()


def test_a_tablet_shows_tables_and_a_very_wide_screen_is_used(browser: Browser, two: Path) -> None:
    with opened(browser, two, width=768) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == 768
        assert tab.locator("#summary thead").first.is_visible()
        assert tab.evaluate("getComputedStyle(document.querySelector('#summary tbody tr')).display") == "table-row"
    with opened(browser, two, width=2560) as tab:
        width = tab.evaluate("document.querySelector('#summary table').getBoundingClientRect().width")
        assert width > 0.8 * 2560
        places = tab.locator("#latency .place").all()
        tops = [box["y"] for place in places if (box := place.bounding_box())]
        assert tops[0] == tops[1], "two places side by side"


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, width: int, scheme: Scheme) -> None:
    # Few variants: axe asks every line of every chart.
    file = tmp_path / "few.html"
    file.write_bytes(page.render(stored_runs.fleet(2, 2, samples=720)))
    with opened(browser, file, width=width, scheme=scheme) as tab:
        found = Axe().run(tab)
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found.response["violations"]] == []


def test_axe_finds_nothing_on_the_pages_beside_it(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "method.html"
    file.write_bytes(method_page.html())
    with opened(browser, file) as tab:
        assert tab.locator("h1").inner_text() == "How a number is made"
        found = Axe().run(tab)
    assert [one["id"] for one in found.response["violations"]] == []


def test_every_printed_page_has_its_number_and_the_campaign(browser: Browser, two: Path) -> None:
    with opened(browser, two) as tab:
        pages = PdfReader(io.BytesIO(tab.pdf(format="A4", prefer_css_page_size=True))).pages
    texts = [one.extract_text() for one in pages]
    assert len(texts) > 5
    for number, text in enumerate(texts, 1):
        assert f"{number} / {len(texts)}" in text
        assert "campaign 2026-11-21T20-00-00" in text
    headings = {"Variants against their baseline", "How much faster", "What the words mean"}
    for text in texts:
        lines: list[Any] = [line.strip() for line in text.splitlines() if line.strip()]
        assert lines[-3] not in headings, "a heading stands alone at the end of a page"


def test_right_to_left_names_turn_nothing_around_them(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "hebrew.html"
    hebrew = "\u05de\u05d5\u05d3\u05dc-8"
    file.write_bytes(page.render(stored_runs.report(runtime="onnxruntime", renamed={"resnet18-int8": hebrew})))
    with opened(browser, file) as tab:
        name = tab.locator("#summary .variant", has_text=hebrew).first
        assert name.evaluate("node => getComputedStyle(node).unicodeBidi") == "isolate"
        assert f"\u2068{hebrew}\u2069" in (tab.locator(".sentence").text_content() or "")


def test_a_class_of_300_letters_widens_no_page(browser: Browser, tmp_path: Path) -> None:
    report, long = stored_runs.report(runtime="onnxruntime"), "x" * 300
    runs = tuple(replace(run, classes=(long, *run.classes[1:])) for run in report.runs)
    file = tmp_path / "long.html"
    file.write_bytes(page.render(replace(report, runs=runs)))
    for width in (390, 1280):
        with opened(browser, file, width=width) as tab:
            wide = tab.evaluate("[...document.querySelectorAll('table')].map(one => one.scrollWidth)")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert max(wide) < 1.6 * max(width, 900)
