"""What can go wrong on the way to a device, each fault injected for real; every message names device and remedy."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key, openssh
from harness.errors import DeviceError, HostKeyMismatch, LabError, Refused, TimedOut, Unreachable
from harness.model import Address, Device
from harness.ports import Connection
from harness.transports import ssh


def public(path: Path) -> str:
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def refusal(device: Device, kind: type[DeviceError], *, timeout_s: float = 5) -> str:
    """Return the message with which `device` cannot be reached, after checking its form."""
    with pytest.raises(kind) as caught:
        ssh.connect(device, timeout_s=timeout_s)
    message = str(caught.value)
    assert caught.value.device == device.id
    assert message.startswith(f"{device.id}: ")
    assert message.count("\n") <= 1
    return message


def soon(condition: Callable[[], object], *, within_s: float = 10) -> bool:
    ends_at = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.005)
    return True


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(150_000_000)
    return path


def test_an_unknown_host_key_is_refused_with_the_line_to_paste(openssh_server: Server, tmp_path: Path) -> None:
    (tmp_path / "hosts").touch()
    message = refusal(openssh_server.device(host_key="", known_hosts=str(tmp_path / "hosts")), HostKeyMismatch)
    assert f"is not in {tmp_path}/hosts" in message
    assert "put under [ssh] in devices/openssh.toml" in message
    line = message.splitlines()[1]
    assert line == f'host_key = "{openssh_server.host_key}"'
    ssh.connect(openssh_server.device(host_key=line.split('"')[1])).close()


def test_another_host_key_than_the_pinned_one_is_refused_loudly_before_logging_in(
    own_server: Server, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    message = refusal(own_server.device(host_key=public(tmp_path / "other")), HostKeyMismatch)
    assert "IS NOT THE PINNED ONE: host_key in devices/openssh.toml says SHA256:" in message
    assert "nothing was sent" in message
    assert own_server.host_key.split()[1] not in message, "the way round must not be one paste away"
    assert "Accepted" not in own_server.log


def test_a_host_without_a_key_of_the_pinned_kind_is_refused(openssh_server: Server) -> None:
    kind, text = (
        "ecdsa-sha2-nistp256",
        (
            "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
        ),
    )
    message = refusal(openssh_server.device(host_key=f"{kind} {text}"), HostKeyMismatch)
    assert f"has no host key of the pinned kind ({kind}" in message
    assert "pin its new key" in message


@pytest.mark.parametrize("pinned", ["ed25519", "ecdsa", "rsa"])
def test_the_host_shows_the_pinned_one_of_its_keys(tmp_path: Path, pinned: str) -> None:
    with openssh(tmp_path / "server", host_keys=("ed25519", "ecdsa", "rsa")) as server:
        line = public(server.folder / f"host_key_{pinned}")
        connection = ssh.connect(server.device(host_key=line))
        assert connection.run(["echo", "hello"]).text == "hello"
        connection.close()


def test_a_pinned_line_that_is_no_key_names_file_and_key(openssh_server: Server) -> None:
    with pytest.raises(LabError, match=r"devices/openssh\.toml: ssh\.host_key: not a public key .*ssh-keyscan"):
        ssh.connect(openssh_server.device(host_key="ssh-ed25519 AAAA"))


def test_a_server_that_is_down_is_unreachable(tmp_path: Path) -> None:
    with openssh(tmp_path / "server") as server:
        ssh.connect(server.device()).close()
    message = refusal(server.device(), Unreachable)
    assert f"nothing listens on 127.0.0.1:{server.port}; start its SSH server" in message


def test_a_name_that_does_not_resolve_is_unreachable(openssh_server: Server) -> None:
    device = Device("lost", "sbc", Address("ssh", host="no-such-host.invalid"), options=openssh_server.device().options)
    message = refusal(device, Unreachable)
    assert "the name no-such-host.invalid does not resolve" in message
    assert "check `address`" in message


def test_a_port_that_never_speaks_is_timed_out(openssh_server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        address = Address("ssh", host="127.0.0.1", port=port)
        started = time.monotonic()
        message = refusal(
            Device("mute", "sbc", address, options=openssh_server.device().options), TimedOut, timeout_s=1
        )
        assert time.monotonic() - started < 3
    assert f"127.0.0.1:{port} did not answer within 1 s; is it switched on" in message


def test_a_port_that_speaks_something_else_is_unreachable(openssh_server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:

        def greet() -> None:
            plug, _ = other.accept()
            with plug:
                plug.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        pool.submit(greet)
        address = Address("ssh", host="127.0.0.1", port=other.getsockname()[1])
        message = refusal(Device("web", "sbc", address, options=openssh_server.device().options), Unreachable)
    assert "is that port an SSH server" in message


def test_a_server_that_falls_silent_during_log_in_is_timed_out(own_server: Server) -> None:
    os.kill(own_server.pid, signal.SIGSTOP)
    started = time.monotonic()
    message = refusal(own_server.device(), TimedOut, timeout_s=1)
    assert time.monotonic() - started < 3
    assert "did not answer within 1 s" in message


def test_a_missing_identity_is_named(openssh_server: Server, tmp_path: Path) -> None:
    message = refusal(openssh_server.device(identity=str(tmp_path / "none")), Refused)
    assert f"identity {tmp_path}/none does not exist; correct `identity` or make one with ssh-keygen" in message


def test_a_file_that_is_no_key_is_named(openssh_server: Server, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("my password is hunter2")
    message = refusal(openssh_server.device(identity=str(tmp_path / "notes")), Refused)
    assert f"identity {tmp_path}/notes is no private key" in message
    assert "hunter2" not in message


def test_a_key_that_is_not_let_in_is_named_with_its_user(openssh_server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    message = refusal(openssh_server.device(identity=str(tmp_path / "stranger")), Refused)
    assert f"lets {openssh_server.user} in with none of the keys tried: {tmp_path}/stranger (SHA256:" in message
    assert "authorized_keys there (ssh-copy-id)" in message


def test_an_account_that_does_not_exist_is_refused(openssh_server: Server) -> None:
    known = openssh_server.device()
    address = Address("ssh", host=openssh_server.host, port=openssh_server.port, user="nobody-here")
    message = refusal(Device("openssh", "sbc", address, options=known.options), Refused)
    assert "lets nobody-here in with none of the keys" in message


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
            pushing.result(timeout=10)
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
            pulling.result(timeout=10)
    assert list(back.iterdir()) == []


def test_a_server_killed_during_a_stream_is_unreachable_at_once(own_server: Server) -> None:
    connection = ssh.connect(own_server.device())
    lines = connection.stream(["sh", "-c", "echo first; sleep 76.5"], silence_s=30)
    assert next(lines) == b"first"
    started = time.monotonic()
    own_server.signal_sessions(signal.SIGKILL)
    with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost during `sh`"):
        next(lines)
    assert time.monotonic() - started < 2


def test_a_server_killed_during_a_run_is_unreachable_at_once(own_server: Server) -> None:
    connection = ssh.connect(own_server.device())
    threading.Timer(0.3, own_server.signal_sessions, [signal.SIGKILL]).start()
    with pytest.raises(Unreachable, match=r"openssh: the connection to .* was lost during `sleep`; check power"):
        connection.run(["sleep", "65.4"], timeout_s=30)


def silent(server: Server, use: Callable[[Connection], object], **options: float) -> TimedOut:
    """Stop the server's processes without a word while a connection is used, and return how that ended."""
    connection = ssh.connect(server.device(**options))
    assert connection.run(["true"]).code == 0
    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use, connection)
        time.sleep(0.15)
        server.signal_sessions(signal.SIGSTOP)
        with pytest.raises(TimedOut) as caught:
            using.result(timeout=15)
    with pytest.raises(Unreachable, match="was lost"):  # given up for good: the next user need not wait as well
        connection.run(["true"], timeout_s=5)
    connection.close()
    return caught.value


