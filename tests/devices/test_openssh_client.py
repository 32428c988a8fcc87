"""Devices that only OpenSSH's own client reaches: certificates, ProxyCommand, jumps; and each fault in its words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from devices.virtual.openssh import Server, make_key, openssh
from devices.virtual.waiting import soon
from harness.errors import HarnessError, HostKeyMismatch, LabError, MissingTool, Refused, TimedOut, Unreachable
from harness.model import Device
from harness.transports import openssh as transport
from harness.transports import ssh


@pytest.fixture(autouse=True)
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep the sockets of this test apart, and see that none is left behind."""
    folder = Path("/tmp") / f"ew{os.getpid()}-{tmp_path.stat().st_ino}"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield folder
    assert soon(lambda: not list(folder.iterdir())), list(folder.iterdir())
    assert not clients(folder)
    folder.rmdir()


def clients(folder: Path) -> list[int]:
    """Return the clients whose sockets lie in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if str(folder) in " ".join(process.info["cmdline"] or []) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def greeting(device: Device) -> str:
    connection = transport.connect(device)
    try:
        return connection.run(["echo", "hello"]).text
    finally:
        connection.close()


def refusal(device: Device, kind: type[HarnessError]) -> str:
    """Return the message with which a device cannot be reached."""
    with pytest.raises(kind) as caught:
        greeting(device)
    return str(caught.value)


def sign(authority: Path, public: Path, *words: str) -> Path:
    """Have an authority sign a public key, and return the certificate."""
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "edgeward", *words, str(public)], check=True)
    return public.with_name(public.stem + "-cert.pub")


def test_certificates_of_user_and_host_let_in_without_a_key_in_any_list(tmp_path: Path) -> None:
    authority = tmp_path / "authority"
    make_key(authority)
    folder = tmp_path / "server"
    settings = [f"TrustedUserCAKeys {authority}.pub", f"HostCertificate {folder}/host_key_ed25519-cert.pub"]
    with openssh(folder, settings=settings) as server:
        (folder / "authorized_keys").write_text("")
        config = server.by_openssh(id="board").options["config"]
        known = Path(config).with_name("board.client.known_hosts")
        known.write_text(f"@cert-authority [127.0.0.*]:* {authority.with_suffix('.pub').read_text()}")
        device = Device("board", "sbc", transport.address("//board"), options={"config": config})
        assert "openssh://board: Host key verification failed" in refusal(device, HostKeyMismatch)
        sign(authority, folder / "host_key_ed25519.pub", "-h", "-n", "127.0.0.1")
        os.kill(server.pid, signal.SIGHUP)  # it reads its certificate when it starts
        assert soon(lambda: "Permission denied (publickey)" in refusal(device, HarnessError))
        certificate = sign(authority, folder / "identity.pub", "-n", server.user)
        assert greeting(device) == "hello"
        ssh.connect(server.device()).close()  # it lies beside the key
        elsewhere = certificate.rename(tmp_path / "lab-cert.pub")
        with pytest.raises(Refused, match=r"lets .* in with none of the keys tried"):
            ssh.connect(server.device())
        (tmp_path / "config").write_text(f"CertificateFile {elsewhere}\n")
        ssh.connect(server.device(config=str(tmp_path / "config"))).close()


def test_a_proxy_command_is_run_and_its_failure_shown(openssh_server: Server, tmp_path: Path) -> None:
    program = tmp_path / "through.py"
    program.write_text(
        "import os, socket, sys, threading\n"
        "plug = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while chunk := os.read(0, 65536): plug.sendall(chunk)\n"
        "    plug.shutdown(socket.SHUT_WR)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while chunk := plug.recv(65536): os.write(1, chunk)\n"
    )
    assert greeting(openssh_server.by_openssh(f"ProxyCommand {sys.executable} {program} %h %p")) == "hello"
    said = refusal(openssh_server.by_openssh("ProxyCommand sh -c 'echo no tunnel today >&2; exit 1'"), Unreachable)
    assert "what it is reached through broke off: no tunnel today" in said
    assert "see its ProxyCommand" in said


def test_a_jump_host_is_gone_through(openssh_server: Server, tmp_path: Path) -> None:
    with openssh(tmp_path / "gate") as gate:
        device = openssh_server.by_openssh("ProxyJump gate")
        gate_config = gate.write_client_config(tmp_path / "gate.client", name="gate")
        with Path(device.options["config"]).open("a") as file:
            file.write(gate_config.read_text())
        assert greeting(device) == "hello"
        assert "Accepted publickey" in gate.log
        (tmp_path / "gate.client.known_hosts").write_text("")
        assert "a host on the way to it: Host key verification failed" in refusal(device, HostKeyMismatch)


def test_lines_that_would_disturb_commands_do_not(openssh_server: Server) -> None:
    lines = ["RemoteCommand top", "RequestTTY force", "LocalForward 127.0.0.1:1 127.0.0.1:2", "ControlMaster auto"]
    lines += ["LocalCommand echo welcome", "PermitLocalCommand yes", "LogLevel DEBUG3", "ControlPersist 600"]
    assert greeting(openssh_server.by_openssh(*lines)) == "hello"


def test_a_code_of_255_is_the_commands_own(openssh_server: Server) -> None:
    connection = transport.connect(openssh_server.by_openssh())
    done = connection.run(["sh", "-c", "echo why >&2; exit 255"])
    assert (done.code, done.err) == (255, b"why\n")
    connection.close()


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_server_that_grants_few_sessions_loses_no_command(sessions: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40_000)
    with openssh(tmp_path / "server", settings=[f"MaxSessions {sessions}"]) as server:
        connection = transport.connect(server.by_openssh())
        assert [connection.run(["echo", str(turn)]).text for turn in range(20)] == [str(turn) for turn in range(20)]
        with ThreadPoolExecutor(3) as pool:
            pushing = pool.submit(connection.push, tmp_path / "file", str(server.workdir / "there"))
            answers = list(pool.map(lambda turn: connection.run(["echo", str(turn)]).text, range(30)))
            pushing.result()
        with pytest.raises(TimedOut, match="did not end within"):
            connection.run(["sleep", "600"], timeout_s=0.3)
        assert connection.run(["echo", "still here"]).text == "still here"
        connection.close()
    assert answers == [str(turn) for turn in range(30)]


def test_a_host_key_that_is_unknown_changed_or_revoked_is_said_to_be(openssh_server: Server, tmp_path: Path) -> None:
    device = openssh_server.by_openssh()
    known = Path(device.options["config"]).with_name("board.client.known_hosts")
    line = known.read_text()
    known.write_text("")
    assert "run `ssh -F" in refusal(device, HostKeyMismatch)
    make_key(tmp_path / "other")
    known.write_text(f"{line.split()[0]} {(tmp_path / 'other.pub').read_text()}")
    assert "somebody may be in between" in refusal(device, HostKeyMismatch)
    known.write_text(f"@revoked * {openssh_server.host_key}\n{line}")
    assert "somebody else may hold this one" in refusal(device, HostKeyMismatch)


def test_a_key_that_is_not_let_in_is_refused_without_a_question(openssh_server: Server, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger", passphrase="correct horse")
    device = openssh_server.by_openssh("IdentitiesOnly yes")
    config = Path(device.options["config"])
    config.write_text(config.read_text().replace(str(openssh_server.identity), str(tmp_path / "stranger")))
    said = refusal(device, Refused)
    assert "Permission denied (publickey)" in said
    assert "board true` works without a question" in said


def test_what_cannot_be_reached_says_why(openssh_server: Server, tmp_path: Path) -> None:
    with openssh(tmp_path / "gone") as gone:
        pass
    assert "Connection refused; start its SSH server" in refusal(gone.by_openssh(), Unreachable)
    assert "correct `address` in devices/board.toml or HostName" in refusal(
        openssh_server.by_openssh("HostName no-such-host.invalid"), Unreachable
    )
    assert "ssh refuses its configuration: " in refusal(openssh_server.by_openssh("Bogus yes"), LabError)
    old = openssh_server.by_openssh("KexAlgorithms diffie-hellman-group14-sha1")
    assert "allow it what is out of date" in refusal(old, Refused)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mute = openssh_server.by_openssh(f"Port {silent.getsockname()[1]}", connect_timeout_s=1.0)
        assert "connect_timeout_s under [openssh] in devices/board.toml" in refusal(mute, TimedOut)


def test_without_a_client_the_other_scheme_is_named(
    openssh_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "install the Debian package openssh-client, or write ssh://" in refusal(
        openssh_server.by_openssh(), MissingTool
    )


def test_a_lost_link_is_said_to_be_lost(own_server: Server) -> None:
    connection = transport.connect(own_server.by_openssh())
    lines = connection.stream(["sh", "-c", "echo first; sleep 600"], silence_s=20)
    assert next(lines) == b"first"
    own_server.signal_sessions(signal.SIGKILL)
    with pytest.raises(Unreachable, match=r"the connection to openssh://board was lost during `sh`"):
        next(lines)
    with pytest.raises(Unreachable):
        connection.run(["true"])
    connection.close()


def test_a_link_that_falls_silent_is_given_up_and_its_client_ended(own_server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1 << 16) * 1600)
    connection = transport.connect(own_server.by_openssh(stall_s=1.0))
    assert connection.run(["true"]).code == 0
    own_server.signal_sessions(signal.SIGSTOP)
    with pytest.raises(TimedOut, match=r"no byte moved for 1 s; check the link, or raise stall_s in \[openssh\]"):
        connection.push(tmp_path / "file", str(own_server.workdir / "there"))
    with pytest.raises(Unreachable):
        connection.run(["true"], timeout_s=5)
    connection.close()


def test_a_process_that_is_killed_leaves_no_client_behind(openssh_server: Server, sockets: Path) -> None:
    device = openssh_server.by_openssh()
    program = (
        "import sys, tempfile, time; tempfile.tempdir = sys.argv[1]\n"
        "from harness.model import Device\nfrom harness.transports import openssh\n"
        "device = Device('board', 'sbc', openssh.address('//board'), options={'config': sys.argv[2]})\n"
        "kept = openssh.connect(device); kept.run(['true']); print('open', flush=True); time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, str(sockets), device.options["config"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert len(clients(sockets)) > 1
        process.kill()
    assert soon(lambda: not clients(sockets))


#: Made by OpenSSH's own stand-in for a FIDO key (regress/misc/sk-dummy): the file holds a handle, the key would sign.
FIDO_HANDLE = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAASgAAABpzay1zc2
gtZWQyNTUxOUBvcGVuc3NoLmNvbQAAACCD/crvX56ooYkgXEyiWu4vcBRzT2Ce2nTOgXvw
2YWnUgAAAARzc2g6AAAAqO2T+iztk/osAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY2
9tAAAAIIP9yu9fnqihiSBcTKJa7i9wFHNPYJ7adM6Be/DZhadSAAAABHNzaDoBAAAAQDeQ
UavKuQzDH+tdJNsU5xneF4Y4mFsCGKsfH7McWbRWg/3K71+eqKGJIFxMolruL3AUc09gnt
p0zoF78NmFp1IAAAAAAAAAB3Jvb3RAdm0BAg==
-----END OPENSSH PRIVATE KEY-----
"""
FIDO_KEY = (
    "sk-ssh-ed25519@openssh.com "
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIIP9yu9fnqihiSBcTKJa7i9wFHNPYJ7adM6Be/DZhadSAAAABHNzaDo="
)


def test_a_fido_key_that_is_not_plugged_in_is_called_that(tmp_path: Path) -> None:
    handle = tmp_path / "handle"
    handle.write_text(FIDO_HANDLE)
    handle.chmod(0o600)
    with openssh(tmp_path / "server") as server:
        (server.folder / "authorized_keys").write_text(FIDO_KEY + "\n")
        said = refusal(server.by_openssh(f"IdentityFile {handle}", "IdentitiesOnly yes"), Refused)
        assert said.startswith("board: openssh://board: sign_and_send_pubkey: signing failed for ED25519-SK ")
        assert "device not found; plug in the FIDO key that it belongs to" in said
        other = server.by_openssh("SecurityKeyProvider /nowhere.so", f"IdentityFile {handle}", "IdentitiesOnly yes")
        assert "invalid format; the key was asked for and did not sign: " in refusal(other, Refused)
