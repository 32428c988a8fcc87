"""What charts show: the suite's limit, the front, one scale for a device, and the same numbers as a table."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from harness import page
from harness.model import Conditions, Estimate, Measurement, Validity
from harness.page import Report, charts, pictures, wording
from harness.page.sections import cold, latency, limit, operating, scenario, timeline, tradeoff
from tests.pages import stored_runs
from tests.pages import test_page_scenarios as streams


def accepting(report: Report, *lines: dict[str, Any]) -> Report:
    """Return a report whose suite has these lines of `[accept]`."""
    suites = {"ultrasound": {**stored_runs.SUITE, "accept": list(lines)}}
    return replace(report, campaign=replace(report.campaign, suites=suites))


def section(report: Report, name: str) -> str:
    """Return the HTML of one section."""
    found = re.search(rf'<section id="{name}".*?</section>', page.render(report).decode(), re.DOTALL)
    assert found, name
    return found[0]


def words(html: str) -> str:
    """Return the text of HTML without its drawings."""
    return " ".join(re.sub(r"<svg.*?</svg>|<[^>]+>", " ", html, flags=re.DOTALL).split()).replace("&#39;", "'")


def drawn(report: Report) -> Sequence[Any]:
    """Return the figures of the trade-off."""
    found = tradeoff.context(report)
    assert found is not None
    figures: Sequence[Any] = found["figures"]
    return figures


def labels(chart: str) -> list[str]:
    """Return the numbers at the axes of a drawing."""
    return re.findall(r">([\d.]+)</text>", chart.partition('<div class="narrow">')[0])


def test_how_much_faster_stands_before_what_it_costs() -> None:
    html = page.render(stored_runs.report(runtime="ai-edge-litert")).decode()
    assert html.index('<section id="ratio"') < html.index('<section id="tradeoff"')


def test_the_trade_off_is_drawn_of_the_accuracy_that_the_suite_limits_with_its_limit() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    base = report.runs[0].accuracy["sensitivity"].point
    html = section(report, "tradeoff")
    assert "Sensitivity (solid), %" in html
    assert "limit: baseline − 5 pp" in html
    assert f"the baseline's sensitivity (solid) less the suite's margin of 5 pp, {100 * base - 5:.1f} %" in words(html)
    loose = words(section(accepting(report, {"metric": "auroc", "rule": "min", "bound": 0.7}), "tradeoff"))
    assert "Dashed: the suite asks for AUROC of at least 0.700." in loose
    assert "Dashed" not in words(section(accepting(report), "tradeoff")), "no limit, no line"
    assert drawn(accepting(report))[0]["metric"] == "Accuracy"


def test_where_less_is_better_the_limit_lies_above_the_baseline_and_the_front_turns() -> None:
    report = accepting(
        stored_runs.report(runtime="onnxruntime"), {"metric": "brier", "rule": "non_inferior_by", "bound": 0.02}
    )
    html = words(section(report, "tradeoff"))
    assert "down and to the left is better" in html
    assert "the baseline's brier score plus the suite's margin of 0.02" in html


def test_the_front_holds_what_no_other_variant_beats_in_both() -> None:
    rows = [
        {"variant": name, "x": x, "y": y}
        for name, x, y in (("base", 1.0, 90.0), ("fast", 0.5, 80.0), ("poor", 0.6, 79.0), ("slow", 1.2, 90.0))
    ]
    assert [row["variant"] for row in tradeoff.front(rows, lower=False)] == ["fast", "base"]
    assert [row["variant"] for row in tradeoff.front(rows, lower=True)] == ["fast", "poor"]
    html = words(section(stored_runs.report(runtime="ai-edge-litert"), "tradeoff"))
    assert "the Pareto front of the points, resnet18-int8;" in html


def test_the_numbers_of_the_trade_off_stand_in_a_table_too() -> None:
    html = words(section(stored_runs.report(runtime="ai-edge-litert"), "tradeoff"))
    assert re.search(r"resnet18-int8 0\.71× \(0\.69–0\.72×\) 83\.0 % \(78\.3–86\.8 %\) yes", html)
    assert re.search(r"resnet18-fp32 baseline 83\.0 % \(78\.3–86\.8 %\) no", html)


def test_drawings_of_one_device_have_one_scale_which_one_alone_does_not_need() -> None:
    many, few = (labels(one["chart"]) for one in drawn(stored_runs.report()))
    (alone,) = (labels(one["chart"]) for one in drawn(stored_runs.report(runtime="ai-edge-litert")))
    assert many == few
    assert alone != few


def test_an_invalid_run_is_no_point_and_no_member_of_the_front() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    runs = tuple(replace(run, validity=Validity.INVALID if "int8" in run.id else Validity.VALID) for run in report.runs)
    for name in ("tradeoff", "ratio"):
        assert "resnet18-int8" not in section(replace(report, runs=runs), name)


def test_a_variant_without_a_place_in_the_drawing_is_named_with_the_reason() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    runs = tuple(
        replace(run, accuracy={"sensitivity": Estimate(0.8, 0.7, float("inf"))}) if "int4" in run.id else run
        for run in report.runs
    )
    html = words(section(replace(report, runs=runs), "tradeoff"))
    assert "Not drawn, resnet18-int4: no sensitivity with a bounded interval." in html


def test_specificity_is_drawn_beside_a_sensitivity_that_has_a_margin_and_the_caption_sorts_the_variants() -> None:
    report = accepting(
        stored_runs.report(runtime="onnxruntime"), {"metric": "sensitivity", "rule": "non_inferior_by", "bound": 0.05}
    )
    html = section(report, "accuracy")
    assert re.findall(r"<h4>Change in ([a-z]+)", html) == ["sensitivity", "specificity"]
    said = words(html)
    assert "The dashed line is the suite's margin of 5 pp." in said
    assert "The suite sets no margin for it." in said
    held = re.search(r"Within it with the whole interval: (.*?)\. Not: (.*?)\.", said)
    assert held is not None
    for name, low in (
        (one.run, one.change.low) for one in report.comparisons if one.metric == "sensitivity" and one.change
    ):
        variant = next((run.case.variant for run in report.runs if run.id == name), "")
        assert not variant or (variant in held[1].split(", ")) == (low >= -0.05), variant


def heated(report: Report, **notes: Any) -> Report:
    """Return a report whose launches ended with readings of a device that grew warm, with notes of its rounds."""
    during = tuple(
        {"at_s": 100.0 + 12 * i, "temperature_c": 41.0 + 2.2 * i, "frequency_hz": 2.4e9 - 1e8 * i} for i in range(6)
    )
    around = Conditions({}, during, {})
    runs = tuple(replace(run, conditions=around, notes={**run.notes, **notes}) for run in report.runs)
    return replace(report, runs=runs)


def test_rounds_are_drawn_over_the_temperature_and_the_frequency_of_the_same_launches() -> None:
    report = heated(
        stored_runs.report(runtime="ai-edge-litert"), marked_rounds=[3, 40], launches_slowed=[4], paused_s=1.5
    )
    html = section(report, "timeline")
    said = words(html)
    latency = report.runs[0].measurements["latency_s"]
    assert latency.rounds is not None
    ends = [
        np.median([np.median(latency.values[a:b]) for launch, a, b in latency.rounds if launch == one])
        for one in (0, 5)
    ]
    first, last = (f"{1e3 * one:.2f} ms" for one in ends)
    assert f"resnet18-fp32 took {first} in its first launch and {last} in its last one" in said
    assert "temperature went from 41.0 °C to 52.0 °C; clock frequency went from 2.40 GHz to 1.90 GHz." in said
    assert "slower than usual around 4 of 144 rounds, the triangles." in said
    assert "by their own pace (5)." in said
    assert "Pauses to let the processor recover took 1.50 s of the whole job." in said
    assert html.count("slower processor around this round of launch 4") == 4, "two variants, drawn for both widths"
    assert re.search(rf"1 0 s 41\.0 °C 2\.40 GHz {first}", said), "the same numbers, launch by launch"


def test_where_nothing_was_read_of_the_device_no_word_is_said_of_its_temperature() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    runs = tuple(replace(run, conditions=Conditions()) for run in report.runs)
    said = words(section(replace(report, runs=runs), "timeline"))
    assert "emperature" not in said
    assert "slower than usual around none of 144 rounds." in said
    assert "Pauses" not in said


def test_a_reading_that_is_missing_after_one_launch_is_not_drawn() -> None:
    report = heated(stored_runs.report(runtime="ai-edge-litert"))
    during = report.runs[0].conditions.during
    cut = (*during[:2], {"at_s": 124.0, "frequency_hz": 2.2e9}, *during[3:])
    runs = tuple(replace(run, conditions=Conditions({}, cut, {})) for run in report.runs)
    said = words(section(replace(report, runs=runs), "timeline"))
    assert "temperature" not in said
    assert "clock frequency went from 2.40 GHz to 1.90 GHz" in said


def test_of_very_many_rounds_each_launch_is_one_point() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    runs = []
    for run in report.runs:
        latency = run.measurements["latency_s"]
        ends = np.arange(361) * 3
        table = np.column_stack([np.arange(360) // 60, ends[:-1], ends[1:]]).astype(np.int64)
        runs.append(replace(run, measurements={**run.measurements, "latency_s": replace(latency, rounds=table)}))
    html = section(replace(report, runs=tuple(runs)), "timeline")
    assert "Of so many rounds each point is the median of a launch." in words(html)
    assert len(html) < 40_000


def test_models_under_sustained_load_take_no_turns_and_have_no_rounds_to_compare() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    suite = {**stored_runs.SUITE, "load": {**stored_runs.SUITE["load"], "scenario": "sustained"}}
    campaign = replace(report.campaign, suites={"ultrasound": suite})
    assert timeline.context(replace(report, campaign=campaign)) is None


def test_a_burst_ends_with_a_frame_that_was_answered_in_time_and_with_its_block() -> None:
    dropped = Measurement("dropped_ratio", "%", np.array([0, 1, 1, 0, 0, 0, 1, 1.0]))
    missed = Measurement("deadline_miss_ratio", "%", np.array([0, 1, 0, 0.0]))
    fate = scenario.fates(dropped, missed)
    assert fate is not None
    assert fate.tolist() == [0, 2, 2, 1, 0, 0, 2, 2]
    blocks = np.array([[0, 0, 7], [0, 7, 8]])
    assert scenario.runs_of(fate, None) == [(1, 4, 2), (6, 8, 2)]
    assert scenario.runs_of(fate, blocks) == [(1, 4, 2), (6, 7, 1), (7, 8, 1)]
    assert scenario.fates(dropped, replace(missed, values=missed.values[:3])) is None, "they do not belong together"


def test_the_bursts_of_a_stream_are_drawn_and_counted() -> None:
    html = streams.section(
        streams.rendered({"scenario": "stream", "frame_rate_hz": 30.0}, streams.streamed), "scenario"
    )
    said = words(html)
    # Of each block of 25 the first 5 frames were dropped, and the next one was answered late.
    assert "The most in a row:" in said
    assert "resnet18-int8 40 8 8 longest 6 frames, 200 ms" in said
    assert "resnet18-fp32 0 0 0 none" in said
    assert "resnet18-int8: 5 frames dropped" in html
    assert "resnet18-int8: 1 frame late" in html


def test_a_stream_that_lost_nothing_has_no_chart_of_bursts() -> None:
    html = streams.section(
        streams.rendered({"scenario": "stream", "frame_rate_hz": 30.0}, lambda run, _: streams.streamed(run, 0)),
        "scenario",
    )
    assert "The most in a row" not in words(html)


def test_the_line_on_a_cold_start_spans_the_fastest_and_the_slowest_start() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    parts = [report.runs[0].measurements[name].values for name in cold.PARTS]
    totals = np.sum(parts, axis=0)
    html = section(report, "cold")
    assert f"({1e3 * totals.min():.0f}–{1e3 * totals.max():.0f} ms)" in html
    starts = parts[0]
    assert f'<span class="interval">{1e3 * starts.min():.0f}–{1e3 * starts.max():.0f} ms</span>' in html


def test_joules_of_the_idle_device_are_drawn_apart_from_what_the_inference_adds() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")

    def measured(net: float) -> Report:
        own = {
            name: Measurement(name, "J", np.full(3, point), method="meter", estimate=Estimate(point, point, point))
            for name, point in (("energy_j", 0.0121), ("energy_net_j", net))
        }
        return replace(
            report, runs=tuple(replace(run, measurements={**run.measurements, **own}) for run in report.runs)
        )

    html = section(measured(0.0071), "energy")
    assert "resnet18-int8: idle device 5.00 mJ" in html
    assert "resnet18-int8: added by the inference 7.10 mJ" in html
    assert "idle device" not in section(measured(0.0131), "energy"), "net beyond gross is no part of it"


def test_the_peak_of_memory_is_drawn_with_its_growths_and_the_rest() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    assert "What the peak is made of" not in section(report, "memory"), "nobody read how much an inference adds"
    grown = Measurement("inference_growth_bytes", "B", np.array([4e6, 4.2e6, 4.4e6]), method="VmRSS")
    runs = tuple(
        replace(run, measurements={**run.measurements, "inference_growth_bytes": grown}) for run in report.runs
    )
    html = section(replace(report, runs=runs), "memory")
    own = runs[1].measurements
    rest = own["peak_memory_bytes"].values.max() - np.median(own["load_growth_bytes"].values) - 4.2e6
    assert f"resnet18-int8: process and rest {rest / 1e6:.1f} MB" in html
    assert "resnet18-int8: inference 4.20 MB" in html


def test_every_chart_of_the_page_is_a_picture_with_the_colours_of_its_light_theme(tmp_path: Path) -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    made = {name: (svg.decode(), png) for name, svg, png in pictures.files(report, overrides=tmp_path)}
    html = page.render(report).decode()
    assert len(made) == html.count("<svg") / 2, "each stands on the page for two widths"
    assert "ratio-pi5-ai-edge-litert-2.3.0-1" in made
    colours = pictures.light(html)
    assert colours["--good"] == "#12694c"
    for name, (svg, png) in made.items():
        assert "var(" not in svg, name
        assert "Synthetic" in svg or "synthetic data: no patient" in svg, name
        image = Image.open(io.BytesIO(png)).convert("RGB")
        assert min(image.size) > 200, name
        assert image.getpixel((2, 2)) == (255, 255, 255), name
    svg, png = made["ratio-pi5-ai-edge-litert-2.3.0-1"]
    assert "Latency ratios, pi5 · ai-edge-litert 2.3.0" in svg
    assert colours["--good"] in svg
    found = {color for _, color in Image.open(io.BytesIO(png)).convert("RGB").getcolors(1 << 24) or ()}
    assert (0x12, 0x69, 0x4C) in found, "what improved has the colour that it has on the page"


def test_a_style_sheet_of_the_lab_colours_the_pictures_too(tmp_path: Path) -> None:
    (tmp_path / "page.css").write_text(":root { --card: #fffff0; --good: #010203 } body { color: red }")
    report = stored_runs.report(runtime="ai-edge-litert")
    made = {name: svg.decode() for name, svg, _ in pictures.files(report, overrides=tmp_path)}
    assert "#010203" in made["ratio-pi5-ai-edge-litert-2.3.0-1"]
    assert "#fffff0" in made["ratio-pi5-ai-edge-litert-2.3.0-1"]
    assert "#000000" in made["ratio-pi5-ai-edge-litert-2.3.0-1"], "what it does not name"


def test_what_limits_a_case_is_said_with_its_numbers_and_nothing_where_nothing_shows_it() -> None:
    run = stored_runs.report(runtime="ai-edge-litert").runs[0]
    assert limit.limits(run) == [], "a start of 40 inferences, no pass from image to answer, a steady clock"
    parts = {
        name: Measurement(name, "s", np.array([value]))
        for name, value in (("preprocess_s", 2e-3), ("postprocess_s", 1e-3), ("end_to_end_s", 9e-3), ("load_s", 5.0))
    }
    slow = replace(run, measurements={**run.measurements, **parts})
    beside, start = limit.limits(slow)
    assert beside == "pre-processing and what follows the inference: 33 % of the 9.00 ms from image to answer"
    assert re.fullmatch(
        r"start-up: the first answer of a fresh process takes 5\.\d\d s, as long as \d+ later ones", start
    )
    fell = replace(run, fingerprint={"accelerator_wanted": "XNNPACK", "nodes": 40, "nodes_fell_back": 3})
    assert limit.limits(fell) == ["fall-back: XNNPACK left 3 of 40 nodes to the processor"]
    assert (
        limit.limits(replace(run, fingerprint={"accelerator_wanted": "XNNPACK", "nodes": 40, "nodes_fell_back": 0}))
        == []
    )


def test_heat_is_said_only_where_the_temperature_rose_while_the_device_slowed_down() -> None:
    run = stored_runs.report(runtime="ai-edge-litert").runs[0]

    def around(*readings: tuple[float, float]) -> Conditions:
        return Conditions({}, tuple({"frequency_hz": hz, "temperature_c": warm} for hz, warm in readings), {})

    hot = replace(run, conditions=around((2.4e9, 41.0), (1.9e9, 52.0)))
    assert limit.limits(hot) == [
        "heat: the clock fell from 2.40 GHz to 1.90 GHz, while the temperature rose from 41.0 °C to 52.0 °C"
    ]
    cool = replace(run, conditions=around((2.4e9, 41.0), (1.9e9, 41.0)))
    assert limit.limits(cool) == ["the processor's speed: the clock fell from 2.40 GHz to 1.90 GHz"]
    assert limit.limits(replace(run, conditions=around((2.4e9, 41.0), (2.35e9, 60.0)))) == [], "warm and as fast"
    rested = Conditions({"frequency_hz": 2.4e9}, around((2.4e9, 41.0), (2.4e9, 41.0)).during, {"frequency_hz": 6e8})
    assert limit.limits(replace(run, conditions=rested)) == [], "a device that rests lowers its clock"
    throttled = Measurement("throttle_s", "s", np.array([48.0]))
    slowed = replace(cool, conditions=around(), measurements={**run.measurements, "throttle_s": throttled})
    assert limit.limits(slowed) == ["the processor's speed: slower for good after 48.0 s of load"]


def test_roc_curves_carry_the_auroc_and_the_point_that_the_table_of_accuracies_has() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    html = section(report, "operating")
    said = words(html)
    for run in report.runs:
        auroc, *rates = (wording.level(name, run.accuracy[name]) for name in ("auroc", "sensitivity", "specificity"))
        assert f"AUROC {auroc[0]} ({auroc[1]})" in html
        numbers = [f"{value} ({interval})" for value, interval in (auroc, *rates)]
        assert f"{run.case.variant} {' '.join(numbers)} the largest output" in said
    assert "with more than two classes the largest output decides, so it need not lie on the curve" in said


def test_the_bins_of_stated_probabilities_have_their_counts_and_the_runs_calibration_error() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    html = section(report, "operating")
    (figure,) = operating.context(report)["figures"]  # type: ignore[index]
    table = figure["reliability"]["table"]
    assert [row[:2] for row in table[:10]] == [["resnet18-fp32", "90"]] * 10
    error = wording.level("calibration_error", report.runs[0].accuracy["calibration_error"])
    assert f"error {error[0]} ({error[1]})" in html
    for row in table:
        assert " ".join(row) in words(html)


def test_an_invalid_run_and_one_without_an_auroc_have_no_curve() -> None:
    full = stored_runs.report(runtime="onnxruntime")
    kept = {"accuracy", "sensitivity", "specificity"}
    runs = tuple(
        replace(run, validity=Validity.INVALID) if "int8" in run.id
        else replace(run, accuracy={name: run.accuracy[name] for name in kept}) if "int4" in run.id
        else run
        for run in full.runs
    )  # fmt: skip
    html = section(replace(full, runs=runs), "operating")
    assert "resnet18-fp32" in html
    assert "resnet18-int8" not in html
    assert "resnet18-int4" not in html


def test_a_report_of_too_many_places_has_no_operating_points_and_an_undrawn_one_no_curve() -> None:
    report = stored_runs.report(runtime="onnxruntime")
    assert operating.context(replace(report, detailed=False)) is None
    with charts.undrawn(Markup("<p>not drawn</p>")):
        found = operating.context(report)
    assert found is not None
    assert found["figures"][0]["roc"]["chart"] == "<p>not drawn</p>"


def test_a_thinned_curve_keeps_its_ends_and_stays_beside_every_corner() -> None:
    steps = np.random.default_rng(0).integers(0, 2, 4000)
    curve = np.stack([np.cumsum(steps) / steps.sum(), np.cumsum(1 - steps) / (1 - steps).sum()], axis=1)
    drawn = operating.thinned(curve)
    assert len(drawn) <= operating.DRAWN
    assert drawn[0].tolist() == curve[0].tolist()
    assert drawn[-1].tolist() == [1, 1]
    far = np.abs(curve[:, None] - drawn).sum(axis=2).min(axis=1)
    assert far.max() <= 0.011


def test_the_share_done_within_a_time_is_that_of_the_raw_samples_and_its_caption_says_how_to_read_it() -> None:
    report = stored_runs.report(runtime="ai-edge-litert")
    html = section(report, "latency")
    said = words(html)
    assert "At 33 ms it is the share of frames in time" in said
    found = latency.context(report)
    assert found is not None
    within = found["figures"][0]["within"]
    run = report.runs[0]
    for title, text in zip(within["titles"][1:], within["table"][0][1:], strict=True):
        _, number, unit = title.split()
        assert unit == "ms"
        share = 100 * float(np.mean(run.measurements["latency_s"].values <= float(number) / 1e3))
        assert abs(float(text.split()[0]) - share) <= 0.05, title
    assert " ".join(within["table"][0]) in said


def test_dropped_frames_are_said_to_be_missing_from_the_share_done_within_a_time() -> None:
    full = stored_runs.report(runtime="ai-edge-litert")
    suite = {**stored_runs.SUITE, "load": {**stored_runs.SUITE["load"], "scenario": "stream"}}
    found = latency.context(replace(full, campaign=replace(full.campaign, suites={"ultrasound": suite})))
    assert found is not None
    assert found["figures"][0]["within"]["said"].startswith("Frames that were dropped have no latency")