def test_a_link_that_falls_silent_during_a_push_is_given_up_in_time(own_server: Server, big_file: Path) -> None:
    target = own_server.workdir / "model.onnx"
    error = silent(own_server, lambda c: c.push(big_file, str(target)), stall_s=0.5)
    assert "openssh: cannot write model.onnx to" in str(error)
    assert "no byte moved for 0.5 s; check the link, or raise stall_s in [ssh]" in str(error)
    assert not target.exists()
    own_server.signal_sessions(signal.SIGCONT)
    assert soon(lambda: not list(own_server.workdir.iterdir())), "the device did not clear the part away"


def test_a_link_that_falls_silent_during_a_run_is_given_up_in_time(own_server: Server) -> None:
    error = silent(own_server, lambda c: c.run(["sh", "-c", "sleep 0.5; echo late"], timeout_s=0.5), stall_s=0.5)
    assert "openssh: `sh` did not end within 0.5 s" in str(error)


def test_a_link_that_falls_silent_during_a_stream_is_given_up_in_time(own_server: Server) -> None:
    ticking = ["sh", "-c", "while sleep 0.05; do echo tick; done"]
    error = silent(own_server, lambda c: list(c.stream(ticking, silence_s=0.5)), stall_s=0.5)
    assert "openssh: `sh` was silent for 0.5 s" in str(error)


