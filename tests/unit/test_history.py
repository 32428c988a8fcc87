"""A case over many campaigns: what is marked, what confirms it, what was set up otherwise, and how often chance is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.cli.settings import Settings
from harness.compare import CaseHistory, Results, histories, since
from harness.compare.costs import cost_change
from harness.compare.history import AWAITED, CONFIRMED, UNSEEN
from harness.model import (
    Campaign,
    Comparison,
    Estimate,
    FloatArray,
    Omission,
    Outcome,
    Reason,
    Run,
    Validity,
    Verdict,
)
from harness.page.publish import histories as stored_histories
from harness.store import Store
from harness.vocabulary import METRICS
from tests.made_runs import BASELINE, LABELS, LOGITS, NOISE, ROUNDS, SUITE, a_run, latency, measured

BASE_CASE = replace(BASELINE.case, id="suites/us.toml::fp32@pi5")
INT8_CASE = replace(BASE_CASE, variant="int8", id="suites/us.toml::int8@pi5")
INT8 = replace(a_run("int8", NOISE[:72, 3] / 2), case=INT8_CASE)
BASE = replace(BASELINE, case=BASE_CASE)
DATA = Path(__file__).parent / "data"


def night(
    number: int, ratio: Estimate | None, *, int8: Run = INT8, base: Run = BASE, status: str = "passed",
    suite: Mapping[str, Any] = SUITE, edgeward: str = "0.1.0", **facts: Any,
) -> Results:  # fmt: skip
    """Return what one campaign gave: the baseline, and int8 with a ratio; `facts` are of the fingerprint."""
    at = BASELINE.started_at + timedelta(days=number)
    campaign = Campaign(f"n{number}", at, "pytest suites", {"us": dict(suite)}, {"edgeward": edgeward})
    runs = [
        replace(
            run, id=f"{run.case.variant}{number}", campaign=campaign.id, started_at=at,
            fingerprint={**run.fingerprint, **facts},
        )
        for run in (base, int8)
    ]  # fmt: skip
    verdict = Verdict.IMPROVED if ratio else Verdict.INCOMPARABLE
    change = Comparison("latency_ratio", runs[0].id, runs[1].id, ratio, verdict)
    why = (Reason("latency too high"),) if status != "passed" else ()
    outcomes = [Outcome(run.case.id, "passed", run.id, (), (), run.case) for run in runs[:1]]
    outcomes.append(Outcome(INT8_CASE.id, status, runs[1].id, why, (), INT8_CASE))
    return Results(campaign, tuple(runs), (change,), tuple(outcomes))


def around(point: float, half: float = 0.01) -> Estimate:
    return Estimate(point, point - half, point + half, method="confidence sequence over 6 launches, 72 paired rounds")


def of_int8(nights: Sequence[Results]) -> CaseHistory:
    """Return the history of int8; its outputs are those of the runs given."""
    whole = {run.id: run for one in nights for run in one.runs}
    return next(one for one in histories(nights, whole.get) if one.case == INT8_CASE.id)


def standings(points: Sequence[float | Estimate | None]) -> list[str]:
    """Return for each campaign how its ratio moved: `regressed, confirmed by the next campaign`, "" for no move."""
    ratios = [around(one) if isinstance(one, float) else one for one in points]
    found = of_int8([night(number, one) for number, one in enumerate(ratios)])
    return [", ".join(f"{move.verdict} {move.standing}" for move in point.moves) for point in found.points]


def test_a_ratio_is_marked_only_where_the_intervals_lie_apart_by_more_than_the_margin() -> None:
    assert standings([0.50, 0.515]) == ["", ""], "they overlap"
    assert standings([0.50, 0.529]) == ["", ""], "they lie apart by less than the margin of 2 %"
    assert standings([0.50, 0.54]) == ["", f"regressed {AWAITED}"]
    assert standings([0.50, 0.46]) == ["", f"improved {AWAITED}"]


def test_a_move_is_confirmed_by_the_next_campaign_and_then_is_the_new_level() -> None:
    assert standings([0.50, 0.60, 0.60, 0.60]) == ["", f"regressed {CONFIRMED}", "", ""]
    assert standings([0.50, 0.60, 0.60, 0.50]) == ["", f"regressed {CONFIRMED}", "", f"improved {AWAITED}"]


def test_a_single_night_is_said_not_to_be_seen_again_and_the_way_back_is_no_move() -> None:
    assert standings([0.50, 0.60, 0.50, 0.50]) == ["", f"regressed {UNSEEN}", "", ""]
    assert standings([0.50, 0.60, 0.40, 0.40]) == ["", f"regressed {UNSEEN}", f"improved {CONFIRMED}", ""]


def test_a_ratio_without_an_interval_that_carries_all_its_variance_marks_nothing() -> None:
    drifting = replace(around(0.60), omits=Omission.DRIFT)
    assert standings([0.50, drifting, None, 0.50]) == ["", "", "", ""]
    infinite = Estimate(0.6, 0.55, float("inf"))
    assert standings([0.50, infinite, 0.60]) == ["", "", f"regressed {AWAITED}"]


@pytest.mark.parametrize("changes", [{"validity": Validity.INVALID}, {"quick": True}])
def test_an_invalid_run_and_a_quick_one_mark_nothing(changes: Mapping[str, Any]) -> None:
    nights = [night(0, around(0.50)), night(1, around(0.60), int8=replace(INT8, **changes)), night(2, around(0.50))]
    assert [point.moves for point in of_int8(nights).points] == [(), (), ()]


def test_a_ratio_to_another_baseline_is_not_held_against_the_old_one_and_the_file_is_named() -> None:
    other = replace(BASE, variant=replace(BASE.variant, sha256="f" * 64))
    found = of_int8([night(0, around(0.50)), night(1, around(0.80), base=other), night(2, around(0.90), base=other)])
    assert [len(point.moves) for point in found.points] == [0, 0, 1]
    assert found.points[1].changed[0].sentence.startswith("The baseline's file is another one: fp32 -> ffffffffffff.")


def test_what_was_set_up_otherwise_is_named_and_the_state_of_the_machine_is_not() -> None:
    warm = replace(INT8, conditions=replace(INT8.conditions, before={"temperature_c": 70.0, "load_average": 3.0}))
    cool = replace(INT8, conditions=replace(INT8.conditions, before={"temperature_c": 40.0, "load_average": 0.1}))
    new_file = replace(warm, variant=replace(warm.variant, sha256="e" * 64))
    longer = {**SUITE, "title": "Another title", "load": {"margin": 0.03}, "accept": []}
    facts: dict[str, Any] = {"kernel": "6.12", "microcode": "0x2", "governor": "powersave", "data_sha256": "d" * 64}
    found = of_int8(
        [
            night(0, around(0.5), int8=cool, microcode="0x1", data_sha256="a" * 64),
            night(1, around(0.5), int8=warm, microcode="0x1", data_sha256="a" * 64),
            night(2, around(0.5), int8=new_file, suite=longer, edgeward="0.2.0", **facts),
        ]
    )
    assert [point.changed for point in found.points[:2]] == [(), ()]
    said = " ".join(cause.sentence for cause in found.points[2].changed)
    for text in (
        "The model file is another one: int8", "Kernel changed: 6.6 -> 6.12.", "Microcode changed: 0x1 -> 0x2.",
        "Governor changed: performance -> powersave.", "The test images are others",
        "edgeward changed: 0.1.0 -> 0.2.0.",
        "The suite's load.margin changed: 0.02 -> 0.03.", "The suite's accept changed.",
    ):  # fmt: skip
        assert text in said
    assert "title" not in said


def damaged(share: float) -> Run:
    """Return int8 with a share of its answers for the positive class turned to another class."""
    logits = LOGITS.copy()
    positive = np.flatnonzero(LABELS == 2)
    logits[positive[: int(share * len(positive))]] = [5.0, 0.0, 0.0]
    return a_run("int8", NOISE[:72, 3] / 2, outputs=logits, case=INT8_CASE, accuracy=evaluated(logits))


def evaluated(logits: Any) -> Mapping[str, Estimate]:
    from harness.metrics import classification
    from harness.model import Answers, Reading, Samples, Task

    samples = Samples(np.zeros((600, 1, 1, 1)), LABELS, BASELINE.classes, "synthetic")
    answers = Answers(logits, Reading(kind="logits"))
    return classification.evaluate(answers, samples, Task("classification", "solid")).estimates


def test_an_accuracy_that_fell_is_marked_by_the_paired_difference_and_a_small_loss_is_not() -> None:
    fell = of_int8([night(0, around(0.5)), night(1, around(0.5), int8=damaged(0.15))])
    (move,) = fell.points[1].moves
    assert (move.metric, move.verdict, move.standing) == ("sensitivity", Verdict.REGRESSED, "")
    assert " pp" in move.sentence
    assert " -> " in move.sentence
    assert not of_int8([night(0, around(0.5)), night(1, around(0.5), int8=damaged(0.01))]).points[1].moves


def test_an_accuracy_is_held_against_the_last_campaign_that_had_a_valid_one() -> None:
    invalid = replace(INT8, validity=Validity.INVALID)
    silent = replace(INT8, accuracy={})
    nights = [night(0, around(0.5)), night(1, None, int8=invalid), night(2, around(0.5), int8=silent)]
    found = of_int8([*nights, night(3, around(0.5), int8=damaged(0.15))])
    (move,) = found.points[3].moves
    assert "in the campaign of 2026-11-21 00:00 UTC -> " in move.sentence


def test_a_move_that_a_campaign_in_between_could_not_show_is_settled_by_the_one_after_it() -> None:
    nights = [night(number, one) for number, one in enumerate((around(0.5), around(0.6), None, around(0.6)))]
    found = since(whole(nights), "n3")
    assert found is not None
    assert [move.standing for _, move in found.settled] == [CONFIRMED]


def test_a_ratio_held_against_an_older_campaign_says_of_when_that_is() -> None:
    found = of_int8([night(number, one) for number, one in enumerate((around(0.5), None, around(0.6)))])
    assert "0.50× (0.49–0.51×) in the campaign of 2026-11-21 00:00 UTC -> 0.60×" in found.points[2].moves[0].sentence


def test_samples_are_read_only_where_an_accuracy_differs() -> None:
    asked: list[str] = []
    histories([night(number, around(0.5 + number / 10)) for number in range(5)], lambda name: asked.append(name))
    assert asked == []


def test_an_accuracy_that_changed_and_cannot_be_compared_is_said_with_the_reason() -> None:
    nights = [night(0, around(0.5)), night(1, around(0.5), int8=damaged(0.15))]
    found = next(one for one in histories(nights, lambda _: None) if one.case == INT8_CASE.id)
    assert "which was not compared: a run cannot be read from the store" in found.points[1].moves[0].sentence


def test_accuracies_on_other_images_are_not_compared() -> None:
    nights = [
        night(0, around(0.5), data_sha256="a" * 64),
        night(1, around(0.5), int8=damaged(0.15), data_sha256="b" * 64),
    ]
    assert not of_int8(nights).points[1].moves


def whole(nights: Sequence[Results]) -> tuple[CaseHistory, ...]:
    runs = {run.id: run for one in nights for run in one.runs}
    return histories(nights, runs.get)


def test_without_an_earlier_campaign_nothing_is_said_of_what_changed() -> None:
    assert since(whole([night(0, around(0.5))]), "n0") is None


def test_where_nothing_changed_one_sentence_says_so_and_what_it_means() -> None:
    found = since(whole([night(0, around(0.5)), night(1, around(0.505))]), "n1")
    assert found is not None
    assert found.nothing
    assert found.sentence == (
        "Since the campaign of 2026-11-21 00:00 UTC no outcome changed, no ratio or accuracy moved beyond intervals "
        "and margins, and nothing that is recorded was set up otherwise."
    )


def test_a_case_that_fails_now_one_that_is_new_and_one_that_is_gone_are_named() -> None:
    first, second = night(0, around(0.5)), night(1, around(0.5), status="failed", kernel="6.12")
    gone = replace(
        second.outcomes[1], case="suites/us.toml::int4@pi5", about=replace(INT8_CASE, variant="int4"), run=""
    )
    new = replace(gone, case="suites/us.toml::tiny@pi5", about=replace(INT8_CASE, variant="tiny"), status="error")
    nights = [replace(first, outcomes=(*first.outcomes, gone)), replace(second, outcomes=(*second.outcomes, new))]
    found = since(whole(nights), "n1")
    assert found is not None
    assert found.outcomes == (("int8 on pi5 with onnxruntime 1.31.1", "passed", "failed", "latency too high"),)
    assert found.new == ("tiny on pi5 with onnxruntime 1.31.1",)
    assert found.gone == ("int4 on pi5 with onnxruntime 1.31.1",)
    assert found.changed == (("Kernel changed: 6.6 -> 6.12.", ()),), "said once, for it is true of all cases"
    assert found.sentence == (
        "Since the campaign of 2026-11-21 00:00 UTC: 1 outcome changed (1 to failed or error), 1 case new, 1 case not "
        "measured again, 1 thing set up otherwise."
    )


def test_a_move_of_the_campaign_before_is_said_to_be_confirmed_or_not_seen_again() -> None:
    for last, standing in ((0.60, CONFIRMED), (0.50, UNSEEN)):
        nights = [night(number, around(one)) for number, one in enumerate((0.50, 0.60, last))]
        found = since(whole(nights), "n2")
        assert found is not None
        assert [move.standing for _, move in found.settled] == [standing]
        assert found.moves == ()


def test_a_case_that_the_campaign_before_left_out_is_held_against_the_last_one_that_had_it() -> None:
    nights = [night(number, around(one)) for number, one in enumerate((0.50, 0.50, 0.60))]
    nights[1] = replace(nights[1], runs=nights[1].runs[:1], outcomes=nights[1].outcomes[:1], comparisons=())
    found = since(whole(nights), "n2")
    assert found is not None
    assert found.new == ()
    assert [move.standing for _, move in found.moves] == [AWAITED]
    assert found.sentence.startswith(
        "Since the campaigns of 2026-11-21 00:00 UTC to 2026-11-22 00:00 UTC: 1 number moved"
    )


def recorded(name: str) -> Callable[[np.random.Generator], FloatArray]:
    """Return what draws rounds of two models that took turns on a recorded machine, by whole launches."""
    levels = np.load(DATA / f"rounds_{name}.npy")[:, 2:4]
    blocks = levels[: len(levels) // ROUNDS * ROUNDS].reshape(-1, ROUNDS, 2)
    return lambda rng: blocks[rng.integers(0, len(blocks), rng.integers(4, 13))].reshape(-1, 2) * 1e-9


def simulated(rng: np.random.Generator) -> FloatArray:
    """Return rounds of two equal models with a heavy tail, and launches that differ by 1 %."""
    launches = rng.integers(4, 13)
    levels = rng.normal(0, 0.01, (launches, 1, 2)) + 0.01 * rng.standard_t(3, (launches, ROUNDS, 2))
    return np.asarray(0.01 * np.exp(levels)).reshape(-1, 2)


SERIES, NIGHTS, MEASURED, SLOWER = 60, 30, 40, 12


def ratios(draw: Callable[[np.random.Generator], FloatArray], rng: np.random.Generator, factor: float) -> Estimate:
    """Return what one night says of two models of which the second takes `factor` times as long."""
    levels = draw(rng) * [1, factor]
    runs = [measured(run, latency(levels[:, at])) for at, run in enumerate((BASE, INT8))]
    found, _ = cost_change(METRICS["latency_ratio"], runs[0], runs[1])
    assert found is not None
    return found


@pytest.mark.parametrize("noise", ["quiet", "busy", "simulated"])
def test_a_case_that_did_not_change_is_hardly_ever_marked_and_a_real_change_is(noise: str) -> None:
    rng, draw = np.random.default_rng(17), simulated if noise == "simulated" else recorded(noise)
    same = [ratios(draw, rng, 1.0) for _ in range(MEASURED)]
    slower = [ratios(draw, rng, 1.15) for _ in range(SLOWER)]
    marked = confirmed = shown = held = 0
    for _ in range(SERIES):
        drawn = [same[at] for at in rng.integers(0, MEASURED, NIGHTS)]
        drawn += [slower[at] for at in rng.integers(0, SLOWER, 2)]
        moves = [[move.standing for move in one.moves] for one in of_int8(list(map(night, range(99), drawn))).points]
        marked += sum(map(len, moves[:NIGHTS]))
        confirmed += sum(CONFIRMED in one for one in moves[:NIGHTS])
        shown += bool(moves[NIGHTS])
        held += CONFIRMED in moves[NIGHTS]
    pairs = SERIES * (NIGHTS - 1)
    print(
        f"\n{noise}: of {pairs} nights (of {MEASURED} measured) without a change {marked / pairs:.2%} were marked "
        f"and {confirmed / pairs:.2%} confirmed; 15 % slower was marked the same night in {shown / SERIES:.0%}, and "
        f"confirmed in {held / SERIES:.0%}"
    )
    assert marked / pairs <= 0.01
    assert confirmed == 0
    assert shown / SERIES >= 0.5


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Five campaigns: int8 is slower from the fourth on, under another kernel."""
    made = Store(f"sqlite:///{tmp_path}/results.sqlite")
    for number, ratio in enumerate((0.5, 0.5, 0.5, 0.6, 0.6)):
        one = night(number, around(ratio), kernel="6.6" if number < 3 else "6.12")
        made.add_campaign(one.campaign)
        for run, outcome in zip(one.runs, one.outcomes, strict=True):
            made.add_case(one.campaign.id, run, [c for c in one.comparisons if c.run == run.id], outcome)
    return made


