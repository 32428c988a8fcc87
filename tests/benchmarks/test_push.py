"""What bringing files costs, as ratios against OpenSSH's own scp on the same link in the same run.

Ways take turns, and each counts by its shortest time: the same bytes take the same work each time, and what else the
machine does only ever adds to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual import far, fleet
from devices.virtual.fleet import Host
from devices.virtual.openssh import Server
from devices.virtual.requirements import require
from harness import deploy
from harness.deploy import DeviceHandle
from harness.deploy import files as on_device
from harness.deploy.wheels import bundle
from harness.ports.runners import Target
from harness.ports.transports import Connection
from harness.transports import ssh
from harness.transports._zipping import Pace
from harness.transports.ssh._session import SshSession
from tests.benchmarks import bars

RUNTIME = "onnxruntime==1.31.1"
#: Of the long link; s.
ROUND_TRIP_S = 0.05
#: Of the link on which round trips are counted, s: beside it, what a busy machine takes for itself is little.
LONG_S = 0.8


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    require(*fleet.NEEDS, *far.NEEDS, "package:openssh-client=scp")
    with fleet.fleet(tmp_path_factory.mktemp("push") / "hosts", ["h1"]) as (running,):
        yield running


def scp(server: Server, known: Path, *sources: Path, target: str) -> float:
    """Return how long OpenSSH's scp takes for files, its log-in included; s."""
    name = server.host if server.port == 22 else f"[{server.host}]:{server.port}"
    known.write_text(f"{name} {server.host_key}\n")
    command = ["scp", "-q", "-F", "none", "-P", str(server.port), "-i", str(server.identity)]
    command += ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", *map(str, sources)]
    started = time.monotonic()
    subprocess.run([*command, f"{server.user}@{server.host}:{target}"], check=True)
    return time.monotonic() - started


def files(folder: Path, count: int, size: int) -> dict[str, Path]:
    """Return {sha256: path} of new files of random bytes."""
    found = {}
    for number in range(count):
        path = folder / f"file{number}"
        path.write_bytes(os.urandom(size))
        found[hashlib.sha256(path.read_bytes()).hexdigest()] = path
    return found


@bars.measured_again
def test_a_push_is_about_as_fast_as_scp_although_it_is_verified(openssh_server: Server, tmp_path: Path) -> None:
    (source,) = files(tmp_path, 1, 100_000_000).values()
    theirs, ours = [], []
    for _ in range(6):
        theirs.append(scp(openssh_server, tmp_path / "known", source, target=str(tmp_path / "theirs")))
        started = time.monotonic()
        connection = ssh.connect(openssh_server.device())
        connection.push(source, str(tmp_path / "ours"))
        connection.close()
        ours.append(time.monotonic() - started)
    ratio = min(theirs) / min(ours)
    print(f"\npush / scp, 100 MB on loopback, log-in included: {ratio:.2f} times as fast (bar: 0.9)")
    assert ratio >= 0.9


@bars.measured_again
def test_twenty_files_over_a_long_link_arrive_sooner_than_by_scp(host: Host, tmp_path: Path) -> None:
    theirs, ours = [], []
    with far.far(host.machine, round_trip_s=ROUND_TRIP_S) as wire:
        server = host.at(wire.address)
        there = host.server.workdir / "theirs"
        there.mkdir(exist_ok=True)
        for turn in range(3):
            (tmp_path / str(turn)).mkdir(exist_ok=True)
            wanted = files(tmp_path / str(turn), 20, 200_000)
            theirs.append(scp(server, tmp_path / "known", *wanted.values(), target=f"{there}/"))
            with DeviceHandle(server.device()) as handle:
                deploy.prepare(handle)
                place = handle.workspace
            started = time.monotonic()
            with DeviceHandle(server.device()) as handle:
                handle.workspace = place
                on_device.blobs(handle, wanted)
                ours.append(time.monotonic() - started)
    ratio = min(theirs) / min(ours)
    print(f"\npush / scp, twenty files of 200 kB over 50 ms: {ratio:.2f} times as fast (bar: 1.5)")
    assert ratio >= 1.5


def everything(handle: DeviceHandle, wanted: dict[str, Path]) -> float:
    """Return how long it takes until a device has all that a case needs; s."""
    started = time.monotonic()
    deploy.prepare(handle)
    deploy.runtime(handle, RUNTIME)
    on_device.blobs(handle, wanted)
    return time.monotonic() - started


