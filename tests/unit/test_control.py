"""What the baseline's own file shows beside it decides whether comparisons hold; many of them make a certificate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness import compare as room
from harness.cli import cli
from harness.cli.settings import Settings
from harness.compare.certificate import Tally, needs, together
from harness.measure.campaign import Result
from harness.model import Campaign, Comparison, Estimate, Measurement, Reason, Run, Validity, Verdict
from harness.plugin.figures import headline, summary
from harness.store import Store
from harness.vocabulary import CONTROL, CONTROL_MARKED
from tests.made_runs import BASELINE, FASTER, NOISE, SUITE, a_run, latency, measured


def with_control(levels: np.ndarray, **changes: object) -> Run:
    """Return the baseline's run with a control of these levels, s."""
    return replace(measured(BASELINE, replace(latency(levels), metric=CONTROL)), **changes)  # type: ignore[arg-type]


ALIKE = with_control(NOISE[:72, 3])
#: Something slowed the control alone by a tenth.
ALARMED = with_control(NOISE[:72, 3] * 1.1)


def latencies(baseline: Run, run: Run) -> Comparison:
    return next(one for one in room.compare(baseline, run, SUITE) if one.metric == "latency_ratio")


def test_a_control_that_is_not_found_changed_says_what_would_have_been_found() -> None:
    found = room.control_of(ALIKE, SUITE)
    assert found is not None
    assert found.change is not None
    assert found.smallest is not None
    assert not found.alarm
    assert found.change.low < 1 < found.change.high
    assert found.smallest >= max(found.change.high / found.change.point - 1, SUITE["load"]["margin"])
    assert "slower or faster would have been found" in found.sentence


def test_beside_a_good_control_a_comparison_holds_though_both_runs_are_degraded() -> None:
    degraded = {"validity": Validity.DEGRADED, "reasons": (Reason("the processor's speed moved"),)}
    baseline, run = replace(ALIKE, **degraded), replace(FASTER, **degraded)  # type: ignore[arg-type]
    found = latencies(baseline, run)
    assert (found.validity, found.circumstances) == (Validity.VALID, ())
    assert found.control is not None
    assert found.verdict is Verdict.IMPROVED
    others = [one for one in room.compare(baseline, run, SUITE) if one.metric == "load_ratio"]
    assert others[0].validity is Validity.DEGRADED
    without = latencies(replace(BASELINE, **degraded), run)  # type: ignore[arg-type]
    assert (without.validity, without.control) == (Validity.DEGRADED, None)
    assert without.circumstances[0].name == "baseline degraded"


def test_a_control_that_is_found_changed_degrades_and_stretches_every_interval() -> None:
    control = room.control_of(ALARMED, SUITE)
    assert control is not None
    assert control.change is not None
    assert control.alarm
    slightly = a_run("slightly", NOISE[:72, 3] * 1.08)
    assert latencies(ALIKE, slightly).verdict is Verdict.REGRESSED
    found = latencies(ALARMED, slightly)
    assert (found.verdict, found.validity) == (Verdict.INCONCLUSIVE, Validity.DEGRADED)
    assert "something treated the models differently" in found.reason
    much, before = latencies(ALARMED, FASTER), latencies(ALIKE, FASTER)
    assert much.verdict is Verdict.IMPROVED
    assert much.change is not None
    assert before.change is not None
    assert much.change.high == pytest.approx(before.change.high * control.change.high)
    assert much.change.low == pytest.approx(before.change.low / control.change.high)


def test_marked_rounds_of_the_control_are_left_out_as_those_of_a_variant() -> None:
    levels = NOISE[:72, 3].copy()
    marked = list(range(0, 72, 4))
    levels[marked] *= 3
    plain = with_control(levels)
    known = replace(plain, notes={**plain.notes, CONTROL_MARKED: marked})
    changes = [room.control_of(one, SUITE) for one in (plain, known)]
    widths = [one.change.high - one.change.low for one in changes if one and one.change]
    assert len(widths) == 2
    assert widths[1] < widths[0]


def test_a_control_that_failed_says_why_and_changes_nothing() -> None:
    lost = measured(BASELINE, Measurement(CONTROL, "s", absent_reason="the control failed: killed"))
    found = latencies(lost, FASTER)
    assert "the control failed: killed" in found.reason
    assert (found.control, found.change) == (None, latencies(BASELINE, FASTER).change)


def test_a_control_of_two_launches_says_nothing_of_what_would_have_been_found() -> None:
    short = measured(BASELINE, latency(NOISE[:12, 2]), replace(latency(NOISE[:12, 3]), metric=CONTROL))
    found = room.control_of(short, SUITE)
    assert found is not None
    assert (found.smallest, found.alarm) == (None, False)
    assert "too few launches" in found.sentence
    tally = Tally()
    tally.add(short, SUITE)
    assert (tally.controls, tally.lost) == ([], 1)


