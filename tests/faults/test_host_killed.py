"""The host is killed between two cases of one group: what was known is stored whole, and the rest is measured later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness.model import Outcome
from harness.store import Store
from tests import small_models as small

#: Chosen so that the seed it gives lets the baseline be loaded before the variants.
SUITE = "sustained-load"


@pytest.fixture
def suite(own_server: Server, device_workdir: Path, tmp_path: Path) -> Path:
    """Give a suite in which each model is loaded for seconds, one after the other, on a device behind a connection."""
    made = small.write_suite(tmp_path, SUITE, ("base", small.good), {"one": small.good, "two": small.slower})
    load = '[load]\nscenario = "sustained"\n'
    made.write_text(made.read_text().replace("[load]\n", load).replace("max_duration_s = 20", "max_duration_s = 40"))
    device = own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    device.write_text(device.read_text() + "[limits]\ncooldown_s = 5\n")
    return made


def command(folder: Path, *more: str) -> list[str]:
    pytest_command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "--device", "far", "--quick"]
    return [*pytest_command, "--store", f"sqlite:///{folder}/results.sqlite", *more]


def outcomes(store: Store) -> list[Outcome]:
    return [outcome for campaign in store.campaigns() for outcome in store.outcomes(campaign.id)]


def test_a_host_killed_between_two_cases_of_a_group_loses_neither(suite: Path, tmp_path: Path) -> None:
    assert suite.exists()
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    with subprocess.Popen(command(tmp_path), cwd=tmp_path, start_new_session=True) as process:
        try:
            assert soon(lambda: len(outcomes(store)) > 0 or process.poll() is not None, within_s=300)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    known = outcomes(store)
    assert 0 < len(known) < 3, "the host was not killed between two cases: the test is void"
    runs = {run.id: run for run in store.runs()}
    # Nothing is there by halves: every run has its outcome, and every outcome its run and comparisons.
    assert {outcome.run for outcome in known} == set(runs)
    assert [outcome.status for outcome in known] == ["passed"] * len(known)
    done = subprocess.run(command(tmp_path, "--resume"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = {outcome.case: outcome for outcome in outcomes(store)}
    assert sorted(name.partition("::")[2] for name in after) == ["base@far", "one@far", "two@far"]
    assert {outcome.case: outcome.run for outcome in known}.items() <= {k: v.run for k, v in after.items()}.items()
    assert {outcome.run for outcome in after.values()} <= {run.id for run in store.runs()}
    store.close()
