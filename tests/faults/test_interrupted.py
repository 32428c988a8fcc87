"""A campaign that its user ends at an awkward moment ends then, and accuses nobody."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from devices.virtual.phone import Phone
from devices.virtual.waiting import soon
from harness import lab
from harness.deploy import DeviceHandle, files
from harness.leases import file as lease
from harness.measure.campaign import CampaignRunner, Settings
from harness.store import Store
from tests import small_models as small


@pytest.mark.parametrize("moment", ["connecting to", "host reference of", "bringing"])
def test_a_campaign_that_is_ended_before_its_job_runs_says_only_that(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr("harness.measure.reference.cache_dir", lambda: tmp_path / "cache")
    suite = small.write_suite(tmp_path, "small", ("good", small.good))
    small.write_device(tmp_path, "here", workdir=device_workdir)
    devices = lab.select(tmp_path, ["here"])
    (case,) = lab.cases(lab.read_suite(suite), devices)
    began, ended = threading.Event(), threading.Event()
    said: list[str] = []

    def say(device: str, text: str) -> None:
        said.append(f"{device}: {text}")
        if text.startswith(moment):
            began.set()
            # Goes on when the campaign has noticed that it shall end, and not before.
            assert ended.wait(60)

    campaign = CampaignRunner(
        [case], Store(f"sqlite:///{tmp_path}/results.sqlite"), Settings(command="pytest", say=say, quick=True)
    )
    assert began.wait(60)
    stopping = threading.Thread(target=campaign.stop)
    stopping.start()
    assert soon(campaign._stopping.is_set, within_s=60)
    ended.set()
    stopping.join()
    result = campaign.future(case).result(60)
    assert result.outcome.message == "here: interrupted; --resume does what is left"
    assert not any("pass" in line for line in said), "nothing was measured any more"
    with DeviceHandle(devices[0]) as handle:
        assert lease.holder(handle) is None


#: sh -c LATE sh FOLDER: what was sent before its connection was closed, and comes after the folder was removed.
LATE = 'while [ -e "$1" ]; do :; done; mkdir -p "$1" && echo {} > "$1/job.json"'


@pytest.mark.parametrize("kind", ["ssh", "adb"])
def test_a_command_that_comes_late_does_not_make_the_folder_of_an_ended_job_again(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server | Phone = request.getfixturevalue("openssh_server" if kind == "ssh" else "android")
    with DeviceHandle(server.device()) as handle:
        folder = f"{handle.root}/jobs/0123456789ab"
        handle.run(["mkdir", "-p", folder])
        handle.run(["sh", "-c", 'sh -c "$0" sh "$1" < /dev/null > /dev/null 2>&1 &', LATE, folder])
        with handle.cleaning():
            files.remove(handle, [folder])
        assert handle.run(["test", "-e", folder]).code == 1
