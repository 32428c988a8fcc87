"""What the intervals do under noise, simulated and recorded, looked at after every launch: false alarms and power.

`pytest -s` prints the figures; they are replayed with fixed seeds, so they are the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness import stats
from harness.measure.jobs import MIN_LAUNCHES, plan
from harness.model import FloatArray, IntArray, Load

DATA = Path(__file__).parent / "data"
#: Where the evidence against a ratio of 1 makes a verdict, and how large a change must be to matter.
LIMIT, MARGIN, CHANGE = math.log(20), math.log(1.02), math.log(1.03)
LAUNCHES, TRIALS = 12, 900
Noise = Callable[[np.random.Generator], FloatArray]
Flags = npt.NDArray[np.bool_]


def normal(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=LAUNCHES)


def heavy(rng: np.random.Generator) -> FloatArray:
    return rng.standard_t(3, size=LAUNCHES)


def very_heavy(rng: np.random.Generator) -> FloatArray:
    return rng.standard_cauchy(size=LAUNCHES)


def bursty(rng: np.random.Generator) -> FloatArray:
    return rng.normal(size=LAUNCHES) * np.where(rng.random(LAUNCHES) < 0.2, 15.0, 1.0)


def drifting(rng: np.random.Generator) -> FloatArray:
    # Each model meets the same drift; which of the two leads within a launch is random.
    found: FloatArray = rng.normal(size=LAUNCHES) + np.linspace(0, 3, LAUNCHES) * rng.choice([-1.0, 1.0], LAUNCHES)
    return found


def test_a_device_that_slows_by_half_meanwhile_slows_both_and_the_ratio_stays() -> None:
    rng = np.random.default_rng(10)
    rounds = 6
    drift = np.linspace(1, 1.5, LAUNCHES * rounds)
    places = np.arange(len(drift))
    table = np.stack([places // rounds, places, places + 1], axis=1).astype(np.int64)
    alarms, widths = 0, []
    for _ in range(100):
        base, own = (0.01 * drift * rng.lognormal(0, 0.02, len(drift)) for _ in range(2))
        estimate = stats.ratio_estimate(base, table, own, table)
        assert estimate is not None
        alarms += not estimate.low <= 1 <= estimate.high
        widths.append(estimate.high - estimate.low)
    assert alarms <= 5
    assert np.median(widths) / 2 < 0.02


@pytest.mark.parametrize("noise", [normal, heavy, very_heavy, bursty, drifting])
@pytest.mark.parametrize("ways", [1, 2])
def test_looking_after_every_launch_raises_at_most_five_percent_false_alarms(noise: Noise, ways: int) -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(TRIALS):
        first = noise(rng)
        # A second way to locate the same launches agrees with the first, more or less.
        values = first if ways == 1 else np.stack([first, (first + noise(rng)) / math.sqrt(2)], axis=1)
        alarms += bool((stats.log_evidence_at_each_look(values, 0.0) >= LIMIT).any())
    print(f"\n{noise.__name__}, {ways} ways: {alarms / TRIALS:.1%} false alarms over {LAUNCHES} looks at {TRIALS} runs")
    assert alarms / TRIALS <= 0.05


def rounds_of_one_device(kind: str, rng: np.random.Generator, count: int) -> FloatArray:
    """Return (count, ROUNDS, 2) log levels of two equal models that take turns, in launches of one device."""
    shape = (count, plan(Load(), 2, quick=False).rounds, 2)
    level = rng.normal(0, 0.01, shape) + rng.normal(0, 0.005, (count, 1, 2))
    if kind == "heavy-tailed":
        level += 0.02 * rng.standard_t(2, shape)
    if kind == "drifting":
        level += np.linspace(0, 0.5, level.size).reshape(shape)
    if kind == "bursty":
        # Other work that comes and stays for several rounds, and slows what runs by up to a factor of three.
        busy = np.repeat(rng.random((count, -(-shape[1] // 4), 1)) < 0.4, 4, axis=1)[:, : shape[1]]
        level += busy * np.abs(rng.normal(0, 0.5, shape))
    return level


@pytest.mark.parametrize("kind", ["normal", "heavy-tailed", "drifting", "bursty"])
def test_the_interval_over_a_whole_run_covers_the_true_ratio_at_every_look(kind: str) -> None:
    rng = np.random.default_rng(14)
    missed, widths = 0, []
    for _ in range(TRIALS // 3):
        locations = located(rounds_of_one_device(kind, rng, LAUNCHES))
        missed += bool((stats.log_evidence_at_each_look(locations, 0.0)[MIN_LAUNCHES - 1 :] >= LIMIT).any())
        low, high = stats.confidence_sequence(locations)
        widths.append((high - low) / 2)
    share = missed / (TRIALS // 3)
    print(
        f"\n{kind} rounds: {share:.1%} of runs missed the true ratio at some look; half-width {np.median(widths):.2%}"
    )
    assert share <= 0.05


def located(levels: FloatArray) -> FloatArray:
    """Return (L, 2) locations of (L, R, 2) levels."""
    count, rounds, _ = levels.shape
    return stats.launch_locations(np.repeat(np.arange(count), rounds), levels.reshape(-1, 2))


def evidences(x: FloatArray) -> FloatArray:
    """Return (T, L): `stats.log_evidence` against 0 of the first n of (T, L, 2) locations, for every n."""
    return np.array([stats.log_evidence_at_each_look(trial, 0.0) for trial in x])


def verdicts(x: FloatArray) -> tuple[Flags, Flags]:
    """Return (T, L) whether a change is claimed at each look, and whether a slowdown is."""
    strong = evidences(x) >= LIMIT
    strong[:, : MIN_LAUNCHES - 1] = False
    points = np.array([[np.median(trial[: n + 1].mean(axis=1)) for n in range(x.shape[1])] for trial in x])
    return strong & (np.abs(points) > MARGIN), strong & (points > MARGIN)


def replay(locations: FloatArray, launches: int, trials: int) -> tuple[float, FloatArray]:
    """Return the share of false alarms, and the launches that each trial needed to find the change (inf: not found).

    Launches are drawn from (N, 2) recorded locations; they start in random order, so which model is the variant is
    drawn anew for each.
    """
    rng = np.random.default_rng(4)
    drawn = locations[rng.integers(0, len(locations), (trials, launches))]
    drawn = drawn * rng.choice([-1.0, 1.0], (trials, launches, 1))
    alarms, _ = verdicts(drawn)
    _, found = verdicts(drawn + CHANGE)
    needed = np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, np.inf)
    return float(alarms.any(axis=1).mean()), needed


@pytest.mark.parametrize(("record", "floor"), [("quiet", 0.75), ("busy", 0.45)])
def test_rounds_recorded_in_one_launch_find_a_small_change_more_often_than_before(record: str, floor: float) -> None:
    # The project's first record: 400 rounds of one process, cut into launches of six; 72 rounds are 12 launches.
    noise = np.log(np.load(DATA / f"rounds_{record}.npy"))[:, 2:]
    cut = np.array([noise[(start + np.arange(6)) % len(noise)] for start in range(len(noise))])
    alarms, needed = replay(located(cut), 24, 100)
    within = {rounds: float((needed <= rounds / 6).mean()) for rounds in (72, 144)}
    print(
        f"\nfirst record, {record}, minima: {alarms:.1%} false alarms; a change of 3 % found within 72 rounds in "
        f"{within[72]:.0%} of trials, within 144 in {within[144]:.0%}"
    )
    assert alarms <= 0.05
    assert within[72] >= floor


@pytest.mark.parametrize(("record", "bar"), [("quiet", 0.95), ("busy", 0.80)])
def test_launches_recorded_on_a_shared_machine_find_a_change_of_three_percent(record: str, bar: float) -> None:
    # 40 launches of two processes with the same model, default rounds of 0.1 s; columns as in the data's README.
    levels = np.log(np.load(DATA / f"launches_{record}.npy").astype(np.float64))[..., :2]
    rounds = plan(Load(), 2, quick=False).rounds
    segments = [located(levels[:, start : start + rounds]) for start in range(levels.shape[1] - rounds + 1)]
    alarms, needed = replay(np.concatenate(segments), LAUNCHES, 150)
    print(
        f"\nrecorded launches, {record}: {alarms:.1%} false alarms; a change of 3 % found within {LAUNCHES} launches "
        f"in {np.isfinite(needed).mean():.0%} of trials (bar: {bar:.0%}), median {np.median(needed):.0f} launches"
    )
    assert alarms <= 0.05
    assert np.isfinite(needed).mean() >= bar


@pytest.mark.parametrize("record", ["quiet", "busy"])
def test_replayed_with_itself_a_variant_is_never_called_changed_more_than_five_percent_of_the_time(record: str) -> None:
    noise, rounds = np.load(DATA / f"rounds_{record}.npy") * 1e-9, 6
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(120):
        starts = rng.integers(0, len(noise), LAUNCHES)
        blocks = [np.arange(s, s + rounds) % len(noise) for s in starts]
        sides = rng.permuted(np.tile([0, 1], (LAUNCHES, 1)), axis=1)
        base = np.concatenate([noise[block, side] for block, side in zip(blocks, sides[:, 0], strict=True)])
        own = np.concatenate([noise[block, side] for block, side in zip(blocks, sides[:, 1], strict=True)])
        estimate = stats.ratio_estimate(base, in_launches(rounds), own, in_launches(rounds))
        assert estimate is not None
        alarms += not estimate.low <= 1 <= estimate.high
    assert alarms / 120 <= 0.05


def in_launches(rounds: int) -> IntArray:
    rows = np.arange(LAUNCHES * rounds)
    return np.stack([rows // rounds, rows, rows + 1], axis=1)


def bounded(false: int, trials: int) -> bool:
    """Return whether so many errors of so many trials are what a rate of at most 3.5 % gives, in 999 of 1,000 cases."""
    from scipy.stats import binom

    return false <= int(binom.ppf(0.999, trials, 0.035))


@pytest.mark.parametrize(("positives", "negatives"), [(5, 50), (10, 100), (42, 114), (90, 300)])
@pytest.mark.parametrize("area", [0.85, 0.99])
def test_a_worse_area_is_hardly_ever_called_non_inferior(positives: int, negatives: int, area: float) -> None:
    from scipy.stats import norm

    rng, trials, margin = np.random.default_rng(11), 400, 0.03
    truth = np.arange(positives + negatives) < positives
    shifts = [math.sqrt(2) * float(norm.ppf(one)) for one in (area, area - margin)]
    false = 0
    for _ in range(trials):
        common = rng.normal(size=len(truth))
        before, after = (
            math.sqrt(0.9) * common + math.sqrt(0.1) * rng.normal(size=len(truth)) + shift * truth for shift in shifts
        )
        found = stats.auroc_difference(before, after, truth)
        assert found is not None
        false += found.low > -margin
    print(
        f"\nAUROC {area} with {positives} and {negatives}: {false / trials:.1%} falsely non-inferior (claimed: 2.5 %)"
    )
    assert bounded(false, trials)


@pytest.mark.parametrize("images", [1, 20, 50, 100, 400])
@pytest.mark.parametrize("lost", [0.9, 0.3])
def test_rare_whole_misses_are_hardly_ever_called_non_inferior(images: int, lost: float) -> None:
    rng, trials, margin = np.random.default_rng(12), 400, 0.03
    false = 0
    for _ in range(trials):
        missed = rng.random(images) < margin / lost
        change = np.where(missed, -lost, rng.normal(0, 0.01, images))
        false += stats.mean_interval(change, least=-1, most=1).low > -margin
    print(f"\nDice of {images} images, {lost} lost at once: {false / trials:.1%} falsely non-inferior (claimed: 2.5 %)")
    assert bounded(false, trials)


def test_what_can_be_shown_of_equal_models_is_still_shown() -> None:
    rng = np.random.default_rng(13)
    shown = [stats.mean_interval(rng.normal(0, 0.02, 200), least=-1, most=1).low > -0.03 for _ in range(50)]
    assert np.mean(shown) > 0.95
    truth = np.arange(156) < 42
    areas = []
    for _ in range(100):
        before = rng.normal(size=156) + 2.4 * truth
        found = stats.auroc_difference(before, before + 0.1 * rng.normal(size=156), truth)
        areas.append(found is not None and found.low > -0.05)
    assert np.mean(areas) > 0.9
