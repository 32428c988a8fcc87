"""Whole suites on a phone without Python, while its adbd dies; and what must never go over adb at all."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from devices.virtual.phone import Phone
from devices.virtual.waiting import soon
from harness import lab
from harness.errors import Unsupported
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.model import Validity
from harness.store import Store
from harness.transports import adb
from tests import small_models as small


class Night:
    """One campaign of a suite on a phone; `disturb` is given the phone when the measuring itself begins."""

    def __init__(self, phone: Phone, folder: Path) -> None:
        self.phone = phone
        self.store = Store(f"sqlite:///{folder}/results.sqlite")
        self.said: list[str] = []
        self.folder = folder

    def measure(self, suite: Path, *, disturbed: bool = False) -> list[Result]:
        """Measure all of a suite's cases; adbd dies at each pass if it is to be disturbed."""

        def say(device: str, text: str) -> None:
            self.said.append(f"{device}: {text}")
            if disturbed and text.startswith(("cold pass 1", "timed pass: launch 1")):
                self.phone.signal_adbd(signal.SIGKILL)

        cases = lab.cases(lab.read_suite(suite), lab.select(self.folder, ["all"]))
        campaign = CampaignRunner(cases, self.store, Settings(command="pytest", say=say, quick=True))
        try:
            return [campaign.future(case).result(180) for case in cases]
        finally:
            campaign.stop()


@pytest.fixture
def night(own_phone: Phone, tmp_path: Path) -> Night:
    own_phone.write_device(tmp_path, id="pixel", runtimes=[small.ONNXRUNTIME])
    return Night(own_phone, tmp_path)


def test_adbd_killed_while_a_suite_is_measured_costs_no_result(night: Night, tmp_path: Path) -> None:
    suite = small.write_suite(tmp_path, "phantom", ("good", small.good), {"slower": small.slower})
    results = night.measure(suite, disturbed=True)
    lost = [text for text in night.said if "connection lost" in text]
    assert len(lost) >= 1, "adbd was not killed: the test is void"
    assert [result.error for result in results] == [None, None]
    runs = night.store.runs()
    assert len(runs) == 2
    assert all(run.validity is not Validity.INVALID for run in runs)
    assert soon(lambda: not list((night.phone.workdir / "jobs").iterdir())), "a job was left on the phone"


def test_a_confidential_suite_is_refused_before_anything_is_pushed(night: Night, tmp_path: Path) -> None:
    suite = small.write_suite(tmp_path, "secret", ("good", small.good), confidential=True)
    (result,) = night.measure(suite)
    assert isinstance(result.error, Unsupported)
    assert "secret is confidential and adb:// is not encrypted; use ssh://" in str(result.error)
    assert night.store.runs() == []
    connection = adb.connect(night.phone.device())
    assert connection.run(["ls", "-A", f"{night.phone.device().workdir}/blobs"]).out == b""
    connection.close()
