"""How often two takers of one device both get it, and what is left on a device whose host was killed, by transport.

EDGEWARD_TRIALS sets how many pairs race on each transport, EDGEWARD_KILLS how many hosts are killed by each signal.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import pytest

from devices.virtual.waiting import soon
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.deploy.owner import this_process
from harness.errors import Busy
from harness.lab import select
from harness.leases import file as lease
from harness.ports.leases import Owner
from harness.store import Store
from tests import small_models as small

PAIRS = int(os.environ.get("EDGEWARD_TRIALS", "20"))
KILLS = int(os.environ.get("EDGEWARD_KILLS", "1"))
#: The two takers begin so close to one another; s.
APART_S = 0.08
#: A host is ended within so long after it got the device; s.
WITHIN_S = 24.0


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
    time.sleep(random.uniform(0, APART_S))  # how far the two come apart is the question
    try:
        lease.take(handle, owner)
    except Busy:
        return
    got.append(owner)


#: Each transport with the signal that leaves the host no time, and each signal once; `make figures` takes all of them.
ENDED = [
    (transport, signum)
    for transport in ("local", "ssh", "adb")
    for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
    if KILLS > 1 or transport == "local" or signum is signal.SIGKILL
]


@pytest.mark.parametrize(
    ("bed", "signum"), ENDED, indirect=["bed"], ids=[f"{one}-{other.name}" for one, other in ENDED]
)
def test_nothing_stays_or_is_lost_when_the_host_is_ended_at_any_moment(bed: Bed, signum: signal.Signals) -> None:
    suite = small.write_suite(bed.folder, "small", ("base", small.good), {"slower": small.slower})
    suite.write_text(suite.read_text().replace("max_duration_s = 20", "max_duration_s = 5"))
    store, waits, codes = Store(f"sqlite:///{bed.folder}/results.sqlite"), [], Counter[int]()
    tally, sums = Counter[str](), Counter[str]()
    # On another machine the job of a killed host goes on, until the next campaign collects or ends it.
    going_on = signum is signal.SIGKILL and bed.transport != "local"
    for _ in range(KILLS):
        before = stored(store)
        ended = end_at_random(bed, signum, store)
        soon(lambda: left(bed, going_on=going_on) == Left(0, 0, 0), within_s=70)
        waits.append(time.monotonic() - ended.at)
        codes[ended.code] += 1
        tally.update(asdict(left(bed, going_on=going_on)))
        after = stored(store)
        sums.update(lost=len((before | ended.printed) - after), false=len(falsehoods(store)))
    finished = finish(bed, store)
    soon(lambda: left(bed) == Left(0, 0, 0), within_s=70)
    tally.update(asdict(left(bed)))
    sums.update(lost=2 - len(finished), false=len(falsehoods(store)))
    print(
        f"\n{bed.transport}: {KILLS} times {signum.name} (exit codes {dict(codes)}): left {tally['leases']} leases, "
        f"{tally['processes']} processes and {tally['folders']} job folders, after {max(waits):.1f} s at most; "
        f"{len(stored(store))} results, lost {sums['lost']}, false {sums['false']}"
    )
    assert tally.total() == sums.total() == 0


@dataclass(frozen=True, slots=True)
class Left:
    """What an ended host left on a device."""

    leases: int
    processes: int
    folders: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A host that was ended: when, its exit code, and the results that it had printed, as `stored` gives them."""

    at: float
    code: int
    printed: set[tuple[str, str]]


def left(bed: Bed, *, going_on: bool = False) -> Left:
    """Return what is left on the device; without the jobs that may go on there, if so asked."""
    with opened(bed) as handle:
        holder = lease.holder(handle)
    jobs = "/data/local/tmp/edgeward/jobs/" if bed.transport == "adb" else f"{bed.workdir}/jobs/"
    of_jobs = [one for one in bed.processes() if mentions(one, jobs)]
    folders = list((bed.workdir / "jobs").glob("*"))
    if going_on:
        kept = {one.name for one in folders if (one / contract.KEPT_FILE).exists()}
        folders = [one for one in folders if one.name not in kept]
        of_jobs = [one for one in of_jobs if not any(mentions(one, f"{jobs}{name}") for name in kept)]
    return Left(int(holder is not None), len(of_jobs), len(folders))


def mentions(process: psutil.Process, part: str) -> bool:
    try:
        return part in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def stored(store: Store) -> set[tuple[str, str]]:
    """Return campaign and case of every result that is in the store."""
    return {(it.id, one.case) for it in store.campaigns() for one in store.outcomes(it.id) if one.run}


def falsehoods(store: Store) -> list[str]:
    """Return what the store says that is not so: both models are always right, and nothing but the end came between."""
    runs, said = {run.id: run for run in store.runs()}, []
    for campaign in store.campaigns():
        for outcome in store.outcomes(campaign.id):
            if not outcome.run and "interrupted" not in outcome.message:
                said.append(f"{outcome.case}: {outcome.message}")
            elif outcome.run and outcome.run not in runs:
                said.append(f"{outcome.case} has no run")
    for run in runs.values():
        if run.accuracy["accuracy"].point != 1.0 or not len(run.measurements["latency_s"].values):
            said.append(f"{run.case}: {run.accuracy['accuracy']}")
    for line in said:
        print(f"false: {line}")
    return said


def command(bed: Bed, store: Store) -> list[str]:
    """Return what measures, or goes on with the newest campaign if that is not complete."""
    # A shell gives what it starts in the background signals that are ignored, which is inherited.
    words = ["env", "--default-signal=INT,TERM,HUP", sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    words += ["suites", "--device", "dut", "--quick", "--store", f"sqlite:///{bed.folder}/results.sqlite"]
    newest = store.campaigns()[:1]
    return [*words, "--resume"] if newest and len(done(store, newest[0].id)) < 2 else words


def done(store: Store, campaign: str) -> list[str]:
    return [one.case for one in store.outcomes(campaign) if one.run]


def end_at_random(bed: Bed, signum: signal.Signals, store: Store) -> Ended:
    """Start a campaign, end its host at a random moment after it got the device, and return what it was."""
    with (
        (bed.folder / "said").open("w+") as said,
        subprocess.Popen(command(bed, store), cwd=bed.folder, start_new_session=True, stdout=said) as process,
    ):
        with opened(bed) as handle:
            assert soon(lambda: lease.holder(handle) is not None or process.poll() is not None, within_s=120)
        time.sleep(random.uniform(0.0, WITHIN_S))
        keepers = psutil.Process(process.pid).children()
        os.killpg(process.pid, signum)
        code = process.wait(60)
        ended_at = time.monotonic()
        said.seek(0)
        lines = said.read().splitlines()
    # What cleans up holds the device itself meanwhile.
    psutil.wait_procs(keepers, timeout=60)
    newest = store.campaigns()[0].id
    names = {line.split()[0] for line in lines if "@dut passed: " in line}
    return Ended(ended_at, code, {(newest, f"suites/small.toml::{name}") for name in names})


def finish(bed: Bed, store: Store) -> list[str]:
    """Measure what the last campaign left, and return the cases that have a result then."""
    went_on = command(bed, store)
    if "--resume" in went_on:
        subprocess.run(went_on, cwd=bed.folder, check=True, stdout=subprocess.DEVNULL)
    return done(store, store.campaigns()[0].id)