def test_runs_of_two_campaigns_have_no_control_in_common() -> None:
    assert latencies(ALIKE, replace(FASTER, campaign="c2")).control is None


def test_a_case_ends_with_its_control_in_its_line_and_its_values() -> None:
    from harness.model import Outcome

    compared = tuple(room.compare(ALARMED, FASTER, SUITE))
    result = Result(None, Outcome("x", "passed", FASTER.id), FASTER, compared)  # type: ignore[arg-type]
    assert "control 1.0" in headline(result)
    assert headline(result).endswith("[comparison degraded]")
    assert summary(result)["comparison_validity"] == "degraded"
    assert summary(result)["control_ratio"] == pytest.approx(1.1, abs=0.02)


def test_a_certificate_counts_false_alarms_with_their_interval_and_leaves_out_what_decides_nothing() -> None:
    tally = Tally()
    for number in range(20):
        moment = BASELINE.started_at + timedelta(days=number)
        tally.add(replace(ALARMED if number == 7 else ALIKE, started_at=moment), SUITE)
    tally.add(BASELINE, SUITE)
    tally.add(replace(ALIKE, quick=True), SUITE)
    tally.add(measured(BASELINE, Measurement(CONTROL, "s", absent_reason="the control failed: killed")), SUITE)
    assert (len(tally.controls), tally.alarms, tally.without, tally.quick, tally.lost) == (20, 1, 1, 1, 1)
    assert tally.rate is not None
    # Wilson's interval of 1 in 20, as statsmodels gives it.
    assert (tally.rate.low, tally.rate.high) == pytest.approx((0.0088814, 0.2361309), abs=1e-6)
    assert (min(tally.moments), max(tally.moments)) == (BASELINE.started_at, BASELINE.started_at + timedelta(days=19))
    half, most = tally.seen(0.5), tally.seen(0.95)
    assert half is not None
    assert most is not None
    assert 0.02 <= half <= most
    assert len(together([tally, Tally()]).controls) == 20


def test_a_margin_needs_as_many_images_as_the_widest_interval_says() -> None:
    changes = [
        Comparison("sensitivity", "a", name, Estimate(0.0, -half, half), Verdict.INCONCLUSIVE)
        for name, half in (("b", 0.06), ("c", 0.09))
    ]
    (need,) = needs(600, changes, SUITE)
    assert (need.metric, need.margin, need.images, need.needed) == ("sensitivity", 0.03, 600, 5400)


@pytest.fixture
def stored(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'results.sqlite'}"
    store = Store(url)
    for number, control in enumerate((ALIKE, ALARMED, BASELINE)):
        name = f"c{number}"
        store.add_campaign(Campaign(name, datetime(2026, 11, 1 + number, tzinfo=UTC), "pytest", {"us": SUITE}))
        head = replace(control, id=f"fp32-{number}", campaign=name, is_baseline=True)
        run = replace(FASTER, id=f"int8-{number}", campaign=name)
        store.add_case(name, head, [])
        store.add_case(name, run, room.compare(head, run, SUITE))
    store.close()
    return url


def test_a_comparison_keeps_its_control_and_its_validity_in_the_store(stored: str) -> None:
    store = Store(stored)
    try:
        found = [one for one in store.comparisons("c1") if one.metric == "latency_ratio"]
        assert found[0].validity is Validity.DEGRADED
        assert found[0].control == next(
            one.control
            for one in room.compare(replace(ALARMED, campaign="c1"), replace(FASTER, campaign="c1"), SUITE)
            if one.metric == "latency_ratio"
        )
    finally:
        store.close()


def test_certify_says_what_a_device_can_show(stored: str) -> None:
    run = CliRunner().invoke(cli, ["certify", "pi5", "--store", stored, "--json"], obj=Settings())
    assert run.exit_code == 0, run.output
    suite = json.loads(run.output)["suites"]["us"]
    assert (suite["jobs"], suite["false_alarms"], suite["without_control"]) == (2, 1, 1)
    assert suite["images"][0]["metric"] == "sensitivity"
    text = CliRunner().invoke(cli, ["certify", "pi5", "--store", stored], obj=Settings()).output
    assert "the baseline's own file was found changed in 1 of 2 jobs" in text
    assert "Not counted: 1 had no control." in text
    assert "Sensitivity" in text


def test_certify_names_the_devices_that_it_knows(stored: str) -> None:
    run = CliRunner().invoke(cli, ["certify", "pi6", "--store", stored], obj=Settings())
    assert run.exit_code != 0
    assert "the store knows pi5" in run.output
