"""Copies that go compressed: whole wherever there is something to unpack, as they are where there is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, openssh
from devices.virtual.waiting import soon
from harness.errors import Unreachable
from harness.ports.transports import Connection
from harness.transports import ssh
from harness.transports._session import Session
from harness.transports._zipping import TELLING, Pace

#: Slow enough to be worth packing for; B/s.
SLOW = 1e6


def slow(connection: Connection) -> Session:
    """Let a connection believe that its link is slow."""
    assert isinstance(connection, Session)
    connection.pace = Pace()
    connection.pace.learn(TELLING, TELLING / SLOW, zipped=False)
    return connection


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give 3 MB that shrink to a third."""
    path = tmp_path / "library"
    path.write_bytes(b"".join(os.urandom(64) + bytes(128) for _ in range(16_000)))
    return path


@pytest.mark.parametrize("kind", ["ssh", "openssh", "unit", "phone"])
def test_a_compressed_copy_arrives_whole_on_every_kind_of_device(
    kind: str, open_connection: Callable[[str], Connection], source: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o777)
    connection = slow(open_connection(kind))
    assert connection.pace.pays(source)
    connection.push(source, str(tmp_path / "there"))
    assert (tmp_path / "there").read_bytes() == source.read_bytes()
    assert connection.pace.pays(source), "it went as it is: the device could not unpack it"
    connection.close()


def test_a_device_that_cannot_unpack_is_sent_the_file_as_it_is(source: Path, tmp_path: Path) -> None:
    """Needs a PATH with what a push needs, but without anything that unpacks."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "mv", "rm", "mkdir", "df", "sha256sum"):
        found = next(folder / name for folder in (Path("/bin"), Path("/usr/bin")) if (folder / name).exists())
        (tools / name).symlink_to(found)
    with openssh(tmp_path / "server", environment={"PATH": str(tools)}) as server:
        connection = slow(ssh.connect(server.device()))
        connection.push(source, str(server.workdir / "there"))
        assert not connection.pace.pays(source), "it is tried once"
        connection.close()
        assert [path.name for path in server.workdir.iterdir()] == ["there"]
        assert (server.workdir / "there").read_bytes() == source.read_bytes()


def test_a_link_cut_during_a_compressed_copy_leaves_nothing_half(own_server: Server, tmp_path: Path) -> None:
    source = tmp_path / "library"
    source.write_bytes(bytes(400_000_000))
    connection = slow(ssh.connect(own_server.device()))
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(connection.push, source, str(own_server.workdir / "library"))
        assert soon(lambda: [one for one in own_server.workdir.glob(".*.part") if one.stat().st_size])
        own_server.signal_sessions(signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost"):
            pushing.result(timeout=60)
    assert soon(lambda: not list(own_server.workdir.iterdir())), "the device did not clear the part away"


def test_a_copy_that_took_longer_compressed_is_the_last_one(source: Path) -> None:
    pace = Pace()
    assert not pace.pays(source), "nothing is known of the link"
    pace.learn(TELLING - 1, 10, zipped=False)
    assert not pace.pays(source), "a small copy tells nothing"
    pace.learn(2_000_000, 2, zipped=False)
    assert pace.pays(source)
    pace.learn(2_000_000, 1, zipped=True)
    assert pace.pays(source)
    pace.learn(2_000_000, 3, zipped=True)
    assert not pace.pays(source)
