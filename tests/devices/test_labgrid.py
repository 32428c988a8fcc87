"""Places of labgrid: a real coordinator and a real exporter on loopback, which offers the OpenSSH server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from harness import coordinator as places
from harness import lab
from harness.cli import fleet
from harness.deploy import DeviceHandle, leased
from harness.errors import Busy, LabError, Refused, Unreachable
from harness.model import Device

BIN = Path(sys.executable).parent
#: Takes the device of the lab in argv[1], says so, and waits to be killed.
MEASURER = """
import sys, time
from pathlib import Path
from harness import lab
from harness.deploy import DeviceHandle, leased
with DeviceHandle(lab.select(Path(sys.argv[1]), ["board"])[0]) as handle, leased(handle):
    print("holds", flush=True)
    time.sleep(600)
"""


def client(port: int, *words: str, user: str = "ada") -> str:
    """Return what labgrid's own client prints, as a person at another host would run it."""
    environment = {**os.environ, "LG_COORDINATOR": f"127.0.0.1:{port}", "LG_USERNAME": user, "LG_HOSTNAME": "clinic"}
    done = subprocess.run([BIN / "labgrid-client", *words], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(folder: Path, *argv: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of labgrid in a folder of its own meanwhile."""
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give the port of a coordinator that knows the place `board`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("labgrid")
    with running(folder / "coordinator", BIN / "labgrid-coordinator", "-l", f"127.0.0.1:{port}"):
        with socket.socket() as probe:
            limit = time.monotonic() + 60
            while probe.connect_ex(("127.0.0.1", port)) and time.monotonic() < limit:
                time.sleep(0.1)
        client(port, "-p", "board", "create")
        client(port, "-p", "board", "add-match", "bench/board-group/*")
        yield port


@pytest.fixture(scope="module")
def device(coordinator: int, openssh_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Give the device whose file names that place, while an exporter offers it."""
    server, folder = openssh_server, tmp_path_factory.mktemp("exporter")
    offered = f"{{address: {server.host}, username: {server.user}, port: {server.port}}}"
    (folder / "exporter.yaml").write_text(f"board-group:\n  NetworkService: {offered}\n")
    root = tmp_path_factory.mktemp("lab")
    (root / "suites").mkdir()
    path = server.write_device(root, id="board")
    text = path.read_text().replace("[ssh]", f'[labgrid]\ncoordinator = "127.0.0.1:{coordinator}"')
    path.write_text(text.replace(f"ssh://{server.user}@{server.host}:{server.port}", "labgrid://board"))
    (found,) = lab.select(root, ["board"])
    exporter: list[str | Path] = [
        BIN / "labgrid-exporter",
        "-c",
        f"127.0.0.1:{coordinator}",
        "-n",
        "bench",
        folder / "exporter.yaml",
    ]
    with running(folder, *exporter):
        limit = time.monotonic() + 60
        while "NetworkService" not in client(coordinator, "resources") and time.monotonic() < limit:
            time.sleep(0.2)
        yield found


def holder_of(device: Device) -> str:
    with places.session(device) as session:
        return session.acquired


def test_a_place_is_reached_acquired_and_released_at_a_failure_too(device: Device) -> None:
    with DeviceHandle(device) as handle:
        assert handle.run(["echo", "there"]).text == "there"
        seen = []
        with suppress(ZeroDivisionError), leased(handle) as held:
            seen.append(holder_of(device).endswith(f".edgeward-{held.owner.id}"))
            raise ZeroDivisionError  # what fails is measuring
        assert seen == [True]
        assert holder_of(device) == ""


def test_what_a_person_holds_is_busy_with_owner_and_since_and_stays_theirs(device: Device, coordinator: int) -> None:
    client(coordinator, "-p", "board", "acquire")
    try:
        with (
            DeviceHandle(device) as handle,
            pytest.raises(Busy, match=r"clinic/ada has acquired .* since 20..-"),
            leased(handle, wait=False),
        ):
            pass
        assert holder_of(device) == "clinic/ada"
        probe = fleet.probe(device)
        assert probe.reachable
        assert probe.state(device).startswith("[yellow]busy[/]: clinic/ada (labgrid, since 20")
    finally:
        client(coordinator, "-p", "board", "release")
    assert fleet.probe(device).holder == ""


def test_one_that_was_killed_holds_its_place_no_longer_and_a_living_one_does(device: Device) -> None:
    root = device.file.parent.parent
    with subprocess.Popen([sys.executable, "-c", MEASURER, root], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"holds\n"
            with DeviceHandle(device) as handle:
                before = holder_of(device)
                with pytest.raises(Busy, match=f"process {other.pid}"), leased(handle, wait=False):
                    pass
                assert holder_of(device) == before != ""
                other.kill()
                other.wait()
                with leased(handle) as held:
                    assert holder_of(device).endswith(held.owner.id)
        finally:
            other.kill()
    assert holder_of(device) == ""


def test_what_is_not_there_is_one_line_with_its_remedy(device: Device, coordinator: int, tmp_path: Path) -> None:
    path = tmp_path / "devices" / "board.toml"
    path.parent.mkdir()
    (tmp_path / "suites").mkdir()

    def at(old: str, new: str) -> Device:
        path.write_text(device.file.read_text().replace(old, new))
        return lab.select(tmp_path, ["board"])[0]

    with pytest.raises(Refused, match=r"has no place bord; write one that there is \(.*board"):
        DeviceHandle(at("labgrid://board", "labgrid://bord"))
    client(coordinator, "-p", "empty", "create")
    with pytest.raises(Unreachable, match=r"no exporter offers .* empty now; start the exporter, or match"):
        DeviceHandle(at("labgrid://board", "labgrid://empty"))
    with pytest.raises(Unreachable, match="LG_COORDINATOR or"):
        DeviceHandle(at(f":{coordinator}", ":1"), timeout_s=1)
    with pytest.raises(LabError, match='is leased by labgrid; write lease = "labgrid"'):
        at('kind = "', 'lease = "file"\nkind = "')
