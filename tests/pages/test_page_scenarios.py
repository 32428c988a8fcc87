"""What the report says of streams, batches and minutes of load, and of the path from image to answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from harness import compare, page
from harness.agent import contract
from harness.model import Load, Measurement, Run
from harness.page.sections import scenario
from harness.results import scenarios
from tests.pages import stored_runs

Made = Callable[[Run, int], Mapping[str, Measurement]]


def rendered(load: Mapping[str, Any], more: Made) -> str:
    """Return the report of three runs that were measured under `load` and have `more` measurements."""
    full = stored_runs.report(runtime="ai-edge-litert")
    settings = {**stored_runs.SUITE, "load": {**stored_runs.SUITE["load"], **load}}
    runs = [
        replace(
            run, measurements={**run.measurements, **more(run, i)},
            case=replace(run.case, scenario=load["scenario"]), notes={**run.notes, "mode": f"number {i + 1} of 3"},
        )
        for i, run in enumerate(full.runs)
    ]  # fmt: skip
    changes = [change for run in runs[1:] for change in compare.compare(runs[0], run, settings)]
    campaign = replace(full.campaign, suites={"ultrasound": settings})
    return page.render(replace(full, campaign=campaign, runs=tuple(runs), comparisons=tuple(changes))).decode()


def section(html: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    assert found, f"there is no section {name}"
    return found[0]


def cells(text: str) -> list[list[str]]:
    """Return the cells of the rows of a table's body, without markup."""
    body = re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL)[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("</tr>") if "<td" in row]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in rows]


def streamed(run: Run, number: int) -> Mapping[str, Measurement]:
    """Return what 4 launches of 2 blocks of 25 frames gave; the first `number` * 5 frames of each were dropped."""
    del run
    kept = 25 - 5 * number
    blocks = [contract.Round(0, block % 2, 0.0, kept, 1.0, kept, arrived=25) for block in range(8)]
    frames = np.array([(25 - kept + i, 1_000_000, (5 + 32 * (i < number)) * 1_000_000) for i in range(kept)] * 8)
    table = np.array([[block // 2, block * kept, (block + 1) * kept, 0] for block in range(8)])
    found = {"latency": frames[:, 1] + frames[:, 2], "frames": frames, "jitter": np.full(8, 70_000)}
    load = Load("stream", frame_rate_hz=30.0)
    return {one.metric: one for one in scenarios.measurements(load, found, table, blocks, None)}


def test_a_stream_shows_dropped_and_late_frames_with_their_difference_in_points() -> None:
    html = section(rendered({"scenario": "stream", "frame_rate_hz": 30.0}, streamed), "scenario")
    assert "Frames arrived at 30 Hz" in html
    base, int8 = cells(html)[:2]
    assert base[:2] == ["resnet18-fp32", "200"]
    assert base[2].startswith("0.0 % 0.0–1.9 %")  # Wilson of 0 in 200
    assert int8[2].startswith("20.0 % 15.0–26.1 %")  # Wilson of 40 in 200
    assert "+20.0 pp" in int8[2]
    assert "regressed" in int8[2]
    assert int8[3].startswith("5.0 %")  # 8 of 160 answered frames took 38 ms
    assert int8[4:] == ["6.00 ms", "6.00 ms", "–", "5.00 ms", "70.0 µs"]
    assert html.count("<svg") == 6, "three charts, each for both widths"


def test_a_batch_shows_images_a_second_and_how_many_times_the_baseline() -> None:
    html = section(rendered({"scenario": "offline", "batch": 8}, lambda *_: {}), "scenario")
    assert "8 images at once" in html
    base, int8 = cells(html)[:2]
    assert re.fullmatch(r"\d+/s", base[1])
    found = re.match(r"(\d\.\d\d)× \((\d\.\d\d)–(\d\.\d\d)×\)", int8[2])
    assert found
    assert 1.3 < float(found[2]) <= float(found[1]) <= float(found[3]) < 1.5


def sustained(run: Run, number: int) -> Mapping[str, Measurement]:
    """Return 60 windows of a second; all but the first run slow down by a quarter after 40 s."""
    del run
    level = np.where((np.arange(60) >= 40) & (number > 0), 0.0125, 0.01)
    table = np.column_stack([np.zeros(60), np.arange(60) * 9, np.arange(60) * 9 + 9, np.zeros(60)]).astype(np.int64)
    windows = [contract.LoadWindow(second * 10**9, 40.0 + second / 2) for second in range(60)]
    found = {"latency": (np.repeat(level, 9) * 1e9).astype(np.int64)}
    event = contract.Sustained(
        event="sustained", t_ns=0, model=number, place=number + 1, of=3, cooled=True, waited_s=0.0, start_drift=0.0,
        began_ns=0, windows=windows, conditions=contract.Readings(),
    )  # fmt: skip
    made = scenarios.measurements(Load("sustained"), found, table, [], event)
    return {one.metric: one for one in made}


def test_minutes_of_load_show_when_a_model_throttled_and_what_speed_it_kept() -> None:
    html = section(rendered({"scenario": "sustained", "max_duration_s": 60.0}, sustained), "scenario")
    base, int8 = cells(html)[:2]
    assert base[1:] == ["not within 59 s", "100.0 %", "40.0 °C → 69.5 °C", "number 1 of 3"]
    assert int8[1:] == ["40.0 s", "80.0 %", "40.0 °C → 69.5 °C", "number 2 of 3"]
    assert html.count("<svg") == 4, "latency and temperature, each for both widths"
    assert "resnet18-int8 throttled after 40.0 s" in html


def test_a_device_without_a_temperature_has_no_curve_of_it() -> None:
    def cold(run: Run, number: int) -> Mapping[str, Measurement]:
        why = "the device has no temperature that can be read"
        return {**sustained(run, number), "temperature_c": Measurement("temperature_c", "°C", absent_reason=why)}

    html = section(rendered({"scenario": "sustained"}, cold), "scenario")
    assert html.count("<svg") == 2
    assert cells(html)[0][3] == "–"


def test_single_stream_needs_no_section_of_its_own() -> None:
    html = page.render(stored_runs.report()).decode()
    assert 'id="scenario"' not in html
    assert 'id="pipeline"' not in html


def test_the_path_from_image_to_answer_is_shown_in_its_parts() -> None:
    def timed(run: Run, number: int) -> Mapping[str, Measurement]:
        del run
        rows = np.array([[2_000_000, 5_000_000 * (number + 1), 1_000_000]] * 30)
        return {one.metric: one for one in scenarios.parts(rows, "python")}

    html = section(rendered({"scenario": "single_stream"}, timed), "pipeline")
    assert cells(html)[0] == ["resnet18-fp32", "2.00 ms", "5.00 ms", "1.00 ms", "8.00 ms", "38 %"]
    assert html.count("<svg") == 2


def test_windows_are_shown_by_their_median() -> None:
    run = replace(stored_runs.report().runs[0], measurements=dict(sustained(stored_runs.report().runs[0], 1)))
    np.testing.assert_allclose(scenario.windows(run)[[0, 39, 40, 59]], [0.01, 0.01, 0.0125, 0.0125])
