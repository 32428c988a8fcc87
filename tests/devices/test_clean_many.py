"""A device whose disk has grown full is cleaned in a constant number of round trips, whatever carries them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import pytest

from devices.virtual import far, fleet, unit
from devices.virtual.openssh import Server
from devices.virtual.phone import Phone
from devices.virtual.requirements import require
from harness.deploy import DeviceHandle, files
from harness.deploy.cleanup import ROOMS, clean
from harness.errors import DeviceError, Unsupported
from harness.model import Address, Device
from harness.ports.transports import Completed


class Counting(DeviceHandle):
    """A handle that counts the commands it sends."""

    sent = 0

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Count, and do as any handle does."""
        self.sent += 1
        return super().run(argv, timeout_s=timeout_s, stdin=stdin)


def grown(workdir: Path, count: int) -> None:
    """Let a workdir, as this host sees it, have so many blobs with names as the harness gives them."""
    for room in ROOMS:
        (workdir / room).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (workdir / "blobs" / f"{number:064x}").write_bytes(b"x" * 1000)
    folder = workdir / "runtimes" / "0123456789abcdef" / "package"
    folder.mkdir(parents=True)
    (folder / "module.py").write_text("x = 1\n")


def left(workdir: Path) -> int:
    """Return how many entries a workdir has."""
    return sum(1 for room in ROOMS for _ in (workdir / room).iterdir())


def cleaned(device: Device) -> tuple[int, int, float]:
    """Return how many entries were removed, with how many commands, and how long that took; s."""
    with Counting(device) as handle:
        assert handle.root
        handle.sent, started = 0, time.monotonic()
        freed = clean(handle, unused_days=0)
        assert freed.size_bytes > 0
        return len(freed.entries), handle.sent, time.monotonic() - started


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[unit.Unit]:
    require(*unit.NEEDS)
    with unit.unit(tmp_path_factory.mktemp("closed") / "unit") as running:
        yield running


@pytest.mark.parametrize("count", [1, 110, 1500])
def test_openssh_is_cleaned_by_one_command_whatever_lies_there(own_server: Server, count: int) -> None:
    grown(own_server.workdir, count)
    assert cleaned(own_server.device())[:2] == (count + 1, 1)
    assert left(own_server.workdir) == 0


@pytest.mark.parametrize("count", [110, 1500])
def test_dropbear_is_cleaned_by_one_command_whatever_lies_there(closed: unit.Unit, count: int) -> None:
    grown(closed.workdir, count)
    assert cleaned(closed.device())[:2] == (count + 1, 1)
    assert left(closed.workdir) == 0


def test_a_phone_is_cleaned_by_one_command_whatever_lies_there(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path
) -> None:
    with start_phone(tmp_path / "phone") as running, Counting(running.device()) as handle:
        made = 'mkdir -p "$1/blobs" && cd "$1/blobs" && for i in $(seq 1500); do echo x > "$i"; done'
        assert handle.run(["sh", "-c", made, "sh", handle.root]).code == 0
        handle.sent = 0
        assert len(clean(handle, unused_days=0).entries) == 1500
        assert handle.sent == 1
        assert handle.run(["ls", f"{handle.root}/blobs"]).text == ""


def test_over_a_long_link_cleaning_takes_as_many_round_trips_as_for_one(tmp_path: Path) -> None:
    require(*fleet.NEEDS, *far.NEEDS)
    with (
        fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,),
        far.far(host.machine, round_trip_s=0.05) as wire,
    ):
        server, sent = host.at(wire.address), {}
        for count in (1, 1500):
            grown(server.workdir, count)
            removed, sent[count], seconds = cleaned(server.device())
            assert removed == count + 1
            print(f"\nclean of {removed} entries over 50 ms: {sent[count]} command(s), {seconds:.2f} s")
        assert sent == {1: 1, 1500: 1}


@pytest.mark.parametrize("count", [1, 1500])
def test_many_entries_are_touched_and_removed_by_one_command_each(closed: unit.Unit, count: int) -> None:
    (closed.workdir / "blobs").mkdir(exist_ok=True)
    entries = [closed.workdir / "blobs" / f"{number:064x}" for number in range(count)]
    for entry in entries:
        entry.write_bytes(b"x")
    with Counting(closed.device()) as handle:
        paths = [f"{handle.root}/blobs/{entry.name}" for entry in entries]
        handle.sent = 0
        files.touch(handle, f"{handle.root}/jobs/one", [*paths, ""])
        files.remove(handle, paths)
        assert handle.sent == 2
    assert not any(entry.exists() for entry in entries)


def test_an_entry_that_cannot_be_removed_is_named_and_counted(own_server: Server, tmp_path: Path) -> None:
    for room in ROOMS:
        (tmp_path / "work" / room).mkdir(parents=True)
    (tmp_path / "work/blobs/one").write_text("x")
    busy = tmp_path / "work/blobs/two"
    busy.mkdir()
    with DeviceHandle(own_server.device(workdir=tmp_path / "work")) as handle:
        assert handle.run(["mount", "-t", "tmpfs", "none", str(busy)]).code == 0
        try:
            with pytest.raises(DeviceError, match=r"1 of 2 entries could not be removed: .*two.*; remove them by hand"):
                clean(handle, unused_days=0)
            with pytest.raises(DeviceError, match=r"two could not be removed from the device \(.*\); remove it by"):
                files.remove(handle, [str(busy)])
        finally:
            assert handle.run(["umount", str(busy)]).code == 0


@pytest.mark.parametrize(("kind", "longest"), [("openssh", 131_071), ("dropbear", 9000)])
def test_a_line_that_is_too_long_is_refused_by_name_and_one_that_is_not_arrives(
    own_server: Server, closed: unit.Unit, kind: str, longest: int
) -> None:
    device = own_server.device() if kind == "openssh" else closed.device()
    with DeviceHandle(device) as handle:
        most = longest - 100
        assert len(handle.run(["echo", "x" * most]).text) == most
        with pytest.raises(Unsupported, match=rf"command line of `echo` has \d+ bytes, ssh takes {longest} there"):
            handle.run(["echo", "x" * longest])
        assert handle.run(["echo", "still there"]).text == "still there"


def test_a_line_that_is_too_long_for_this_machine_is_refused_by_name(tmp_path: Path) -> None:
    with (
        DeviceHandle(Device("here", "workstation", Address("local"), workdir=str(tmp_path))) as handle,
        pytest.raises(Unsupported, match=r"here: the command line of `echo` has \d+ bytes, more than this"),
    ):
        handle.run(["echo", "x" * (1 << 18)])
