"""A processor that is slowed down halfway: said of every run, and never taken for the model's fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.virtual.cpu_limit import Throttle
from harness.model import Validity, Verdict
from tests.benchmarks import copies
from tests.benchmarks.disturbance import conductors, quota, trials


def halfway(under: Throttle, workdir: Path, text: str) -> None:
    """Slow everything down to less than a third when two of the four launches of a quick job are over."""
    if text.startswith("timed pass: launch 2"):
        for pid in conductors(workdir):
            under.hold(pid)
        under.slow(0.3)


def test_throttling_halfway_is_said_of_every_run_and_never_called_a_regression(
    tmp_path: Path, device_workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, verdicts = [], []
    with quota() as under:
        for trial in range(trials(4)):
            folder = tmp_path / str(trial)
            listed = copies.cases(folder, device_workdir, {"copy": copies.base})
            results = copies.campaign(
                folder, listed, quick=True, hear=lambda text: halfway(under, device_workdir, text)
            )
            under.lift()
            runs += [copies.run_of(result) for result in results if result.comparisons]
            verdicts += [copies.latency_ratio(result).verdict for result in results if result.comparisons]
    found = [
        run for run in runs if run.validity is Validity.DEGRADED and any("throttling" in r.text for r in run.reasons)
    ]
    with capsys.disabled():
        print(
            f"\nthrottled halfway to 0.3 of a processor: {len(found)} of {len(runs)} runs degraded with that reason, "
            f"{verdicts.count(Verdict.REGRESSED)} of {len(verdicts)} called a regression (--quick, native runner; "
            "each run with an injection and a baseline of its own)"
        )
    assert len(found) == len(runs)
    assert Verdict.REGRESSED not in verdicts
