"""Linux hosts with networks of their own, and what can be done to the way to them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from devices.virtual import fleet, memory_limit, shaping
from devices.virtual.fleet import Host
from devices.virtual.openssh import alive
from devices.virtual.requirements import give_up, program, require
from devices.virtual.waiting import soon
from harness.errors import TimedOut, Unreachable
from harness.transports import ssh


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    require(*fleet.NEEDS)
    with fleet.fleet(tmp_path_factory.mktemp("fleet") / "hosts", ["h1", "h2", "h3"]) as running:
        yield running


def push(host: Host, size: int, folder: Path) -> None:
    """Bring a file of random bytes to a host."""
    (folder / "file").write_bytes(os.urandom(size))
    connection = ssh.connect(host.server.device())
    connection.push(folder / "file", str(host.server.workdir / "file"))
    connection.close()


def queue(host: Host) -> dict[str, Any]:
    """Return what the kernel says of the queue towards a host: its kind, its settings and its counts."""
    command = [program("tc") or "tc", "-s", "-j", "qdisc", "show", "dev", host.cable.interface]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return dict(found)


def test_hosts_have_names_keys_addresses_and_processes_of_their_own(hosts: list[Host]) -> None:
    def answer(host: Host) -> tuple[str, str, int]:
        connection = ssh.connect(host.server.device())
        name = connection.run(["cat", "/proc/sys/kernel/hostname"]).text
        seen = connection.run(["sh", "-c", "cd /proc; echo [0-9]*"]).text.split()
        connection.close()
        return name, host.server.host_key, len(seen)

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(answer, hosts))
    assert [name for name, _, _ in answers] == ["h1", "h2", "h3"]
    assert len({key for _, key, _ in answers}) == 3
    assert all(count < 12 for _, _, count in answers)
    assert len({host.server.host for host in hosts}) == 3


def test_a_fleet_leaves_nothing_behind(tmp_path: Path) -> None:
    require(*fleet.NEEDS)
    with fleet.fleet(tmp_path / "hosts", ["h1", "h2"]) as running:
        everyone = [process.pid for host in running for process in host.machine.processes()]
        wires = [Path("/sys/class/net") / host.cable.interface for host in running]
        assert len(everyone) >= 4
        assert all(wire.exists() for wire in wires)
    assert not any(alive(pid) for pid in everyone)
    assert soon(lambda: not any(wire.exists() for wire in wires))


def test_a_slow_cable_lets_through_what_it_says(hosts: list[Host], tmp_path: Path) -> None:
    require(*shaping.NEEDS)
    with shaping.slow(hosts[0].cable, bytes_per_s=1e6):
        push(hosts[0], 2_000_000, tmp_path)
        slow = queue(hosts[0])
    assert (slow["kind"], slow["options"]["rate"]) == ("tbf", 1_000_000)
    assert slow["bytes"] > 2_000_000
    assert slow["overlimits"] > 100, "packets had to wait for their turn"
    assert queue(hosts[0])["kind"] != "tbf"


def test_over_a_lossy_cable_everything_arrives_whole(hosts: list[Host], tmp_path: Path) -> None:
    require(*shaping.NEEDS)
    with shaping.lossy(hosts[0].cable, ratio=0.03):
        push(hosts[0], 1_000_000, tmp_path)
    assert (hosts[0].server.workdir / "file").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_loud_cut_is_heard_at_once_and_a_silent_one_at_the_deadline(hosts: list[Host]) -> None:
    require(*shaping.NEEDS)
    connection = ssh.connect(hosts[1].server.device(stall_s=1))
    with shaping.refused(hosts[1].cable), pytest.raises(Unreachable, match="was lost during `true`"):
        connection.run(["true"], timeout_s=3600)
    again = ssh.connect(hosts[1].server.device(stall_s=1))
    hosts[1].cable.cut()
    try:
        with pytest.raises(TimedOut, match="did not end within 1 s"):
            again.run(["true"], timeout_s=1)
    finally:
        hosts[1].cable.mend()
    assert hosts[2].server.sessions() == []


def test_a_silent_cut_is_noticed_by_signs_of_life_that_nobody_answers(hosts: list[Host]) -> None:
    connection = ssh.connect(hosts[1].server.device(keepalive_s=1))
    lines = connection.stream(["sh", "-c", "echo first; sleep 67.1"], silence_s=3600)
    assert next(lines) == b"first"
    hosts[1].cable.cut()
    try:
        with pytest.raises(Unreachable, match="was lost during `sh`"):
            next(lines)
    finally:
        hosts[1].cable.mend()


def test_a_program_that_wants_more_memory_than_a_host_has_is_killed_by_its_kernel(tmp_path: Path) -> None:
    require(*fleet.NEEDS)
    if missing := memory_limit.lacking_limit():
        give_up(f"this machine lacks {missing}")
    greedy = "held = [bytearray(1 << 20) for _ in range(400)]; print(sum(map(len, held)))"
    with fleet.fleet(tmp_path / "hosts", ["small"], memory_bytes=100_000_000) as (host,):
        connection = ssh.connect(host.server.device())
        assert connection.run(["python3", "-c", "print('modest')"]).text == "modest"
        assert connection.run(["python3", "-c", greedy]).code == 137
        assert host.limit is not None
        assert host.limit.killed() == 1
        assert connection.run(["true"]).code == 0
        connection.close()