def test_a_command_on_a_silent_link_does_not_wait_for_ever_to_begin(own_server: Server) -> None:
    connection = ssh.connect(own_server.device(stall_s=0.5))
    own_server.signal_sessions(signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"openssh: `true` did not end within 0\.5 s"):
        connection.run(["true"], timeout_s=0.5)
    assert time.monotonic() - started < 4


@contextmanager
def slow_uplink(server: Server, *, bytes_per_s: float) -> Iterator[int]:
    """Give the port of a relay to the server that takes no more than so many bytes a second from us."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def relay(source: socket.socket, sink: socket.socket, pause_s_per_byte: float) -> None:
            with suppress(OSError):
                while chunk := source.recv(16384):
                    sink.sendall(chunk)
                    time.sleep(len(chunk) * pause_s_per_byte)
            sink.close()

        def serve() -> None:
            ours, _ = listener.accept()
            theirs = socket.create_connection((server.host, server.port))
            threading.Thread(target=relay, args=(theirs, ours, 0.0), daemon=True).start()
            relay(ours, theirs, 1 / bytes_per_s)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_slow_link_is_not_taken_for_a_dead_one(openssh_server: Server, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(os.urandom(1_000_000))
    known = openssh_server.device(stall_s=0.4)
    with slow_uplink(openssh_server, bytes_per_s=400_000) as port:
        address = Address("ssh", host="127.0.0.1", port=port, user=openssh_server.user)
        connection = ssh.connect(Device("far", "ultrasound", address, options=known.options))
        started = time.monotonic()
        connection.push(tmp_path / "model", str(tmp_path / "there"))
        assert time.monotonic() - started > 2, "the link was not slow: the test is void"
        connection.close()
    assert (tmp_path / "there").read_bytes() == (tmp_path / "model").read_bytes()


def test_a_login_shell_that_runs_nothing_is_refused(tmp_path: Path) -> None:
    with openssh(tmp_path / "server") as server:
        config = server.folder / "authorized_keys"
        config.write_text(f'command="echo This account is closed." {config.read_text()}')
        connection = ssh.connect(server.device())
        with pytest.raises(
            Refused, match=r"openssh: .*ran nothing \(This account is closed\.\); give it a POSIX shell"
        ):
            connection.run(["true"])
        connection.close()


def test_a_device_without_a_tool_for_digests_is_told_what_to_install(tmp_path: Path) -> None:
    """Needs a PATH with a shell, cat, mv and so on, but without anything that computes a sha256."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "mv", "rm", "mkdir", "df"):
        (tools / name).symlink_to(Path("/bin") / name)
    (tmp_path / "file").write_text("content")
    with openssh(tmp_path / "server", environment={"PATH": str(tools)}) as server:
        connection = ssh.connect(server.device())
        with pytest.raises(DeviceError, match=r"openssh: cannot write there to .*: install sha256sum, busybox"):
            connection.push(tmp_path / "file", str(server.workdir / "there"))
        connection.close()
        assert list(server.workdir.iterdir()) == []


def test_no_traceback_of_paramiko_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []  # as in a program that has not set up logging
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent_port:
            address = Address("ssh", host="127.0.0.1", port=silent_port.getsockname()[1])
            device = Device("mute", "sbc", address, options={"known_hosts": str(tmp_path / "hosts")})
            (tmp_path / "hosts").touch()
            refusal(device, TimedOut, timeout_s=0.5)
    finally:
        root.handlers = handlers
    assert capfd.readouterr().err == ""
