"""How often two takers of one device both get it, and what is left on a device whose host was killed, by transport.

EDGEWARD_TRIALS sets how many pairs race and how many hosts are killed on each transport.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from devices.virtual.waiting import soon
from harness.deploy import DeviceHandle
from harness.deploy.owner import this_process
from harness.errors import Busy
from harness.lab import select
from harness.leases import file as lease
from harness.ports import Owner
from harness.store import Store
from tests import small_models as small

PAIRS = int(os.environ.get("EDGEWARD_TRIALS", "20"))
KILLS = int(os.environ.get("EDGEWARD_KILLS", "2"))
#: The two takers begin so close to one another; s.
APART_S = 0.08


@dataclass(frozen=True)
class Bed:
    """A lab with one device, and where that device's workdir and processes are seen from here."""

    folder: Path
    transport: str
    workdir: Path
    processes: Callable[[], list[psutil.Process]]


@pytest.fixture(params=["local", "ssh", "adb"])
def bed(request: pytest.FixtureRequest, tmp_path: Path, device_workdir: Path) -> Bed:
    """Give a lab with this machine, an OpenSSH server or a phone."""
    if request.param == "adb":
        phone = request.getfixturevalue("own_phone")
        phone.write_device(tmp_path, id="dut", runtimes=[small.ONNXRUNTIME])
        return Bed(tmp_path, "adb", phone.workdir, phone.machine.processes)
    if request.param == "ssh":
        server = request.getfixturevalue("own_server")
        server.write_device(tmp_path, id="dut", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    else:
        small.write_device(tmp_path, "dut", workdir=device_workdir)
    return Bed(tmp_path, request.param, device_workdir, lambda: list(psutil.process_iter()))


def opened(bed: Bed) -> DeviceHandle:
    return DeviceHandle(select(bed.folder, ["dut"])[0])


def test_of_two_takers_never_both_get_a_device(bed: Bed) -> None:
    (bed.folder / "suites").mkdir(exist_ok=True)
    both = neither = 0
    with opened(bed) as first, opened(bed) as second:
        for _ in range(PAIRS):
            owners = this_process("/a"), this_process("/b")
            got: list[Owner] = []
            threads = [
                threading.Thread(target=race, args=(handle, owner, got))
                for handle, owner in zip((first, second), owners, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            both += len(got) == 2
            neither += len(got) == 0
            for owner in owners:
                lease.free(first, owner)
    print(f"\n{bed.transport}: {PAIRS} pairs within {APART_S * 1e3:.0f} ms: {both} times both, {neither} times neither")
    assert both == neither == 0


def race(handle: DeviceHandle, owner: Owner, got: list[Owner]) -> None:
    time.sleep(random.uniform(0, APART_S))
    try:
        lease.take(handle, owner)
    except Busy:
        return
    got.append(owner)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_nothing_stays_on_a_device_whose_host_was_ended_at_any_moment(bed: Bed, signum: signal.Signals) -> None:
    small.write_suite(bed.folder, "small", ("base", small.good), {"slower": small.slower})
    store, tally, waits = Store(f"sqlite:///{bed.folder}/results.sqlite"), dict.fromkeys(Left.__slots__, 0), []
    for _ in range(KILLS):
        ended_at = end_at_random(bed, signum)
        soon(lambda: left(bed) == Left(0, 0, 0), within_s=70)
        waits.append(time.monotonic() - ended_at)
        stays = left(bed)
        for name in tally:
            tally[name] += getattr(stays, name)
        ids = {run.id for run in store.runs()}
        for campaign in store.campaigns():
            assert {one.run for one in store.outcomes(campaign.id) if one.run} <= ids
    print(
        f"\n{bed.transport}: {KILLS} times {signum.name}: left {tally['leases']} leases, "
        f"{tally['processes']} processes and {tally['folders']} job folders, after {max(waits):.1f} s at most"
    )
    assert set(tally.values()) == {0}


@dataclass(frozen=True, slots=True)
class Left:
    """What an ended host left on a device."""

    leases: int
    processes: int
    folders: int


def left(bed: Bed) -> Left:
    with opened(bed) as handle:
        holder = lease.holder(handle)
    jobs = "/data/local/tmp/edgeward/jobs/" if bed.transport == "adb" else f"{bed.workdir}/jobs/"
    of_jobs = [one for one in bed.processes() if mentions(one, jobs)]
    return Left(int(holder is not None), len(of_jobs), len(list((bed.workdir / "jobs").glob("*"))))


def mentions(process: psutil.Process, part: str) -> bool:
    try:
        return part in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end_at_random(bed: Bed, signum: signal.Signals) -> float:
    """Start a campaign, end its host at a random moment after it got the device, and return when that was."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "--device", "dut", "--quick"]
    command += ["--store", f"sqlite:///{bed.folder}/results.sqlite"]
    with subprocess.Popen(command, cwd=bed.folder, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        with opened(bed) as handle:
            assert soon(lambda: lease.holder(handle) is not None or process.poll() is not None, within_s=120)
        time.sleep(random.uniform(0.0, 12.0))
        keepers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signum)
        process.wait(60)
    ended_at = time.monotonic()
    # What cleans up holds the device itself meanwhile.
    psutil.wait_procs(keepers, timeout=60)
    return ended_at
