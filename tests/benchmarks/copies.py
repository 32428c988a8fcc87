"""Campaigns of many variants that are one model: every verdict comes the way a user's does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import binom

from harness import lab
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.model import Case, Comparison, Run
from harness.store import Store
from tests import small_models as small

#: Convolutions of the model, and of the one that is slower by a known amount of work.
LAYERS = 32


def base(path: Path) -> Path:
    """Write the model that everything is held against."""
    return small.slower(path, layers=LAYERS)


def slowed(path: Path) -> Path:
    """Write the same model with one convolution more: 1/32 of the work, little more than 3 %."""
    return small.slower(path, layers=LAYERS + 1)


def cases(folder: Path, workdir: Path, variants: Mapping[str, small.Maker], *, runner: str = "native") -> list[Case]:
    """Return the cases of a suite with default settings on this machine."""
    suite = small.write_suite(folder, "copies", ("base", base), variants)
    # Not the short time limit of other tests' suites: what is tested here are the defaults.
    suite.write_text(suite.read_text().replace("max_duration_s = 20\n", ""))
    small.write_device(folder, "here", workdir=workdir, more=f'runner = "{runner}"\n')
    return cases_of(folder, suite)


def cases_of(folder: Path, suite: Path) -> list[Case]:
    """Return the cases of a suite's file."""
    return lab.cases(lab.read_suite(suite), lab.select(folder, ["here"]))


def campaign(
    folder: Path, wanted: Sequence[Case], *, quick: bool, hear: Callable[[str], None] | None = None
) -> list[Result]:
    """Measure cases in one job and return their results, the baseline's first; `hear` hears how it goes."""

    def say(device: str, text: str) -> None:
        assert device
        if hear is not None:
            hear(text)

    store = Store(f"sqlite:///{folder}/results.sqlite")
    settings = Settings(command="pytest", say=say, quick=quick)
    campaign = CampaignRunner(wanted, store, settings)
    try:
        results = [campaign.future(case).result(3600) for case in wanted]
    finally:
        campaign.stop()
        store.close()
    assert [result.outcome.message for result in results if result.run is None] == []
    return results


def run_of(result: Result) -> Run:
    assert result.run is not None
    return result.run


def latency_ratio(result: Result) -> Comparison:
    """Return how a variant's latency was compared with the baseline's."""
    (found,) = [one for one in result.comparisons if one.metric == "latency_ratio"]
    return found


def log_ratios(results: Sequence[Result]) -> np.ndarray:
    """Return the logarithms of the latency ratios of all variants."""
    changes = [latency_ratio(result).change for result in results if result.comparisons]
    return np.array([math.log(change.point) for change in changes if change is not None])


def seconds_to_decide(results: Sequence[Result]) -> list[float]:
    """Return, for each variant, how long the timed pass would have taken for it and the baseline alone, in s.

    The models share each launch evenly (starts, loads, warm-ups, rounds, sentinels), so two models take two shares.
    """
    runs = [run_of(result) for result in results]
    ends = [moment["at_s"] for moment in runs[0].conditions.during]
    walls = np.diff(ends)
    walls = np.concatenate([walls[:1], walls])  # the first launch began when nobody had taken note
    playing = [sum(run.notes["launches"] > launch for run in runs) for launch in range(len(walls))]
    shares = 2 * walls / np.array(playing)
    return [float(shares[: run.notes["launches"]].sum()) for run in runs if not run.is_baseline]


def at_most(count: int, share: float) -> int:
    """Return how many of `count` may be alarms if `share` is the true rate: the 99th percentile for few trials."""
    return int(share * count) if count >= 300 else int(binom.ppf(0.99, count, share))


def at_least(count: int, share: float) -> int:
    """Return how many of `count` must be found if `share` is the true rate: the 1st percentile for few trials."""
    return math.ceil(share * count) if count >= 100 else int(binom.ppf(0.01, count, share))
