"""Devices that restart in the middle of a campaign: one line each, nothing false kept, the rest measured later."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.virtual import fleet, vm
from devices.virtual.requirements import require
from harness.deploy import DeviceHandle
from harness.errors import MeasurementError
from harness.leases import file as lease
from harness.transports import ssh
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

REBOOTED = (
    "it rebooted while measuring, which ended the job, and nothing of this case was taken; "
    "look why (power, heat, a watchdog), then --resume measures what is left"
)


def test_a_host_that_restarts_loses_one_job_which_resume_makes_up_for(tmp_path: Path, device_workdir: Path) -> None:
    require(*fleet.NEEDS)
    suites = [small.write_suite(tmp_path, name, (name, small.good)) for name in ("a", "b", "c")]
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        host.server.write_device(tmp_path, id="h1", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
        night = Night(tmp_path)
        restarted: list[str] = []

        def when(text: str) -> None:
            if text.startswith("timed pass: launch 1") and len(night.store.runs()) == 1 and not restarted:
                restarted.append(text)
                host.restart()

        results = night.measure(suites, when)
        assert isinstance(results["b"].error, MeasurementError)
        assert str(results["b"].error) == f"h1: {REBOOTED}"
        print(f"\n{results['b'].error}")
        assert [results[name].outcome.status for name in ("a", "c")] == ["passed", "passed"]
        assert {run.case.variant for run in night.store.runs()} == {"a", "c"}
        assert list((device_workdir / "jobs").iterdir()) == []
        with DeviceHandle(host.server.device()) as handle:
            assert lease.holder(handle) is None
        again = night.measure(suites, resume=True)
    assert {name: result.outcome.status for name, result in again.items()} == dict.fromkeys(again, "passed")
    assert sorted(run.case.variant for run in night.store.runs()) == ["a", "b", "c"]
    assert len(night.store.campaigns()) == 1


@pytest.mark.slow_device
def test_a_board_that_is_reset_while_it_measures_is_waited_for_and_told_of(tmp_path: Path) -> None:
    require(*vm.NEEDS)
    suite = small.write_suite(tmp_path, "board", ("good", small.good))
    with vm.vm(tmp_path / "vm") as board:
        # The Python agent would take a minute to start under emulation.
        file = board.write_device(tmp_path)
        file.write_text(board.device_toml(runtimes=[small.ONNXRUNTIME], runner="native") + "keepalive_s = 1\n")
        night = Night(tmp_path)
        reset: list[str] = []

        def when(text: str) -> None:
            if text.startswith("cold pass 1") and not reset:
                reset.append(text)
                board.reset()

        results = night.measure([suite], when)
        print(f"\n{results['good'].error}")
        assert str(results["good"].error) == f"vm: {REBOOTED}"
        assert night.store.runs() == []
        connection = ssh.connect(board.device())
        left = connection.run(["sh", "-c", "cd /var/lib/edgeward; ls -A jobs"]).text
        connection.close()
        with DeviceHandle(board.device()) as handle:
            assert lease.holder(handle) is None
        assert left == ""
