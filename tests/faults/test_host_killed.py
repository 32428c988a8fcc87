"""The host is killed: what was known is stored whole, the rest is measured later, and the device is cleaned up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness import lab
from harness.deploy import DeviceHandle, leased
from harness.deploy.owner import is_gone
from harness.leases import file as lease
from harness.model import Outcome
from harness.store import COLLECTED, DONE, Store
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
    # The baseline takes turns with what was left: its run of before is kept, and said to be superseded.
    (head,) = [outcome.run for outcome in known if "::base@" in outcome.case]
    assert [(one.run, one.by) for one in store.superseded().values()] == [
        (head, after[f"suites/{SUITE}.toml::base@far"].run)
    ]
    kept = {outcome.case: outcome.run for outcome in known if outcome.run != head}
    assert kept.items() <= {k: v.run for k, v in after.items()}.items()
    assert {outcome.run for outcome in after.values()} == {run.id for run in store.runs()}
    store.close()


@pytest.fixture
def far(own_server: Server, device_workdir: Path, tmp_path: Path) -> Path:
    """Give the workdir of a device behind a connection, on which a suite of two models is measured."""
    small.write_suite(tmp_path, "small", ("base", small.good), {"slower": small.slower})
    own_server.write_device(tmp_path, id="far", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    return device_workdir


def killed_while_measuring(folder: Path, workdir: Path) -> None:
    """Measure, and kill the host with all that is beside it, as a power cut does, as soon as the job is followed."""
    with subprocess.Popen(command(folder), cwd=folder, start_new_session=True) as process:
        try:
            assert soon(lambda: said_something(workdir) or process.poll() is not None, within_s=300)
            beside = psutil.Process(process.pid).children()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        for one in beside:
            one.kill()
    assert agents(workdir), "the job had ended: the test is void"


def said_something(workdir: Path) -> bool:
    """Return whether a job under a workdir is followed and has an event."""
    return followed(workdir) and any(one.stat().st_size for one in (workdir / "jobs").glob("*/events.jsonl"))


def test_a_job_that_ended_while_its_host_was_away_is_collected(far: Path, tmp_path: Path) -> None:
    killed_while_measuring(tmp_path, far)
    (job,) = (far / "jobs").iterdir()
    assert soon(lambda: not agents(far), within_s=200), "it goes on to its end without its host"
    assert b'"event": "done"' in (job / "events.jsonl").read_bytes()
    done = subprocess.run(command(tmp_path, "--resume"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "collecting the job that was begun" in done.stdout
    assert done.stdout.count("(taken over from ") == 2
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    (campaign,) = store.campaigns()
    (kept,) = store.jobs(campaign.id)
    assert (kept.name, kept.ended) == (job.name, COLLECTED)
    runs = store.runs()
    assert {run.case.variant for run in runs} == {"base", "slower"}
    assert all(run.started_at == kept.begun_at and run.notes["collected"] for run in runs)
    store.close()
    assert not list((far / "jobs").iterdir())
    page = max((tmp_path / "reports" / "html").glob("2*.html")).read_text()
    assert "Collected by --resume, for its host was away when it ended" in page


def test_a_job_that_went_on_without_its_host_and_was_cut_short_is_done_twice_which_the_page_says(
    far: Path, tmp_path: Path
) -> None:
    killed_while_measuring(tmp_path, far)
    for one in agents(far):
        one.kill()
    done = subprocess.run(command(tmp_path, "--resume"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is not collected: the agent ended before it was done" in done.stdout
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    (campaign,) = store.campaigns()
    assert [one.ended == DONE for one in store.jobs(campaign.id)] == [False, True]
    store.close()
    assert not list((far / "jobs").iterdir())
    page = max((tmp_path / "reports" / "html").glob("2*.html")).read_text()
    assert "Done twice: the job of " in page


def test_a_job_that_is_left_to_itself_is_ended_by_another_campaign(far: Path, tmp_path: Path) -> None:
    killed_while_measuring(tmp_path, far)
    with DeviceHandle(lab.select(tmp_path, ["far"])[0]) as handle, leased(handle):
        assert not agents(far)
        assert not list((far / "jobs").iterdir())


def test_a_device_whose_host_was_killed_with_what_cleans_up_ends_its_job_and_is_cleaned_by_the_next(
    tmp_path: Path, device_workdir: Path
) -> None:
    small.write_suite(tmp_path, "small", ("base", small.good), {"slower": small.slower}, confidential=True)
    small.write_device(tmp_path, "dut", workdir=device_workdir)
    pixels = small.samples()[0][7].tobytes()
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "--device", "dut"]
    with subprocess.Popen(words, cwd=tmp_path, start_new_session=True) as process:
        try:
            assert soon(lambda: followed(device_workdir) or process.poll() is not None, within_s=300)
            beside = psutil.Process(process.pid).children()
            own = [path for path in (device_workdir / "jobs").glob("*/*") if path.is_file()]
            images = [path for path in own if pixels in path.read_bytes()]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        for one in beside:
            one.kill()
    assert agents(device_workdir), "the job had not begun: the test is void"
    (secret,) = {path.parent for path in images}
    job = device_workdir / "jobs" / "0123456789ab"
    # What was killed as well, before it could remove itself.
    job.mkdir()
    (job / "pid").write_text("999999999\n")
    (job / "secret").write_text(f"{tmp_path}/image\n")
    (tmp_path / "image").write_text("a patient's")
    assert soon(lambda: not agents(device_workdir), within_s=120), "nobody follows it any more"
    assert soon(lambda: list((device_workdir / "jobs").iterdir()) == [job], within_s=30)
    with DeviceHandle(lab.select(tmp_path, ["dut"])[0]) as handle:
        holder = lease.holder(handle)
        assert holder is None or is_gone(holder)
        # Each that was removed without its host left word of that, until somebody takes it down.
        noted: list[str] = []
        handle.wiped = noted.append
        with leased(handle, wait=False):
            assert not job.exists()
        assert noted == [secret.name, job.name]
        assert not (device_workdir / "wiped").exists()
        assert not (tmp_path / "image").exists()


def agents(workdir: Path) -> list[psutil.Process]:
    """Return what runs for a job under a workdir."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        of_a_job = any(word.startswith(f"{workdir}/jobs/") for word in process.info["cmdline"] or [])
        if of_a_job and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def followed(workdir: Path) -> bool:
    """Return whether a job runs under a workdir and is followed."""
    verbs = [word for process in agents(workdir) for word in process.info["cmdline"]]
    return "run" in verbs and "follow" in verbs
