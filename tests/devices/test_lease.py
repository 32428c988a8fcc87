"""One measurer per device, noted on the device itself; the same on this machine and over SSH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness import lab
from harness.deploy import DeviceHandle, leased
from harness.deploy.owner import is_gone, this_process
from harness.errors import Busy, Refused
from harness.leases import file as lease
from harness.model import Address, Device
from harness.ports.leases import Owner

ADA = Owner("ada@clinic", 7, "noon")
GRACE = Owner("grace@lab")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give the folder of the device in which it is noted who measures."""
    return tmp_path / "leases"


@pytest.fixture(params=["local", "ssh"])
def handle(request: pytest.FixtureRequest, tmp_path: Path, place: Path) -> Iterator[DeviceHandle]:
    """Give this machine as a device, and the OpenSSH server, with a workdir and a place of the test's own."""
    if request.param == "local":
        device = Device("here", "workstation", Address("local"))
    else:
        server: Server = request.getfixturevalue("openssh_server")
        (tmp_path / "lab" / "devices").mkdir(parents=True)
        (tmp_path / "lab" / "suites").mkdir()
        server.write_device(tmp_path / "lab")
        device = lab.select(tmp_path / "lab", ["all"])[0]
    options = {"place": str(place)}
    with DeviceHandle(replace(device, workdir=str(tmp_path / "work"), lease_options=options)) as opened:
        yield opened


def beat_of(place: Path) -> Path:
    (found,) = place.glob("edgeward.beat.*")
    return found


def uptime() -> int:
    return int(Path("/proc/uptime").read_text().split(".")[0])


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_second_measurer_hears_who_the_first_is(handle: DeviceHandle) -> None:
    lease.take(handle, ADA)
    with pytest.raises(Busy, match=r"ada@clinic \(process 7, since noon\) is measuring on it; wait: a lease ends by "):
        lease.take(handle, GRACE)
    assert lease.holder(handle) == ADA
    lease.free(handle, ADA)
    assert lease.holder(handle) is None
    lease.take(handle, GRACE)
    assert lease.holder(handle) == GRACE


def test_only_the_owner_of_a_lease_frees_it(handle: DeviceHandle) -> None:
    lease.take(handle, ADA)
    lease.free(handle, GRACE)
    assert lease.holder(handle) == ADA


def test_a_lease_that_is_taken_once_more_by_its_owner_stays_its_own(handle: DeviceHandle) -> None:
    lease.take(handle, ADA)
    assert lease.take(handle, ADA).before is None
    assert lease.holder(handle) == ADA


@pytest.mark.parametrize(
    "beat",
    [
        pytest.param(f"{boot_id()} {uptime() - lease.EXPIRY_S - 5}", id="old"),
        pytest.param(f"{boot_id()} {uptime() + 100_000}", id="of the future"),
        pytest.param(f"00000000-0000-0000-0000-000000000000 {uptime()}", id="of another boot"),
    ],
)
def test_a_lease_whose_owner_is_gone_is_taken_over_and_its_name_is_kept(
    handle: DeviceHandle, place: Path, beat: str
) -> None:
    lease.take(handle, ADA)
    beat_of(place).write_text(beat + "\n")
    assert lease.holder(handle) is None
    assert lease.take(handle, GRACE).before == ADA
    assert lease.holder(handle) == GRACE
    # The one before comes back, and does not harm the one who measures now.
    lease.free(handle, ADA)
    assert lease.holder(handle) == GRACE
    with pytest.raises(Busy, match="grace@lab is measuring"):
        lease.take(handle, ADA)


def test_a_beat_that_is_young_keeps_the_lease_however_the_clock_is_set(handle: DeviceHandle, place: Path) -> None:
    lease.take(handle, ADA)
    beat = beat_of(place)
    beat.write_text(f"{boot_id()} {uptime() - lease.EXPIRY_S + 20}\n")
    os.utime(beat, (0, 0))
    assert lease.holder(handle) == ADA


def test_two_device_files_with_different_workdirs_exclude_one_another(handle: DeviceHandle, tmp_path: Path) -> None:
    other = replace(handle.device, id="other", workdir=str(tmp_path / "elsewhere"))
    lease.take(handle, ADA)
    with DeviceHandle(other) as second, pytest.raises(Busy, match="ada@clinic"):
        lease.take(second, GRACE)


def test_of_many_takers_one_wins_and_one_takes_over(handle: DeviceHandle, place: Path) -> None:
    for turn in range(4):
        owners = [Owner(f"taker {number}", since=str(turn)) for number in range(3)]
        won: list[Owner] = []

        def take(owner: Owner, won: list[Owner] = won) -> None:
            try:
                lease.take(handle, owner)
            except Busy:
                return
            won.append(owner)

        threads = [threading.Thread(target=take, args=(owner,)) for owner in owners]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert lease.holder(handle) == won[0]
        # The next turn takes it over from one who is gone.
        beat_of(place).write_text(f"{boot_id()} 0\n")


