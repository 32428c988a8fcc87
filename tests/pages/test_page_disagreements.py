"""Images on which variants and baseline disagree: counted, listed, shown if the suite asks; no word if confidential."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from PIL import Image
from playwright.sync_api import Browser

from harness import page
from harness.model import InputSpec, Load, Reason, Samples, Suite, Validity
from harness.page import charts
from harness.results import disagreement
from tests.pages import stored_runs
from tests.pages.test_page_in_a_browser import opened

#: As the phantom's: grey, 64 by 64, and no two alike.
IMAGES = np.random.default_rng(4).integers(0, 256, (900, 64, 64, 1), dtype=np.uint8)
EXAMPLES = 6


def with_settings(report: page.Report, **settings: object) -> page.Report:
    """Return a report whose suite says something else."""
    suites = {name: {**suite, **settings} for name, suite in report.campaign.suites.items()}
    return replace(report, campaign=replace(report.campaign, suites=suites))


@pytest.fixture(scope="module")
def report() -> page.Report:
    """The stored runs, of a suite that asks for examples."""
    full = stored_runs.report()
    suite = Suite(
        "ultrasound", "", {}, InputSpec(), stored_runs.TASK, Load(), "resnet18-fp32", (), (), examples=EXAMPLES
    )
    heads = {run.case.runtime: run for run in full.runs if run.is_baseline}
    runs = []
    for run in full.runs:
        assert run.labels is not None
        samples = Samples(IMAGES, run.labels, run.classes, "made")
        runs.append(disagreement.attached(run, heads[run.case.runtime], samples, suite))
    return with_settings(replace(full, runs=tuple(runs)), examples=EXAMPLES)


def rendered(report: page.Report) -> bytes:
    """Return the page without its charts, which take most of the time."""
    with charts.undrawn(Markup("")):
        return page.render(report)


def section(report: page.Report) -> str:
    found = re.findall(r'<section id="disagreements".*?</section>', rendered(report).decode(), re.DOTALL)
    return str(found[0]) if found else ""


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"</?bdi>", "", html)))


def test_each_variant_is_counted_and_its_first_images_are_shown_each_picture_once_on_the_page(
    report: page.Report,
) -> None:
    html = section(report)
    text = text_of(html)
    run = next(run for run in report.runs if run.id == "onnxruntime-resnet18-int4")
    own = run.disagreement
    assert own is not None
    differing = own.lost + own.gained + own.others
    assert (
        f"answers {differing} of 900 images differently: {own.lost} that only the baseline has right, "
        f"{own.gained} that only the variant has right, {own.others} that neither has right." in text
    )
    first = own.examples[0]
    assert first.truth == first.baseline == "solid"
    assert re.search(
        rf"image {first.place}: solid; baseline solid \([\d.]+\s%\), variant (normal|cyst) \([\d.]+\s%\)", text
    )
    kept = dict(re.findall(r'<image id="([^"]+)"[^>]* href="data:image/png;base64,([^"]+)"', html))
    valid = [each.disagreement for each in report.runs if each.validity is Validity.VALID and each.disagreement]
    shown = [one for each in valid for one in each.examples[:4]]
    assert len(kept) == len({one.place for one in shown}), "the same image for several variants has its bytes once"
    assert len(kept) + html.count("<use ") == len(shown)
    assert set(re.findall(r'<use href="#([^"]+)"', html)) <= set(kept)
    place = int(re.findall(r'aria-label="image (\d+)"', html)[0])
    picture = Image.open(io.BytesIO(base64.b64decode(next(iter(kept.values())))))
    wanted = Image.fromarray(IMAGES[place, :, :, 0]).resize((48, 48), Image.Resampling.BOX)
    assert np.array_equal(np.asarray(picture), np.asarray(wanted))
    assert len(html) < 100_000, "of noise, which no PNG packs"
    assert "examples =" not in html, "it is asked for"
    assert html.count(f"<td>{own.examples[-1].place}</td>") >= 1, "what is kept beside four pictures is listed"


def test_a_suite_that_asks_for_no_examples_has_the_same_sentences_a_list_and_the_line_that_asks(
    report: page.Report,
) -> None:
    with_pictures, without = section(report), section(stored_runs.report())
    sentences = re.findall(r"<li>([^<]* images (?:differently|as the baseline).*?)</li>", with_pictures)
    assert len(sentences) == 6
    assert all(sentence in without for sentence in sentences)
    assert "<image" not in without
    assert without.count("<code>examples = 4</code>") == 2, "for each of the two runtimes"
    assert 0 < without.count('<th scope="row">') <= 4 * 6
    assert len(without) < 12_000


def test_a_confidential_suite_shows_neither_picture_nor_index_whatever_is_stored(report: page.Report) -> None:
    html = rendered(with_settings(report, confidential=True)).decode()
    assert 'id="disagreements"' not in html
    assert not re.search(r"<image |image \d+:", html)


def test_pictures_that_could_not_be_kept_are_missed_with_the_reason_and_very_many_cases_list_none(
    report: page.Report,
) -> None:
    lost = Reason("the images are float32 with 1 channel", "bring them as uint8 with 1 or 3")
    runs = tuple(
        replace(run, disagreement=replace(run.disagreement, pictures=None, unseen=lost)) if run.disagreement else run
        for run in report.runs
    )
    html = section(replace(report, runs=runs))
    assert html.count(f"No pictures: {lost}.") == 2
    assert "<image" not in html
    assert section(replace(report, detailed=False)) == ""


def test_in_a_browser_every_picture_has_pixels_also_where_its_bytes_stand_elsewhere(
    browser: Browser, report: page.Report, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(rendered(report))
    with opened(browser, file) as tab:
        for kind in ("image", "use"):
            one = tab.locator(f"#disagreements svg:has({kind})").last
            assert one.evaluate("one => getComputedStyle(one).imageRendering") == "pixelated"
            seen = np.asarray(Image.open(io.BytesIO(one.screenshot())).convert("L"))
            assert seen.std() > 40, "noise, not an empty square"
