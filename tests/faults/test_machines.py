"""Whole machines that fail in the middle of a campaign: cut off, out of memory, reset, dead. Nothing false is kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from devices.virtual import fleet, vm
from devices.virtual.requirements import require
from devices.virtual.waiting import soon, ssh_answers
from harness.errors import DeviceError, TimedOut, Transient, Unreachable
from harness.store import Store
from harness.transports import ssh
from tests import labs
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

RUNTIMES = ["onnxruntime==1.31.1"]


def campaign(lab: Path, device: str) -> subprocess.Popen[str]:
    """Start a quick campaign on a device, in a process of its own."""
    command = [sys.executable, "-m", "pytest", "suites", "--device", device, "--quick", "-p", "no:cacheprovider"]
    return subprocess.Popen(command, cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def runs(lab: Path) -> int:
    """Return how many runs the lab's store holds."""
    file = lab / "reports" / "results.sqlite"
    if not file.exists():
        return 0
    store = Store(f"sqlite:///{file}")
    try:
        return sum(len(store.runs(campaign=one.id)) for one in store.campaigns())
    finally:
        store.close()


def under_way(workdir: Path) -> Callable[[], bool]:
    """Return whether a job on the device has done its first part."""
    return lambda: any('"cold"' in file.read_text() for file in workdir.glob("jobs/*/events.jsonl"))


def test_a_link_cut_in_the_middle_of_a_run_costs_nothing(tmp_path: Path) -> None:
    require(*fleet.NEEDS)
    lab = labs.make(tmp_path / "lab", more=labs.variant("int8"))
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        host.server.write_device(lab, id="h1", runtimes=RUNTIMES)
        with campaign(lab, "h1") as process:
            assert soon(under_way(host.server.workdir), within_s=90)
            host.server.signal_sessions(signal.SIGKILL)
            host.cable.cut()
            # Mended once it has been missed: the campaign says so as it happens.
            heard = []
            assert process.stdout is not None
            for line in process.stdout:
                heard.append(line)
                if "link lost" in line:
                    break
            host.cable.mend()
            rest, _ = process.communicate(timeout=200)
            said = "".join([*heard, rest])
    assert process.returncode == 0, said[-3000:]
    assert "2 passed" in said
    assert runs(lab) == 2


def test_a_machine_that_dies_in_the_middle_of_a_campaign_is_given_up_and_what_was_complete_is_kept(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(*fleet.NEEDS)
    monkeypatch.setattr("harness.deploy.link._PATIENCE_S", 1.0)
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

        results = night.measure(suites, when)
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
    shutil.rmtree(device_workdir / "lease")  # its workdir is this host's: the lease would have expired
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
                again = ssh.connect(board.device(), timeout_s=8)
            except DeviceError:
                return False
            found = again.run(["test", "-e", target]).code
            again.push(tmp_path / "model", target)
            whole = again.run(["sha256sum", target]).text.split()[0]
            again.close()
            assert found == 1, "a part of the file stood under its name"
            assert whole == hashlib.sha256((tmp_path / "model").read_bytes()).hexdigest()
            return True

        assert soon(lambda: ssh_answers(board.host, board.port) and pushed_again(), within_s=60)


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
