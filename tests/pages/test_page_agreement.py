"""The report of runs held against the host, and of runs that were not measured alike."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from harness import compare, page
from harness.model import Run
from harness.results.agreement import Reference, held_against
from tests.pages import stored_runs
from tests.pages.test_page_in_a_browser import opened

HOST = "onnxruntime 1.31.1 on x86_64"
NO_WHEEL = "no reference on this host: there is no wheel of onnxruntime==1.31.1"


def reference(place: int, run: Run) -> Reference:
    """Return what the host says of each run: the same, rounded otherwise, other labels, nothing."""
    assert run.outputs is not None
    outputs = run.outputs.copy()
    if place == 1:
        outputs += np.random.default_rng(1).normal(0, 1e-2, outputs.shape).astype(np.float32)
    if place == 2:
        outputs[:3] = outputs[:3, ::-1] * 2
    return Reference(absent=NO_WHEEL) if place == 3 else Reference(outputs, HOST, quantised=place == 1)


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which one variant ran under another kernel and governor."""
    full = stored_runs.report(runtime="onnxruntime")
    runs = []
    for place, run in enumerate(full.runs):
        own = replace(run, case=replace(run.case, task="classification"))
        own = held_against(own, reference(place, own), same_machine=False)
        if place == 4:
            own = replace(own, fingerprint={**own.fingerprint, "kernel": "6.12.1-v8", "governor": "powersave"})
        runs.append(own)
    runs[0] = replace(runs[0], notes={**runs[0].notes, "remarks": ["the baseline is right for 30 %"]})
    (suite,) = full.campaign.suites
    described = full.campaign.suites[suite]
    doubted = {**described, "data": {**described["data"], "remarks": ["so few images cannot show it"]}}
    full = replace(full, campaign=replace(full.campaign, suites={suite: doubted}))
    compared = [one for run in runs[1:] for one in compare.compare(runs[0], run, stored_runs.SUITE)]
    report = replace(full, runs=tuple(runs), comparisons=tuple(compared))
    file = tmp_path_factory.mktemp("held") / "report.html"
    file.write_bytes(page.render(report))
    return file


def section(file: Path, name: str) -> str:
    (found,) = re.findall(rf'<section id="{name}".*?</section>', file.read_text(), re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", found))


def test_what_must_be_doubted_stands_beside_the_accuracies(held: Path) -> None:
    text = section(held, "accuracy")
    assert "Remark: so few images cannot show it. Remark: the baseline is right for 30 %." in text


def test_the_agreement_of_each_variant_stands_in_a_table(held: Path) -> None:
    text = section(held, "agreement")
    assert "resnet18-fp32 100.0 % 99.6–100.0 % 0 0 % 0 floats onnxruntime 1.31.1 on x86_64" in text
    assert re.search(r"resnet18-int8 99\.\d % .* integers", text)
    assert text.count("beyond rounding") == 1
    assert NO_WHEEL in text
    assert "the device is the host itself" not in text.lower()
    assert "Agreement with the host" in section(held, "accuracy")


def test_a_run_beyond_rounding_says_so_where_validity_is_read(held: Path) -> None:
    text = section(held, "conditions")
    assert re.search(r"the device gives \d of 900 samples another label than onnxruntime 1.31.1 on x86_64", text)


def test_what_makes_runs_incomparable_is_listed_as_a_person_would(held: Path) -> None:
    listed = "not measured alike: governor performance -&gt; powersave; kernel 6.6.51-v8 -&gt; 6.12.1-v8"
    assert listed in section(held, "summary")
    assert "Kernel differs" in section(held, "conditions")


@pytest.mark.parametrize("width", [390, 1000, 1280])
def test_incomparable_variants_widen_no_page(browser: Browser, held: Path, width: int) -> None:
    with opened(browser, held, width=width) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("#agreement table").is_visible()
