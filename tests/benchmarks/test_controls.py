"""The control on a disturbed machine: how often it is found changed though it is the baseline, and what it costs.

`make figures` sets EDGEWARD_TRIALS.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.agent import contract
from harness.compare import Control, control_of
from harness.measure import group, jobs
from harness.measure.campaign import Result
from harness.model import Case
from tests import small_models as small
from tests.benchmarks import copies
from tests.benchmarks.disturbance import bursts, trials

MARGIN = {"load": {"margin": 0.02}}
#: By how much longer a campaign may take with a control, where enough pairs were timed to say.
COST, PAIRS, MOST_PAIRS = 1.2, 5, 10
#: Launches of a timed campaign at its own durations: a fixed number, because one that may end once its ratios are known
#: ends early or late by chance, which says nothing of what a launch costs.
LAUNCHES = 8
#: As many as a suite usually has.
VARIANTS = ("one", "two", "three")


def wanted(folder: Path, workdir: Path, variants: dict[str, small.Maker], *, control: bool) -> list[Case]:
    """Return the cases of a suite that has a control or none."""
    found = copies.cases(folder, workdir, variants)
    if not control:
        return found
    (suite,) = {case.suite.file for case in found}
    text = suite.read_text()
    assert text.count("control = false") == 1
    suite.write_text(text.replace("control = false", "control = true"))
    return copies.cases_of(folder, suite)


def controls(results: Sequence[Result]) -> list[Control]:
    """Return what the controls of baselines showed."""
    found = [control_of(copies.run_of(result), MARGIN) for result in results]
    return [one for one in found if one is not None]


def test_a_control_under_bursts_is_hardly_ever_found_changed(
    tmp_path: Path, device_workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = trials(3)
    found: list[Control] = []
    with bursts(seed=5):
        for number in range(count):
            cases = wanted(tmp_path / str(number), device_workdir, {}, control=True)
            found += controls(copies.campaign(tmp_path / str(number), cases, quick=True))
    assert len(found) == count
    alarms = sum(one.alarm for one in found)
    smallest = [one.smallest for one in found if one.smallest is not None]
    with capsys.disabled():
        print(f"\ncontrols under bursts: {alarms} false alarms of {count} (bar: 5 %); --quick, native runner")
        print(f"smallest change found beside them: {np.median(smallest):.1%} in half of the jobs")
    assert alarms <= copies.at_most(count, 0.05)


def test_a_control_adds_little_to_the_time_of_a_campaign(
    tmp_path: Path, device_workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, quick = min(trials(1), MOST_PAIRS), "EDGEWARD_TRIALS" not in os.environ
    usual = jobs.plan

    def plan(*args: Any, **settings: Any) -> contract.Plan:
        fixed = replace(usual(*args, **settings), min_launches=LAUNCHES, max_launches=LAUNCHES, max_timed_s=600.0)
        # Pauses answer a disturbance, not a control.
        return replace(fixed, pause_budget_s=0.0)

    # A quick campaign has a fixed number of launches anyway.
    if not quick:
        monkeypatch.setattr(jobs, "plan", plan)
        monkeypatch.setattr(group, "known", lambda *_: False)
    wholes: list[float] = []
    launches: dict[bool, list[float]] = {True: [], False: []}
    for number in range(pairs):
        whole = {}
        # The one that goes first changes from pair to pair: what the first leaves warm favours neither.
        for control in (True, False) if number % 2 else (False, True):
            folder = tmp_path / f"{number}-{control}"
            cases = wanted(folder, device_workdir, dict.fromkeys(VARIANTS, copies.slowed), control=control)
            started = time.monotonic()
            results = copies.campaign(folder, cases, quick=quick)
            whole[control] = time.monotonic() - started
            launches[control] += seconds_of_launches(results)
        wholes.append(math.log(whole[True] / whole[False]))
    ratio, of_pass = math.exp(np.median(wholes)), np.median(launches[True]) / np.median(launches[False])
    how = "--quick" if quick else f"{LAUNCHES} launches at a suite's own durations"
    with capsys.disabled():
        print(
            f"\nwall time of a campaign with a control / without: {ratio:.2f}, median of {pairs} (bar: {COST}); {how}"
        )
        print(f"a launch with a control / without: {of_pass:.2f}, medians of {len(launches[True])}")
    # Few pairs say no more than that it is not twice as long.
    assert ratio <= (COST if pairs >= PAIRS else 2)


def seconds_of_launches(results: Sequence[Result]) -> list[float]:
    """Return how long each launch of a job's timed pass took, but the first, whose begin nobody noted, in s."""
    (run, *others) = [copies.run_of(result) for result in results]
    assert {one.notes["launches"] for one in others} == {run.notes["launches"]}, "a model left early"
    ends = [moment["at_s"] for moment in run.conditions.during]
    assert len(ends) == run.notes["launches"]
    return [float(value) for value in np.diff(ends)]
