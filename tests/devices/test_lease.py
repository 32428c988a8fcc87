"""One measurer per device, held on the device itself; the same on this machine and over SSH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from harness import lab
from harness.deploy import DeviceHandle, leased
from harness.errors import Busy
from harness.leases import file as lease
from harness.model import Address, Device
from harness.ports import Owner

ADA = Owner("ada@clinic", 7, "noon")
GRACE = Owner("grace@lab")


@pytest.fixture(params=["local", "ssh"])
def handle(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DeviceHandle]:
    """Give this machine as a device, and the OpenSSH server, with a workdir of the test's own."""
    if request.param == "local":
        device = Device("here", "workstation", Address("local"))
    else:
        server: Server = request.getfixturevalue("openssh_server")
        (tmp_path / "lab" / "devices").mkdir(parents=True)
        (tmp_path / "lab" / "suites").mkdir()
        server.write_device(tmp_path / "lab")
        device = lab.select(tmp_path / "lab", ["all"])[0]
    with DeviceHandle(replace(device, workdir=str(tmp_path / "work"))) as opened:
        yield opened


def test_the_second_measurer_hears_who_the_first_is(handle: DeviceHandle) -> None:
    lease.take(handle, ADA)
    with pytest.raises(Busy, match=r"ada@clinic \(process 7, since noon\) is measuring on it; wait, or rem"):
        lease.take(handle, GRACE)
    assert lease.holder(handle) == ADA
    lease.free(handle)
    assert lease.holder(handle) is None
    lease.take(handle, GRACE)
    assert lease.holder(handle) == GRACE


def test_a_lease_whose_holder_is_gone_is_taken_over(handle: DeviceHandle, tmp_path: Path) -> None:
    root = tmp_path / "work"
    lease.take(handle, ADA)
    long_ago = time.time() - (lease.EXPIRY_MIN + 1) * 60
    os.utime(root / "lease" / "beat", (long_ago, long_ago))
    lease.take(handle, GRACE)
    assert lease.holder(handle) == GRACE
    assert [path.name for path in root.iterdir()] == ["lease"]


def test_a_lease_of_a_process_that_was_killed_is_taken_at_once(handle: DeviceHandle, tmp_path: Path) -> None:
    script = f"""
import os
from harness.deploy import DeviceHandle, leased
from harness.model import Address, Device
with leased(DeviceHandle(Device("here", "workstation", Address("local"), workdir={str(tmp_path / "work")!r}))):
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "work" / "lease").exists()
    said: list[str] = []
    handle.say = said.append
    with leased(handle):
        assert str(os.getpid()) in (tmp_path / "work" / "lease" / "owner").read_text()
    assert said == []
    assert not (tmp_path / "work" / "lease").exists()


def test_a_lease_written_by_hand_names_the_owner_it_says(handle: DeviceHandle, tmp_path: Path) -> None:
    lease.take(handle, ADA)
    (tmp_path / "work" / "lease" / "owner").write_text("ada (bench 3)")
    assert lease.holder(handle) == Owner("ada (bench 3)")


def test_a_measurer_waits_for_the_one_before(handle: DeviceHandle) -> None:
    said: list[str] = []

    def free_it(text: str) -> None:
        said.append(text)
        lease.free(handle)

    handle.say = free_it
    lease.take(handle, ADA)
    with leased(handle):
        assert "ada@clinic (process 7, since noon) is measuring on it" in said[0]


def test_a_connection_that_dies_before_the_end_does_not_leave_the_device_held(own_server: Server) -> None:
    with DeviceHandle(own_server.device()) as handle, leased(handle):
        assert (own_server.workdir / "lease" / "owner").exists()
        own_server.signal_sessions(signal.SIGKILL)
    assert not (own_server.workdir / "lease").exists()


def test_an_interrupt_while_the_device_is_let_go_does_not_leave_it_held(own_server: Server) -> None:
    for _ in range(5):
        with DeviceHandle(own_server.device()) as handle, leased(handle):
            threading.Timer(0.01, handle.interrupt).start()
        assert not (own_server.workdir / "lease").exists()
