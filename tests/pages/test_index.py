"""The index of a folder of reports, and the page that leads to the newest of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness.model import Validity
from harness.page.headline import overall
from harness.page.publish import publish, stored
from harness.store import Store
from tests.pages import own_script, stored_runs
from tests.pages.test_page_in_a_browser import opened

TITLE = "Lesions <b>& cysts</b>"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Three campaigns, a day apart: the second is quick and has a degraded run, the third another suite's title."""
    made, report = Store(f"sqlite:///{tmp_path}/results.sqlite"), stored_runs.report(runtime="ai-edge-litert")
    for day, name in enumerate(("first", "second", "third")):
        suites = {"ultrasound": {**stored_runs.SUITE, "title": TITLE}} if name == "third" else report.campaign.suites
        made.add_campaign(
            replace(
                report.campaign, id=name, quick=name == "second", suites=suites,
                started_at=report.campaign.started_at + timedelta(days=day),
            )
        )  # fmt: skip
        validity = Validity.DEGRADED if name == "second" else Validity.VALID
        for run in report.runs:
            own = [
                replace(one, run=f"{name}-{one.run}", baseline=f"{name}-{one.baseline}")
                for one in report.comparisons
                if one.run == run.id
            ]
            outcome = next(one for one in report.outcomes if one.run == run.id)
            kept = replace(run, id=f"{name}-{run.id}", campaign=name, validity=validity)
            made.add_case(name, kept, own, replace(outcome, run=kept.id))
        made.add_outcome(name, next(one for one in stored_runs.report().outcomes if not one.run))
    yield made
    made.close()


def write(store: Store, folder: Path, *names: str) -> dict[str, Path]:
    """Write the reports of campaigns in the order given."""
    known = {one.id: one for one in store.campaigns()}
    return {name: publish(store, known[name], folder, overrides=folder / "none") for name in names}


def test_every_campaign_with_a_report_in_the_folder_has_a_line_the_newest_first(
    store: Store, tmp_path: Path, browser: Browser
) -> None:
    files = write(store, tmp_path / "html", "third", "second")
    with opened(browser, tmp_path / "html/index.html") as tab:
        rows = [row.locator("th, td").all_inner_texts() for row in tab.locator("tbody tr").all()]
        links = [link.get_attribute("href") for link in tab.locator("tbody a").all()]
    assert links == [files["third"].name, files["second"].name]
    assert [row[0] for row in rows] == ["2026-11-23 20:00 UTC", "2026-11-22 20:00 UTC"]
    assert [row[1] for row in rows] == [TITLE, stored_runs.SUITE["title"]]
    assert {row[2] for row in rows} == {"pi5"}
    known = {one.id: one for one in store.campaigns()}
    assert [row[3] for row in rows] == [overall(stored(store, known[name]))[0].sentence for name in ("third", "second")]
    assert [re.findall(r"\d+ [a-z]+", row[4]) for row in rows] == [["2 passed", "1 failed", "1 error"]] * 2
    assert [row[5] for row in rows] == ["", "quick, degraded"]


def test_the_page_called_latest_leads_to_the_newest_report_whatever_was_rendered_last(
    store: Store, tmp_path: Path, browser: Browser
) -> None:
    files = write(store, tmp_path / "html", "second", "third", "first")
    moved = (tmp_path / "html").rename(tmp_path / "copied elsewhere")
    tab = browser.new_page()
    tab.goto((moved / "latest.html").as_uri(), wait_until="commit")
    tab.wait_for_url((moved / files["third"].name).as_uri())
    assert tab.locator("h1").inner_text() == TITLE
    tab.close()


def test_no_page_of_the_index_runs_or_fetches_anything_or_lets_a_title_become_markup(
    store: Store, tmp_path: Path
) -> None:
    write(store, tmp_path / "html", "third")
    for name in ("index.html", "latest.html"):
        text = (tmp_path / "html" / name).read_text("utf-8")
        assert "default-src &#39;none&#39;" in text
        if name == "index.html":
            text = own_script.without(text)
        assert not re.search(r"<script|\son\w+=|https?:|<b>", text)
        assert "Lesions &lt;b&gt;&amp; cysts&lt;/b&gt;" in text


def test_nothing_of_the_index_overflows_on_a_phone(store: Store, tmp_path: Path, browser: Browser) -> None:
    write(store, tmp_path / "html", "third", "second")
    with opened(browser, tmp_path / "html/index.html", width=390) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_report_of_an_older_edgeward_has_a_line_without_a_sentence(store: Store, tmp_path: Path) -> None:
    first = write(store, tmp_path / "html", "first")["first"]
    old = re.sub(r'<meta name="description"[^>]*>\n', "", first.read_text("utf-8"))
    first.write_text(old, "utf-8")
    write(store, tmp_path / "html", "second")
    row = next(line for line in (tmp_path / "html/index.html").read_text().splitlines() if first.name in line)
    assert '</td><td class="text">–</td><td class="text"><span class="badge passed">' in row