def history(store: Store, *words: str) -> Result:
    return CliRunner().invoke(cli, ["history", "us", "--store", store.url, *words], obj=Settings())


def test_the_command_shows_a_line_a_campaign_with_marks_below_in_a_hundred_columns(store: Store) -> None:
    shown = history(store)
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert max(map(len, lines)) <= 100
    at = lines.index("int8 on pi5 with onnxruntime 1.31.1")
    assert lines[at + 1].split() == ["campaign", "latency", "ratio", "verdict", "outcome", "Sensitivity"]
    fourth = next(number for number, line in enumerate(lines) if number > at and "2026-11-24" in line)
    assert "0.60× (0.59–0.61×)  improved  passed" in lines[fourth]
    assert lines[fourth + 1].startswith("      - Latency against the baseline: 0.50× (0.49–0.51×) -> 0.60×")
    assert "confirmed by the next campaign" in " ".join(" ".join(lines[fourth + 1 : fourth + 3]).split())
    assert "      ~ Kernel changed: 6.6 -> 6.12." in lines[fourth + 2 : fourth + 4]


def test_the_command_shows_as_many_campaigns_as_are_asked_for_and_refuses_a_device_that_is_not_there(
    store: Store,
) -> None:
    assert history(store, "--last", "2").output.count("2026-11-2") == 2 * 2
    assert "nothing was measured on a device 'pi4'; did you mean 'pi5'?" in history(store, "--device", "pi4").output
    assert history(store, "--last", "0").exit_code == 2


