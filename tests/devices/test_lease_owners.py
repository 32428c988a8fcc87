"""Leases of owners that were killed elsewhere, and of owners that were only out of reach for a while."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from devices.virtual.requirements import require
from devices.virtual.waiting import soon
from harness.deploy import DeviceHandle, lease, leased
from harness.deploy.owner import is_gone, this_process
from harness.errors import Busy, Stopped
from harness.leases import file
from harness.model import Address, Device
from harness.ports.leases import Owner

GRACE = Owner("grace@lab")

#: Holds a device until it is killed.
_HOLDS = """
import sys, time
from harness.deploy import DeviceHandle, leased
from harness.model import Address, Device
device = Device("here", "workstation", Address("local"), workdir=sys.argv[1], lease_options={"place": sys.argv[2]})
with leased(DeviceHandle(device)):
    print("held", flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give the folder in which it is noted who measures."""
    return tmp_path / "leases"


@pytest.fixture
def here(tmp_path: Path, place: Path) -> Iterator[DeviceHandle]:
    """Give this machine as a device."""
    device = Device("here", "workstation", Address("local"), workdir=str(tmp_path / "work"))
    with DeviceHandle(replace(device, lease_options={"place": str(place)})) as opened:
        yield opened


@contextlib.contextmanager
def in_another_container(tmp_path: Path, place: Path) -> Iterator[subprocess.Popen[str]]:
    """Let a process hold this machine that has this host's name, and a network and process numbers of its own."""
    command = ["unshare", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"]
    command += [sys.executable, "-c", _HOLDS, str(tmp_path / "work"), str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def age_beat(place: Path, seconds: int) -> Path:
    """Let the last beat be so old, and return its file."""
    (beat,) = place.glob("edgeward.beat.*")
    boot_id, up = beat.read_text().split()
    beat.write_text(f"{boot_id} {int(up) - seconds}\n")
    return beat


def test_a_lease_of_a_host_that_was_killed_elsewhere_ends_with_its_beats(
    here: DeviceHandle, tmp_path: Path, place: Path
) -> None:
    require("root", "package:util-linux=unshare")
    with in_another_container(tmp_path, place) as process:
        process.kill()
    holder = file.holder(here)
    assert holder is not None
    assert holder.who.endswith(f"@{socket.gethostname()}")
    # Another process has its number here: nobody but the beat can tell that it is dead.
    assert not is_gone(holder)
    with pytest.raises(Busy, match=f"@{socket.gethostname()} .* is measuring on it; wait: a lease ends by itself 60 s"):
        file.take(here, this_process())
    age_beat(place, file.EXPIRY_S + 1)
    assert file.take(here, this_process()).before == holder


def far_device(server: Server, place: Path) -> Device:
    return replace(server.device(), lease_options={"place": str(place)})


def test_a_connection_that_is_cut_while_its_host_is_busy_elsewhere_does_not_end_the_lease(
    own_server: Server, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 0.1)
    with DeviceHandle(far_device(own_server, place)) as far, leased(far) as held:
        own_server.signal_sessions(signal.SIGKILL)
        beat = age_beat(place, file.EXPIRY_S - 10)
        old = beat.read_text()
        # The host, which reads a data set for minutes, say, sends nothing over the connection that is dead.
        assert soon(lambda: beat.read_text() not in ("", old), within_s=60)
        with DeviceHandle(far_device(own_server, place)) as other:
            assert file.holder(other) == held.owner


def test_a_device_that_passed_to_another_while_it_was_out_of_reach_is_given_up(
    own_server: Server, here: DeviceHandle, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_BEAT_S", 3600.0)
    with DeviceHandle(far_device(own_server, place)) as far, leased(far) as held:
        own_server.signal_sessions(signal.SIGKILL)
        age_beat(place, file.EXPIRY_S + 1)
        assert file.take(here, GRACE).before == held.owner
        with pytest.raises(Busy, match="grace@lab is measuring on it"):
            far.run(["true"])
    assert file.holder(here) == GRACE


def test_an_interrupt_while_the_device_is_taken_does_not_leave_it_held(own_server: Server, place: Path) -> None:
    device = far_device(own_server, place)
    for delay_s in (0.0, 0.01, 0.03, 0.06, 0.1):
        with DeviceHandle(device) as far:
            threading.Timer(delay_s, far.interrupt).start()
            with contextlib.suppress(Stopped), leased(far):
                far.run(["true"])
        with DeviceHandle(device) as other:
            assert file.holder(other) is None


def test_an_interrupted_step_blames_no_cable(own_server: Server) -> None:
    with DeviceHandle(own_server.device()) as far:
        far.run(["true"])
        far.interrupt()
        with pytest.raises(Stopped, match=r"^openssh: interrupted; --resume does what is left$"):
            far.run(["true"])
        with pytest.raises(Stopped):
            list(far.stream(["true"], silence_s=10))
        with far.cleaning():
            assert far.run(["true"]).code == 0
