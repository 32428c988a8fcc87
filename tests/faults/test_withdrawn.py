"""A user who is refused while a job runs: said at once with the remedy, and the job left behind is ended."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devices.virtual.openssh import Server
from devices.virtual.phone import Phone
from devices.virtual.waiting import soon
from harness.errors import Refused
from harness.store import Store
from harness.transports import adb
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")


def begun(lab: Path, *more: str) -> subprocess.Popen[str]:
    """Start a quick campaign in a process of its own."""
    command = [sys.executable, "-m", "pytest", "suites", "--device", "all", "--quick", "-p", "no:cacheprovider", *more]
    return subprocess.Popen(command, cwd=lab, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_key_withdrawn_while_a_job_runs_is_told_at_once_and_the_job_is_ended_by_the_next_campaign(
    own_server: Server, device_workdir: Path, tmp_path: Path
) -> None:
    small.write_suite(tmp_path, "withdrawn", ("good", small.good))
    own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    allowed = own_server.folder / "authorized_keys"
    keys = allowed.read_text()
    with begun(tmp_path) as campaign:
        assert soon(
            lambda: [f for f in device_workdir.glob("jobs/*/events.jsonl") if "cold" in f.read_text()], within_s=90
        )
        (job,) = (file.parent for file in device_workdir.glob("jobs/*/pid"))
        conductor = psutil.Process(int((job / "pid").read_text()))
        conductor.suspend()  # it is still there when the next campaign comes
        allowed.write_text("")
        own_server.signal_sessions(signal.SIGKILL)
        said, _ = campaign.communicate(timeout=300)
    shown = " ".join(said.replace("\nE   ", "").split())
    assert campaign.returncode == 1
    assert f"lets {own_server.user} in with none of the keys tried" in shown
    assert "Add one to its ~/.ssh/authorized_keys there (ssh-copy-id)" in shown
    assert f"its job may still run there, in {job}: the next campaign ends it" in shown
    assert shown.count("connection lost") == 1, "it was tried again"
    allowed.write_text(keys)
    with begun(tmp_path, "--resume") as again:
        said, _ = again.communicate(timeout=300)
    assert f"ending {job}, which an earlier campaign had to leave running" in said
    assert "1 passed" in said
    assert not conductor.is_running()
    store = Store(f"sqlite:///{tmp_path}/reports/results.sqlite")
    assert [run.case.variant for run in store.runs()] == ["good"]
    assert len(store.campaigns()) == 1
    store.close()


def test_an_authorisation_withdrawn_while_a_phone_measures_is_told_at_once(asking_phone: Phone, tmp_path: Path) -> None:
    user = asking_phone.gate
    assert user is not None
    allow(asking_phone)
    suite = small.write_suite(tmp_path, "withdrawn", ("good", small.good))
    asking_phone.write_device(tmp_path, id="pixel", runtimes=[small.ONNXRUNTIME])
    night = Night(tmp_path)
    withdrawn: list[str] = []

    def when(text: str) -> None:
        if text.startswith("cold pass 1") and not withdrawn:
            withdrawn.append(text)
            user.withdraw()

    results = night.measure([suite], when)
    error = results["good"].error
    print(f"\n{error}")
    assert type(error) is Refused
    assert "has not authorised this computer; unlock it and allow USB debugging" in str(error)
    assert "its job may still run there, in /data/local/tmp/edgeward/jobs/" in str(error)
    assert night.store.runs() == []
    assert len([text for text in night.said if "connection lost" in text]) <= 1, "it was tried again"


def allow(phone: Phone) -> None:
    """Let this computer in, as the phone's user does."""
    assert phone.gate is not None
    try:
        adb.connect(phone.device(), timeout_s=30).close()
    except Refused:
        phone.gate.authorise()
    assert soon(lambda: connects(phone))


def connects(phone: Phone) -> bool:
    try:
        adb.connect(phone.device(), timeout_s=30).close()
    except Refused:
        return False
    return True
