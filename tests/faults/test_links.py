"""Links that are cut, stalled or slow, and devices that lack a tool; each fault is injected for real."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.openssh import Server, openssh
from devices.virtual.waiting import runs, soon
from harness.errors import DeviceError, TimedOut, Unreachable
from harness.model import Address, Device
from harness.ports.transports import Connection
from harness.transports import ssh


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(150_000_000)
    return path


def test_a_server_killed_during_a_push_is_unreachable_and_leaves_no_half_file(
    own_server: Server, big_file: Path
) -> None:
    connection = ssh.connect(own_server.device())
    target = own_server.workdir / "model.onnx"
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(connection.push, big_file, str(target))
        assert soon(lambda: list(own_server.workdir.glob(".*.part")))
        own_server.signal_sessions(signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost .*check power and link"):
            pushing.result(timeout=60)
    assert soon(lambda: not list(own_server.workdir.iterdir())), "the device did not clear the part away"
    with pytest.raises(Unreachable):
        connection.run(["true"])
    again = ssh.connect(own_server.device())
    again.push(big_file, str(target))
    assert target.stat().st_size == big_file.stat().st_size
    again.close()


def test_a_server_killed_during_a_pull_leaves_no_half_file(own_server: Server, big_file: Path, tmp_path: Path) -> None:
    connection = ssh.connect(own_server.device())
    back = tmp_path / "back"
    back.mkdir()
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(connection.pull, str(big_file), back / "model.onnx")
        assert soon(lambda: list(back.glob(".*.part")))
        own_server.signal_sessions(signal.SIGKILL)
        with pytest.raises(Unreachable, match="openssh: "):
            pulling.result(timeout=60)
    assert list(back.iterdir()) == []


def test_a_server_killed_during_a_stream_is_unreachable_at_once(own_server: Server) -> None:
    # At once: without signs of life, and with an hour of allowed silence, only the lost connection can end it.
    connection = ssh.connect(own_server.device(keepalive_s=0))
    lines = connection.stream(["sh", "-c", "echo first; sleep 76.5"], silence_s=3600)
    assert next(lines) == b"first"
    own_server.signal_sessions(signal.SIGKILL)
    with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost during `sh`"):
        next(lines)


def test_a_server_killed_during_a_run_is_unreachable_at_once(own_server: Server) -> None:
    connection = ssh.connect(own_server.device(keepalive_s=0))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connection.run, ["sleep", "64.4"], timeout_s=3600)
        assert soon(lambda: runs("sleep", "64.4"))
        own_server.signal_sessions(signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost during `sleep`; check power"):
            running.result()


def silent(
    server: Server, use: Callable[[Connection], object], begun: Callable[[], object], **options: Any
) -> TimedOut:
    """Stop the server's processes without a word once the use of a connection has begun; return how that ended."""
    connection = ssh.connect(server.device(**options))
    assert connection.run(["true"]).code == 0
    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use, connection)
        assert soon(begun)
        server.signal_sessions(signal.SIGSTOP)
        with pytest.raises(TimedOut) as caught:
            using.result(timeout=60)
    with pytest.raises(Unreachable, match="was lost"):  # given up for good: the next user need not wait as well
        connection.run(["true"], timeout_s=30)
    connection.close()
    return caught.value


def test_a_link_that_falls_silent_during_a_push_is_given_up_in_time(own_server: Server, big_file: Path) -> None:
    target = own_server.workdir / "model.onnx"

    def begun() -> bool:
        return any(own_server.workdir.glob(".*.part"))

    error = silent(own_server, lambda c: c.push(big_file, str(target)), begun, stall_s=3)
    assert "openssh: cannot write model.onnx to" in str(error)
    assert "no byte moved for 3 s; check the link, or raise stall_s in [ssh]" in str(error)
    assert not target.exists()
    own_server.signal_sessions(signal.SIGCONT)
    assert soon(lambda: not list(own_server.workdir.iterdir())), "the device did not clear the part away"


def test_a_link_that_falls_silent_during_a_run_is_given_up_in_time(own_server: Server) -> None:
    late = ["sh", "-c", "sleep 64.6; echo late"]
    error = silent(own_server, lambda c: c.run(late, timeout_s=3), lambda: runs("sleep", "64.6"), stall_s=3)
    assert "openssh: `sh` did not end within 3 s" in str(error)


def test_a_link_that_falls_silent_during_a_stream_is_given_up_in_time(own_server: Server) -> None:
    ticks = []

    def listen(connection: Connection) -> None:
        for tick in connection.stream(["sh", "-c", "while sleep 0.05; do echo tick; done"], silence_s=3):
            ticks.append(tick)

    error = silent(own_server, listen, lambda: ticks, stall_s=3)
    assert "openssh: `sh` was silent for 3 s" in str(error)


def test_a_command_on_a_silent_link_does_not_wait_for_ever_to_begin(own_server: Server) -> None:
    connection = ssh.connect(own_server.device(stall_s=3))
    own_server.signal_sessions(signal.SIGSTOP)
    with pytest.raises(TimedOut, match=r"openssh: `true` did not end within 3 s"):
        connection.run(["true"], timeout_s=3)


@contextmanager
def slow_uplink(server: Server, *, bytes_per_s: float) -> Iterator[tuple[int, list[float]]]:
    """Give the port of a relay to the server that takes no more than so many bytes a second from us, and its pauses."""
    pauses: list[float] = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def relay(source: socket.socket, sink: socket.socket, pause_s_per_byte: float) -> None:
            with suppress(OSError):
                while chunk := source.recv(16384):
                    sink.sendall(chunk)
                    # The slow link itself; the other direction has no pause.
                    pauses.append(len(chunk) * pause_s_per_byte)
                    time.sleep(pauses[-1])
            sink.close()

        def serve() -> None:
            ours, _ = listener.accept()
            theirs = socket.create_connection((server.host, server.port))
            threading.Thread(target=relay, args=(theirs, ours, 0.0), daemon=True).start()
            relay(ours, theirs, 1 / bytes_per_s)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], pauses


def test_a_slow_link_is_not_taken_for_a_dead_one(openssh_server: Server, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(os.urandom(1_000_000))
    known = openssh_server.device(stall_s=1.5)
    with slow_uplink(openssh_server, bytes_per_s=400_000) as (port, pauses):
        address = Address("ssh", host="127.0.0.1", port=port, user=openssh_server.user)
        connection = ssh.connect(Device("far", "ultrasound", address, options=known.options))
        connection.push(tmp_path / "model", str(tmp_path / "there"))
        assert sum(pauses) > 2, "the link was not slow: the test is void"
        connection.close()
    assert (tmp_path / "there").read_bytes() == (tmp_path / "model").read_bytes()


def test_a_device_without_a_tool_for_digests_is_told_what_to_install(tmp_path: Path) -> None:
    """Needs a PATH with a shell, cat, mv and so on, but without anything that computes a sha256."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "mv", "rm", "mkdir", "df"):
        (tools / name).symlink_to(Path("/bin") / name)
    (tmp_path / "file").write_text("content")
    with openssh(tmp_path / "server", environment={"PATH": str(tools)}) as server:
        connection = ssh.connect(server.device())
        with pytest.raises(
            DeviceError,
            match=r"cannot write there to .*: no tool there makes a SHA-256; install sha256sum",
        ):
            connection.push(tmp_path / "file", str(server.workdir / "there"))
        connection.close()
        assert list(server.workdir.iterdir()) == []
