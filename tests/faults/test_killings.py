"""Killed processes, full disks and confidential images: what is left behind, and what is reported."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from devices.virtual.openssh import Server, small_disk
from devices.virtual.waiting import soon
from harness import lab
from harness.deploy import DeviceHandle
from harness.deploy.handle import PATIENCE_S
from harness.errors import DeviceError, MeasurementError, StoreError
from harness.leases import file as lease
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.model import Address, Device
from harness.runners import python
from harness.store import Store
from tests import small_models as small


def measured(
    folder: Path,
    suites: list[Path],
    say: Callable[[str, str], None],
    store: Store,
    *,
    patience_s: float = PATIENCE_S,
) -> list[Result]:
    """Measure all cases of some suites on all devices of a lab, in this process.

    Args:
        folder: of the lab.
        suites: their files.
        say: is given the device and what is said.
        store: for the results.
        patience_s: how long a lost device is looked for; s.
    """
    devices = lab.select(folder, ["all"])
    cases = [case for suite in suites for case in lab.cases(lab.read_suite(suite), devices)]
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=say, quick=True, patience_s=patience_s))
    try:
        return [campaign.future(case).result(180) for case in cases]
    finally:
        campaign.stop()


def image_digests() -> tuple[str, bytes]:
    """Return the digest under which the images lie on a device, and bytes that only they hold."""
    images = small.samples()[0]
    file = io.BytesIO()
    np.save(file, images)
    return hashlib.sha256(file.getvalue()).hexdigest(), images[7].tobytes()


def files_with_images(workdir: Path) -> list[Path]:
    digest, pixels = image_digests()
    small_files = [path for path in workdir.rglob("*") if path.is_file() and "runtimes" not in path.parts]
    return [path for path in small_files if path.name == digest or pixels in path.read_bytes()]


def agents(verb: str, workdir: Path) -> list[psutil.Process]:
    """Return the agent's processes that do `verb` for a job under a workdir."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        mine = verb in words and any(word.startswith(f"{workdir}/jobs/") for word in words)
        if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@dataclass(frozen=True)
class Killings:
    """A campaign in which the agent of one suite and a worker of another were killed."""

    results: Mapping[str, Result]
    store: Store
    workdir: Path
    during: list[Path]


