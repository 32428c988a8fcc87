"""Devices that cannot be logged in to, each fault made for real; every message names device and remedy."""

from __future__ import annotations

import logging
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key, openssh
from harness.errors import DeviceError, HostKeyMismatch, LabError, Refused, TimedOut, Unreachable
from harness.model import Address, Device
from harness.transports import ssh


def public(path: Path) -> str:
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def refusal(device: Device, kind: type[DeviceError], *, timeout_s: float | None = 5) -> str:
    """Return the message with which `device` cannot be reached, after checking its form."""
    with pytest.raises(kind) as caught:
        ssh.connect(device, timeout_s=timeout_s)
    message = str(caught.value)
    assert caught.value.device == device.id
    assert message.startswith(f"{device.id}: ")
    assert message.count("\n") <= 1
    return message


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
        message = refusal(
            Device("mute", "sbc", address, options=openssh_server.device().options), TimedOut, timeout_s=1
        )
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
    message = refusal(own_server.device(connect_timeout_s=1), TimedOut, timeout_s=None)
    assert "did not answer within 1 s" in message
    assert message.endswith("A slow one needs a longer connect_timeout_s under [ssh] in devices/openssh.toml")


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


def test_a_login_shell_that_runs_nothing_is_quoted_from_its_first_line(tmp_path: Path) -> None:
    with openssh(tmp_path / "server") as server:
        config = server.folder / "authorized_keys"
        complaints = "yes word: Command not found. | head -n 60 >&2"
        config.write_text(f'command="echo Unmatched quote. >&2; {complaints}" {config.read_text()}')
        connection = ssh.connect(server.device())
        with pytest.raises(Refused, match=r"openssh: .*ran nothing \(Unmatched quote\."):
            connection.run(["true"])
        connection.close()


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
