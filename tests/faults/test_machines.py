"""Whole machines that fail in the middle of a campaign: cut off, out of memory, reset, dead. Nothing false is kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
from pathlib import Path

import psutil
import pytest

from devices.virtual import fleet, vm
from devices.virtual.requirements import require
from devices.virtual.waiting import soon, ssh_answers
from harness.errors import DeviceError, TimedOut, Transient, Unreachable
from harness.transports import ssh
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

RUNTIMES = ["onnxruntime==1.31.1"]


def test_a_link_cut_in_the_middle_of_a_run_costs_nothing(tmp_path: Path, device_workdir: Path) -> None:
    require(*fleet.NEEDS)
    suite = small.write_suite(tmp_path, "cut", ("good", small.good), {"slower": small.slower})
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        host.server.write_device(tmp_path, id="h1", runtimes=RUNTIMES, workdir=device_workdir)
        night = Night(tmp_path)
        cut: list[str] = []
        # Started by the first who misses it: the next who connects may find it cut or mended.
        mending = threading.Timer(2, host.cable.mend)

        def when(text: str) -> None:
            if text.startswith("memory pass 1") and not cut:
                cut.append(text)
                host.server.signal_sessions(signal.SIGKILL)
                host.cable.cut()
            elif text.startswith("connection lost") and mending.ident is None:
                mending.start()

        results = night.measure([suite], when)
        assert mending.ident is not None, "nobody noticed: the test is void"
        mending.join()
    assert cut
    assert {name: result.outcome.status for name, result in results.items()} == {"good": "passed", "slower": "passed"}
    assert sorted(run.case.variant for run in night.store.runs()) == ["good", "slower"]


def test_a_machine_that_dies_in_the_middle_of_a_campaign_is_given_up_and_what_was_complete_is_kept(
    tmp_path: Path, device_workdir: Path
) -> None:
    require(*fleet.NEEDS)
    suites = [small.write_suite(tmp_path, name, (name, small.good)) for name in ("a", "b", "c")]
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        file = host.server.write_device(tmp_path, id="h1", runtimes=RUNTIMES, workdir=device_workdir)
        file.write_text(file.read_text() + "keepalive_s = 1\n")
        night = Night(tmp_path)
        died: list[str] = []

        def when(text: str) -> None:
            if text.startswith("cold pass 1") and len(night.store.runs()) == 1 and not died:
                died.append(text)
                psutil.Process(host.machine.pid).children()[0].kill()

        results = night.measure(suites, when, patience_s=1.0)
    print(f"\n{results['b'].error}")
    assert results["a"].outcome.status == "passed"
    for name in ("b", "c"):
        error = results[name].error
        # Not HostKeyMismatch: no other host has got its address meanwhile, so that it was this one that was looked for.
        assert isinstance(error, Unreachable | TimedOut)
        assert error.device == "h1"
        assert host.server.host in str(error)
    assert "its job may still run there" in str(results["b"].error)
    assert [run.case.variant for run in night.store.runs()] == ["a"]
    shutil.rmtree(device_workdir / "jobs")


@pytest.mark.slow_device
def test_a_board_that_is_reset_while_a_file_arrives_never_shows_a_part_of_it(tmp_path: Path) -> None:
    require(*vm.NEEDS)
    (tmp_path / "model").write_bytes(os.urandom(20_000_000))
    target = "/var/lib/edgeward/model"
    with vm.vm(tmp_path / "vm") as board:
        connection = ssh.connect(board.device(keepalive_s=1, stall_s=3))
        connection.run(["mkdir", "-p", str(Path(target).parent)])
        threading.Timer(0.7, board.reset).start()
        with pytest.raises(Transient):
            connection.push(tmp_path / "model", target)
        connection.close()

        def pushed_again() -> bool:
            try:
                again = ssh.connect(board.device(), timeout_s=20)
            except DeviceError:
                return False
            found = again.run(["test", "-e", target]).code
            again.push(tmp_path / "model", target)
            whole = again.run(["sha256sum", target]).text.split()[0]
            again.close()
            assert found == 1, "a part of the file stood under its name"
            assert whole == hashlib.sha256((tmp_path / "model").read_bytes()).hexdigest()
            return True

        assert soon(lambda: ssh_answers(board.host, board.port) and pushed_again(), within_s=180)


@pytest.mark.slow_device
def test_a_board_whose_plug_is_pulled_is_told_in_one_line(tmp_path: Path) -> None:
    require(*vm.NEEDS)
    with vm.vm(tmp_path / "vm", memory_mib=512) as board:
        connection = ssh.connect(board.device(keepalive_s=0))
        lines = connection.stream(["sh", "-c", "echo first; sleep 60"], silence_s=3600)
        assert next(lines) == b"first"
        os.kill(board.pid, signal.SIGKILL)
        with pytest.raises(Transient, match=rf"vm: the connection to 127\.0\.0\.1:{board.port} was lost during `sh`"):
            next(lines)
        connection.close()