@pytest.fixture(scope="module")
def killings(device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Killings:
    """Measure three confidential suites; kill the first one's conductor and a worker of the second."""
    folder = tmp_path_factory.mktemp("killings")
    for left in files_with_images(device_workdir):  # of other tests, whose images are nobody's secret
        left.unlink()
    suites = [
        small.write_suite(folder, name, ("good", small.good), {"slower": small.slower}, confidential=True)
        for name in ("agent", "worker", "quiet")
    ]
    small.write_device(folder, "here", workdir=device_workdir)
    during: list[Path] = []
    killed: list[str] = []

    def say(device: str, text: str) -> None:
        del device
        if text.startswith("cold pass") and not during:
            during.extend(files_with_images(device_workdir))
        if text.startswith("timed pass: launch 1") and not killed:
            killed.append("agent")
            (pid,) = device_workdir.glob("jobs/*/pid")
            os.kill(int(pid.read_text()), signal.SIGKILL)
        elif text.startswith("timed pass: launch 1") and killed == ["agent"]:
            killed.append("worker")
            second: list[psutil.Process] = []

            def started() -> bool:
                second.extend(one for one in agents("work", device_workdir) if one.cmdline()[-1:] == ["1"])
                return bool(second)

            assert soon(started)
            second[0].kill()

    # Other tests drive the conductor by hand on this workdir and leave their jobs there.
    shutil.rmtree(device_workdir / "jobs", ignore_errors=True)
    store = Store(f"sqlite:///{folder}/results.sqlite")
    results = measured(folder, suites, say, store)
    assert killed == ["agent", "worker"]
    named = {f"{result.case.suite.id}/{result.case.variant.id}": result for result in results}
    return Killings(named, store, device_workdir, during)


def test_a_killed_agent_is_an_error_of_its_suite_with_the_remedy(killings: Killings) -> None:
    for name in ("agent/good", "agent/slower"):
        result = killings.results[name]
        assert isinstance(result.error, MeasurementError)
        assert "here: the agent ended before it was done" in str(result.error)
        assert str(result.error).endswith("nothing of this case was taken; measure again")
        assert result.run is None


def test_a_killed_worker_is_an_error_of_its_case_alone(killings: Killings) -> None:
    message = str(killings.results["worker/slower"].error)
    assert message == (
        "here: slower.onnx on onnxruntime==1.31.1: timed failed: the process was killed by SIGKILL, and not by the "
        "kernel for want of memory; look there for what ends processes (an administrator, a memory daemon), then "
        "measure again"
    )
    assert killings.results["worker/good"].outcome.status == "passed"


def test_what_was_not_killed_is_stored_and_nothing_else(killings: Killings) -> None:
    passed = {name for name, result in killings.results.items() if result.outcome.status == "passed"}
    assert passed == {"worker/good", "quiet/good", "quiet/slower"}
    runs = killings.store.runs()
    assert {f"{run.case.suite}/{run.case.variant}" for run in runs} == passed


def test_confidential_images_are_gone_after_a_run_and_after_a_failure(killings: Killings) -> None:
    digest, _ = image_digests()
    assert [path.name for path in killings.during] == [digest], "the search finds them while they are there"
    assert files_with_images(killings.workdir) == []
    assert list((killings.workdir / "jobs").iterdir()) == []
    assert agents("work", killings.workdir) == agents("run", killings.workdir) == []


def test_every_job_whose_confidential_images_are_gone_is_in_the_audit_record(killings: Killings) -> None:
    wiped = [one for one in killings.store.audit() if one.kind == "wiped"]
    assert len({one.detail for one in wiped}) == 3, "one job each of the three suites"
    assert {one.device for one in wiped} == {"here"}


def test_confidential_images_that_cannot_be_removed_are_told_with_their_place(
    own_server: Server, device_workdir: Path, tmp_path: Path
) -> None:
    suite = small.write_suite(tmp_path, "secret", ("good", small.good), confidential=True)
    own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    here = Device("here", "workstation", Address("local"), workdir=str(device_workdir))

    def say(device: str, text: str) -> None:
        del device
        if text.startswith("timed pass: launch 1"):
            for pid in [own_server.pid, *own_server.sessions()]:
                os.kill(pid, signal.SIGKILL)

    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    (result,) = measured(tmp_path, [suite], say, store, patience_s=0.0)
    digest, _ = image_digests()
    assert isinstance(result.error, DeviceError)
    (job,) = (device_workdir / "jobs").iterdir()
    assert f"confidential images may be left at {job}/{digest}" in str(result.error)
    assert stat.S_IMODE(job.stat().st_mode) == 0o700
    assert str(result.error).endswith("remove them by hand")
    assert store.runs() == []
    with DeviceHandle(here) as handle:
        for job in (device_workdir / "jobs").iterdir():
            python.stop(handle, str(job))
            shutil.rmtree(job)
        # It would have expired.
        holder = lease.holder(handle)
        assert holder is not None
        lease.free(handle, holder)


def fill(disk: Path) -> None:
    """Write until there is no room left."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_disk_that_fills_under_the_store_ends_in_an_error_and_keeps_what_was_stored(
    device_workdir: Path, tmp_path: Path
) -> None:
    suite = small.write_suite(tmp_path, "plain", ("good", small.good))
    small.write_device(tmp_path, "here", workdir=device_workdir)
    with small_disk(tmp_path / "disk", size_bytes=600_000) as disk:
        store = Store(f"sqlite:///{disk}/night.sqlite")

        def say(device: str, text: str) -> None:
            del device
            if text.startswith("memory pass"):
                fill(disk)

        (result,) = measured(tmp_path, [suite], say, store)
        assert isinstance(result.error, StoreError)
        assert re.search(r"cannot write to .*night\.sqlite: .*full, and nor can .*spool", str(result.error))
        assert str(result.error).endswith("free some space, then --resume does what is left")
        assert store.runs() == []
        assert len(store.campaigns()) == 1
        store.close()
    assert list((device_workdir / "jobs").iterdir()) == []
