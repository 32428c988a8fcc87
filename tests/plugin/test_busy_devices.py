"""A device on which somebody else measures, and devices that take turns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.deploy import DeviceHandle, leased
from harness.lab import select
from harness.store import Store
from tests.labs import device_toml, make, run_pytest


@pytest.fixture
def lab(tmp_path: Path, device_workdir: Path) -> Path:
    """Make a lab of two devices."""
    folder = make(tmp_path)
    make(tmp_path, name="second")
    (folder / "devices" / "here.toml").unlink()
    for name in ("free", "held"):
        # One machine stands in for two, so each has a place of its own to note who measures.
        more = f'[file]\nplace = "{folder / f"leases-{name}"}"\n'
        text = device_toml(workdir=device_workdir / name, more=more)
        (folder / "devices" / f"{name}.toml").write_text(text)
    return folder


def test_a_busy_device_is_waited_for_once_a_campaign_while_others_go_on_though_one_at_a_time(lab: Path) -> None:
    with DeviceHandle(select(lab, ["held"])[0]) as handle, leased(handle) as lease:
        options = ["--device", "held", "--device", "free", "--quick", "--wait=7s", "--devices-at-once=1"]
        done = run_pytest(lab, "suites", *options)
        owner = lease.owner
    assert "2 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    # It says who and since when.
    assert (
        f"held: waiting: {owner.who} (process {owner.process}, since {owner.since}) is measuring on it" in done.stdout
    )
    assert (
        len(re.findall(r"measuring on it; it was waited for [0-9.]+ s in all; allow more: --wait 2h", done.stdout)) >= 2
    )
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    ended = {one.case: one.status for one in store.outcomes(store.campaigns()[0].id)}
    store.close()
    assert ended == {
        f"suites/{suite}.toml::base@{device}": {"held": "error", "free": "passed"}[device]
        for suite in ("small", "second")
        for device in ("held", "free")
    }


def test_devices_are_measured_on_one_at_a_time_if_asked_for(lab: Path) -> None:
    done = run_pytest(lab, "suites/small.toml", "--device", "all", "--quick", "--devices-at-once=1")
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    seen = re.findall(r"^(?:  )?(?:base@)?(free|held)(?:: connecting| passed)", done.stdout, re.MULTILINE)
    assert seen in (["free", "free", "held", "held"], ["held", "held", "free", "free"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--wait=soon", "'soon' is no time: write 90s, 30m or 2h"),
        ("--devices-at-once=-1", "'-1' is no number of devices"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, option: str, said: str) -> None:
    done = run_pytest(make(tmp_path), "suites", "--device", "here", option)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
    assert "Traceback" not in done.stderr