@bars.measured_again
def test_a_device_that_has_everything_is_found_so_in_few_round_trips(host: Host, tmp_path: Path) -> None:
    wanted = files(tmp_path, 20, 20_000)
    near = DeviceHandle(host.server.device())
    everything(near, wanted)
    with far.far(host.machine, round_trip_s=LONG_S) as wire:
        distant = DeviceHandle(host.at(wire.address).device())
        distant.run(["true"])  # so that the log-in is over
        both = [(everything(near, wanted), everything(distant, wanted)) for _ in range(4)]
        distant.close()
    near.close()
    count = (min(far_s for _, far_s in both) - min(near_s for near_s, _ in both)) / LONG_S
    print(f"\nround trips when nothing changed (agent, runtime, 20 files): {count:.1f} (bar: 5)")
    assert count < 5


@bars.measured_again
def test_a_command_on_a_far_host_takes_one_round_trip(host: Host) -> None:
    near = ssh.connect(host.server.device())
    with far.far(host.machine, round_trip_s=LONG_S) as wire:
        distant = ssh.connect(host.at(wire.address).device())
        distant.run(["true"])  # so that the log-in is over
        both = [(command_s(near), command_s(distant)) for _ in range(6)]
        distant.close()
    near.close()
    count = (min(far_s for _, far_s in both) - min(near_s for near_s, _ in both)) / LONG_S
    print(f"\nround trips of one command: {count:.2f} (bar: 1.9)")
    assert count < 1.9


def command_s(connection: Connection) -> float:
    """Return how long a command takes that does nothing; s."""
    started = time.monotonic()
    connection.run(["true"])
    return time.monotonic() - started


def pushes(connection: SshSession, source: Path, target: Path, *, zipped: bool) -> float:
    """Return how long a file takes, sent compressed or as it is whatever the harness would choose; s."""
    connection.pace = Chosen(zipped)
    started = time.monotonic()
    connection.push(source, str(target))
    return time.monotonic() - started


class Chosen(Pace):
    """A pace that leaves nothing to choose."""

    def __init__(self, zipped: bool) -> None:
        super().__init__()
        self._zipped = zipped

    def pays(self, source: Path) -> bool:
        """Return what was chosen beforehand."""
        return self._zipped and source.exists()


@pytest.mark.parametrize(("link", "bytes_per_s"), [("4 MB/s and 50 ms", 4e6), ("loopback", 0.0)])
@bars.measured_again
def test_a_runtime_goes_compressed_where_that_is_faster_and_only_there(
    link: str, bytes_per_s: float, host: Host, tmp_path: Path
) -> None:
    source = tmp_path / "part of a runtime"
    size = 5_000_000 if bytes_per_s else 32_000_000
    with bundle(RUNTIME, (), Target((3, 11), "x86_64", (2, 28)), device="h1").archive.open("rb") as archive:
        archive.seek(40_000_000)
        source.write_bytes(archive.read(size))
    with contextlib.ExitStack() as stack:
        server = host.server
        if bytes_per_s:
            wire = stack.enter_context(far.far(host.machine, round_trip_s=ROUND_TRIP_S, bytes_per_s=bytes_per_s))
            server = host.at(wire.address)
        connection = ssh.connect(server.device())
        assert isinstance(connection, SshSession)
        stack.callback(connection.close)
        there = host.server.workdir / "zipped"
        plain, zipped = [], []
        for _ in range(2 if bytes_per_s else 5):
            plain.append(pushes(connection, source, there, zipped=False))
            zipped.append(pushes(connection, source, there, zipped=True))
        ratio = min(plain) / min(zipped)
        connection.pace = Pace()
        assert not connection.pace.pays(source), "nothing is known of the link"
        connection.push(source, str(there))
        chosen = connection.pace.pays(source)
        incompressible = files(tmp_path, 1, size).popitem()[1]
        assert not connection.pace.pays(incompressible), "random bytes do not shrink"
    known = connection.pace.bytes_per_s
    print(
        f"\ncompressed / as it is, part of a runtime over {link}: {ratio:.2f} times as fast; "
        f"{'compressed' if chosen else 'as it is'} is chosen after {known / 1e6:.1f} MB/s were seen"
    )
    assert there.read_bytes() == source.read_bytes()
    if bytes_per_s:
        assert chosen
        assert ratio >= 1.5
    else:  # a busy machine's loopback may be slow, too
        assert chosen == (known < 27e6)