def test_a_place_that_cannot_be_written_is_refused_with_its_name(handle: DeviceHandle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file" / "leases")
    with DeviceHandle(replace(handle.device, lease_options={"place": place})) as blocked:
        with pytest.raises(Refused, match=rf"who measures cannot be noted in {place} on the device; .*\[file\] place"):
            lease.take(blocked, ADA)
        assert lease.holder(blocked) is None


def test_a_lease_of_a_process_that_was_killed_is_taken_at_once(
    handle: DeviceHandle, place: Path, tmp_path: Path
) -> None:
    process = killed_holder(tmp_path, place, keeper="os.kill(keeper._process.pid, 9)")
    assert process == -9
    holder = lease.holder(handle)
    assert holder is not None
    assert is_gone(holder)
    said: list[str] = []
    handle.say = said.append
    with leased(handle):
        taken = lease.holder(handle)
        assert taken is not None
        assert taken.process == os.getpid()
    assert said == []
    assert lease.holder(handle) is None


def test_the_device_of_a_process_that_was_killed_is_cleaned_up_by_itself(
    handle: DeviceHandle, place: Path, tmp_path: Path
) -> None:
    job = tmp_path / "work" / "jobs" / "0123456789ab"
    job.mkdir(parents=True)
    secret = tmp_path / "work" / "blobs" / "image"
    secret.parent.mkdir()
    secret.write_text("a patient's")
    script = f"Path({str(job)!r}).mkdir(); Path({str(job / 'secret')!r}).write_text({str(secret)!r} + chr(10))"
    assert killed_holder(tmp_path, place, keeper=script) == -9
    assert soon(lambda: not job.exists() and lease.holder(handle) is None, within_s=30)
    assert not secret.exists()


def killed_holder(tmp_path: Path, place: Path, *, keeper: str) -> int:
    """Let another process hold the device and be killed, after it has run the statement `keeper`; return its code."""
    script = f"""
import os
from pathlib import Path
from harness.deploy import DeviceHandle, keeper, leased
from harness.model import Address, Device
device = Device("here", "workstation", Address("local"), workdir={str(tmp_path / "work")!r},
                lease_options={{"place": {str(place)!r}}})
with leased(DeviceHandle(device)):
    {keeper}
    os.kill(os.getpid(), 9)
"""
    return subprocess.run([sys.executable, "-c", script], check=False).returncode


def test_an_owner_is_gone_only_if_it_was_a_process_of_this_host_and_namespace() -> None:
    own = this_process()
    assert not is_gone(own)
    assert is_gone(replace(own, started="1"))
    assert not is_gone(replace(own, started="1", namespace="pid:[1]")), "another container with this host's name"
    assert not is_gone(replace(own, started="1", boot_id="another"))
    assert not is_gone(ADA)


def test_a_process_that_is_dead_and_not_buried_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = replace(this_process(), process=child.pid, started=started(child.pid))
    assert not is_gone(owner)
    child.kill()
    assert soon(lambda: is_gone(owner))
    child.wait()


def started(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]


def test_an_owner_survives_writing_and_reading() -> None:
    own = this_process("/a \\n'\"b")
    assert Owner.read(own.line()) == own
    assert Owner.read("ada (bench 3)") == Owner("ada (bench 3)")


def test_a_measurer_waits_for_the_one_before(handle: DeviceHandle) -> None:
    said: list[str] = []

    def free_it(text: str) -> None:
        said.append(text)
        lease.free(handle, ADA)

    handle.say = free_it
    lease.take(handle, ADA)
    with leased(handle):
        assert "ada@clinic (process 7, since noon) is measuring on it" in said[0]


def test_a_connection_that_dies_before_the_end_does_not_leave_the_device_held(own_server: Server) -> None:
    with DeviceHandle(own_server.device()) as handle, leased(handle):
        assert lease.holder(handle) is not None
        own_server.signal_sessions(signal.SIGKILL)
    with DeviceHandle(own_server.device()) as handle:
        assert lease.holder(handle) is None


def test_an_interrupt_while_the_device_is_let_go_does_not_leave_it_held(own_server: Server) -> None:
    for _ in range(5):
        with DeviceHandle(own_server.device()) as handle, leased(handle):
            threading.Timer(0.01, handle.interrupt).start()
        with DeviceHandle(own_server.device()) as handle:
            assert lease.holder(handle) is None
