"""Logging in to a real OpenSSH server, and the server that stands in for a device."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from devices.virtual.openssh import Server, alive, make_key, openssh
from devices.virtual.waiting import accepts, soon
from harness.errors import Refused
from harness.lab.devices import read_device
from harness.model import Address, Device
from harness.transports import ssh
from harness.transports._session import KILL


@contextmanager
def agent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run an ssh-agent of our own."""
    socket = folder / "agent.sock"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as process:
        try:
            assert soon(lambda: accepts(socket))
            monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
            yield
        finally:
            process.terminate()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user an empty home, without an agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


def greeting(device: Device) -> str:
    connection = ssh.connect(device)
    try:
        return connection.run(["echo", "hello"]).text
    finally:
        connection.close()


def test_the_server_starts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with openssh(tmp_path / "server") as server:
        connection = ssh.connect(server.device())
        everyone = [server.pid, *server.sessions()]
        assert len(everyone) > 1
    connection.close()
    assert not any(alive(pid) for pid in everyone)


def test_the_server_is_stopped_and_its_log_shown_when_a_test_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = []
    with pytest.raises(ZeroDivisionError), openssh(tmp_path / "server") as server:  # noqa: PT012 -- the block is the test
        pids.append(server.pid)
        ssh.connect(server.device()).close()
        raise ZeroDivisionError
    assert not alive(pids[0])
    assert "Accepted publickey" in capsys.readouterr().out


def test_the_device_file_it_writes_is_read_by_the_lab_and_connects(openssh_server: Server, tmp_path: Path) -> None:
    path = openssh_server.write_device(tmp_path, id="bench", runtimes=[])
    device = read_device(path)
    assert device.workdir == str(openssh_server.workdir)
    assert device.options == openssh_server.device().options
    assert greeting(device) == "hello"


def test_a_known_hosts_file_does_instead_of_a_pinned_line(openssh_server: Server, tmp_path: Path, home: Path) -> None:
    line = f"[{openssh_server.host}]:{openssh_server.port} {openssh_server.host_key}\n"
    (tmp_path / "hosts").write_text(line)
    assert greeting(openssh_server.device(host_key="", known_hosts=str(tmp_path / "hosts"))) == "hello"
    (home / ".ssh/known_hosts").write_text(line)
    assert greeting(openssh_server.device(host_key="")) == "hello"


def test_a_hashed_known_hosts_entry_is_found(openssh_server: Server, home: Path) -> None:
    known = home / ".ssh/known_hosts"
    known.write_text(f"[{openssh_server.host}]:{openssh_server.port} {openssh_server.host_key}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert openssh_server.host not in known.read_text()
    assert greeting(openssh_server.device(host_key="")) == "hello"


def test_name_port_user_and_identity_may_come_from_the_ssh_configuration(openssh_server: Server, home: Path) -> None:
    (home / ".ssh/config").write_text(
        f"Host pi5\n  HostName {openssh_server.host}\n  Port {openssh_server.port}\n"
        f"  User {openssh_server.user}\n  IdentityFile {openssh_server.identity}\n"
    )
    address = Address("ssh", host="pi5")
    assert greeting(Device("pi5", "sbc", address, options={"host_key": openssh_server.host_key})) == "hello"


def test_the_usual_key_in_the_home_is_used(openssh_server: Server, home: Path) -> None:
    (home / ".ssh/id_ed25519").write_bytes(openssh_server.identity.read_bytes())
    assert greeting(openssh_server.device(identity="")) == "hello"


def test_the_agents_key_is_used(
    openssh_server: Server, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not list((home / ".ssh").iterdir())
    with agent(tmp_path, monkeypatch):
        with pytest.raises(Refused, match="the agent holds none"):
            greeting(openssh_server.device(identity=""))
        subprocess.run(["ssh-add", "-q", str(openssh_server.identity)], check=True)
        assert greeting(openssh_server.device(identity="")) == "hello"


def test_an_encrypted_identity_works_through_the_agent_and_is_never_asked_for(
    own_server: Server, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = home / "locked"
    make_key(key, passphrase="correct horse")
    with (own_server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    device = own_server.device(identity=str(key))
    with pytest.raises(Refused, match=rf"openssh: .*{key} is encrypted .*run `ssh-add {key}`"):
        greeting(device)
    with agent(tmp_path, monkeypatch):
        answer = tmp_path / "answer"
        answer.write_text("#!/bin/sh\necho correct horse\n")
        answer.chmod(0o700)
        asking = {**os.environ, "SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=asking)
        assert greeting(device) == "hello"


def test_what_a_login_shell_prints_does_not_reach_the_output(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.bashrc").write_text("echo Welcome to the ward; echo mind the step >&2\n")
    (tmp_path / "file").write_bytes(bytes(range(256)))
    with openssh(tmp_path / "server", environment={"HOME": str(tmp_path / "home"), "SHLVL": "0"}) as server:
        connection = ssh.connect(server.device())
        assert "mind the step" in connection.run(["true"]).err.decode(), "this log-in prints nothing: the test is void"
        assert connection.run(["echo", "hello"]).text == "hello"
        connection.push(tmp_path / "file", str(server.workdir / "there"))
        connection.pull(str(server.workdir / "there"), tmp_path / "back")
        connection.close()
    assert (tmp_path / "back").read_bytes() == bytes(range(256))


def test_a_command_is_killed_with_its_children_where_the_server_makes_no_process_groups() -> None:
    nap = f"61.{secrets.randbelow(10**9):09}"
    with subprocess.Popen(["sh", "-c", f"sh -c 'sleep {nap}; :' & sleep {nap}; :"]) as parent:
        assert soon(lambda: len(psutil.Process(parent.pid).children(recursive=True)) == 3)
        family = psutil.Process(parent.pid).children(recursive=True)
        assert os.getpgid(parent.pid) == os.getpgid(0), "it leads a group: the test is void"
        subprocess.run(["sh", "-c", KILL, "sh", str(parent.pid)], check=True)
        assert parent.wait(60) == -signal.SIGKILL
    assert not any(alive(child.pid) for child in family)


def test_importing_the_transport_does_not_import_paramiko() -> None:
    program = "import sys, harness.transports.ssh, harness.transports.local; sys.exit('paramiko' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