def test_programs_read_the_history_as_json(store: Store) -> None:
    cases = {one["variant"]: one for one in json.loads(history(store, "--json").output)["cases"]}
    points = cases["int8"]["points"]
    assert [point["campaign"] for point in points] == ["n0", "n1", "n2", "n3", "n4"]
    assert points[3]["latency_ratio"]["point"] == 0.6
    assert points[3]["moves"][0]["standing"] == CONFIRMED
    assert points[3]["changed"] == [{"topic": "kernel", "sentence": "Kernel changed: 6.6 -> 6.12."}]
    assert cases["fp32"]["points"][0]["latency_ratio"] is None


def test_a_case_that_never_ran_is_part_of_the_history(store: Store) -> None:
    at = BASELINE.started_at + timedelta(days=9)
    store.add_campaign(Campaign("dark", at, "pytest suites", {"us": dict(SUITE)}))
    store.add_outcome("dark", Outcome(INT8_CASE.id, "error", "", (Reason("no answer"),), (), INT8_CASE))
    found, lost = stored_histories(store, [("us", "pi5")], last=10)
    assert lost == []
    (int8,) = [one for one in found if one.case == INT8_CASE.id]
    assert (int8.points[-1].campaign.id, int8.points[-1].status, int8.points[-1].run) == ("dark", "error", None)
    said = since(found, "dark")
    assert said is not None
    assert said.outcomes == (("int8 on pi5 with onnxruntime 1.31.1", "passed", "error", "no answer"),)


def test_what_a_history_is_made_of_is_read_without_samples(store: Store) -> None:
    runs, comparisons, outcomes, lost = store.readable("n0", samples=False)
    assert lost == []
    assert [run.id for run in runs] == [run.id for run in store.runs(campaign="n0")]
    assert all(not run.measurements and run.outputs is None and run.labels is None for run in runs)
    assert runs[1].accuracy == store.runs(campaign="n0")[1].accuracy
    assert len(comparisons) == 1
    assert len(outcomes) == 2
