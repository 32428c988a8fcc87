"""`edgeward watch --again` on this machine: a night that nobody can believe is measured again, and called noise."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from harness.model import Campaign, Comparison, Estimate
from harness.store import Store
from tests.labs import make, run_pytest, variant

NIGHTS = 12


def scaled(change: Comparison, factor: float, names: dict[str, str]) -> Comparison:
    """Return the same comparison of another night, in which the variant took `factor` as long."""
    found = change.change
    if found is not None and change.metric == "latency_ratio":
        found = replace(found, point=found.point * factor, low=found.low * factor, high=found.high * factor)
    return replace(change, run=names[change.run], baseline=names[change.baseline], change=found)


def fill(store: Store, measured: Store, campaign: Campaign) -> None:
    """Add nights that differ from a measured one by what nights differ, and the last by half of its time."""
    runs, comparisons, outcomes, _ = measured.readable(campaign.id)
    factors = np.exp(np.random.default_rng(2).normal(0, 0.005, NIGHTS - 1))
    for number, factor in enumerate([*factors.tolist(), 1.5]):
        back = timedelta(days=NIGHTS - number)
        names = {run.id: f"{number:02}{run.id}" for run in runs}
        at = campaign.started_at - back
        store.add_campaign(replace(campaign, id=f"{number:02}{campaign.id}", started_at=at))
        for run in runs:
            again = replace(
                run, id=names[run.id], campaign=f"{number:02}{campaign.id}", started_at=run.started_at - back
            )
            (outcome,) = [replace(one, run=names[run.id]) for one in outcomes if one.run == run.id]
            own = [scaled(one, factor, names) for one in comparisons if one.run == run.id]
            store.add_case(again.campaign, again, own, outcome)


def test_a_night_that_only_it_shows_is_measured_again_at_once_and_is_noise(
    tmp_path: Path, device_workdir: Path
) -> None:
    lab = make(tmp_path, more=variant("int8"), workdir=device_workdir)
    url = f"sqlite:///{tmp_path / 'measured.sqlite'}"
    done = run_pytest(lab, "suites", "--device", "here", f"--store={url}")
    assert "2 passed" in done.stdout, done.stdout
    measured = Store(url)
    (campaign,) = measured.campaigns()
    (ratio,) = [one.change for one in measured.comparisons(campaign.id) if one.metric == "latency_ratio"]
    assert isinstance(ratio, Estimate)
    assert math.isfinite(ratio.high), "a night without an interval is held against none"
    past = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    fill(past, measured, campaign)
    watch = [sys.executable, "-c", "from harness.cli import main; main()", "watch", "small"]
    seen = subprocess.run(watch, cwd=lab, capture_output=True, text=True, check=False)
    assert seen.stdout.startswith("? unknown: Latency regressed: int8 on here"), seen.stdout + seen.stderr
    again = subprocess.run([*watch, "--again"], cwd=lab, capture_output=True, text=True, check=False)
    assert "measuring again: suites/small.toml::int8@here" in again.stdout
    assert "~ noise: Latency regressed: int8 on here" in again.stdout, again.stdout + again.stderr
    assert again.returncode == 0
    assert len(past.campaigns()) == NIGHTS + 1
