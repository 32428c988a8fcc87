"""~/.ssh/config as OpenSSH reads it, keys wherever they are held, few sessions, and faults named where they are."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key, openssh
from harness.errors import DeviceError, HostKeyMismatch, LabError, Refused, TimedOut, Unreachable
from harness.transports import ssh
from tests.devices.clinic import Clinic, named
from tests.devices.test_openssh import agent


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return Clinic(tmp_path / "home")


def greets(clinic: Clinic, server: Server, config: str, *, user: str = "") -> bool:
    """Return whether the name `board` leads to a server by a configuration in which SERVER stands for what it needs."""
    needed = f"HostName {server.host}\n Port {server.port}\n IdentityFile {server.identity}"
    clinic.config.write_text(config.replace("SERVER", needed))
    clinic.known.write_text(f"[{server.host}]:{server.port} {server.host_key}\n")
    device = named("board")
    object.__setattr__(device, "address", type(device.address)("ssh", "board", user))
    connection = ssh.connect(device)
    try:
        return connection.run(["echo", "hello"]).text == "hello"
    finally:
        connection.close()


CONFIGURATIONS = {
    "a Match of the name": "Match originalhost board\n SERVER\n",
    "a Match of everything at the end": "Host board\n SERVER\nMatch final all\n ServerAliveInterval 5\n",
    "a Match of what a command says": 'Match originalhost board exec "true"\n SERVER\n',
    "a Match of the address's user": "Match user root\n SERVER\n",
    "a comment behind a value": "Host board # the one in the lab\n SERVER\n User root # nobody else\n",
    "no ProxyCommand": "Host board\n SERVER\n ProxyCommand None\n",
    "equals signs and quotes": 'Host="board"\n SERVER\n User = "root"\n',
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_line_of_the_configuration_means_what_it_means_to_openssh(
    name: str, clinic: Clinic, openssh_server: Server
) -> None:
    assert greets(clinic, openssh_server, CONFIGURATIONS[name], user="root")


def test_an_included_file_variables_and_tokens_are_followed(
    clinic: Clinic, openssh_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"HostName {openssh_server.host}\n Port {openssh_server.port}\n"
    (clinic.home / "lab").write_text(f"Host board\n {place} IdentityFile ${{EDGEWARD_KEYS}}/%n_%r\n")
    keys = clinic.home / "keys"
    keys.mkdir()
    (keys / f"board_{openssh_server.user}").write_bytes(openssh_server.identity.read_bytes())
    monkeypatch.setenv("EDGEWARD_KEYS", str(keys))
    assert greets(clinic, openssh_server, f"Include {clinic.home}/lab\n")
    monkeypatch.delenv("EDGEWARD_KEYS")
    with pytest.raises(LabError, match=r"\.ssh/config: the environment variable EDGEWARD_KEYS is not set"):
        ssh.connect(named("board"))


@pytest.mark.parametrize("line", ["Include config.d/*", 'Match exec "true"', "Match final all", "Match user root"])
def test_without_openssh_what_its_reader_alone_knows_is_refused_by_its_line(
    line: str, clinic: Clinic, openssh_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert greets(clinic, openssh_server, "Host board # here\n SERVER # and there\n")
    with pytest.raises(LabError, match=r"\.ssh/config: line 1 \(.*\) is understood by OpenSSH's own client only"):
        greets(clinic, openssh_server, f"{line}\nHost board\n SERVER\n")


@pytest.mark.parametrize("line", ["ProxyCommand nc %h %p", "RevokedHostKeys /etc/ssh/revoked"])
def test_what_ssh_addresses_cannot_do_names_the_scheme_that_can(
    line: str, clinic: Clinic, openssh_server: Server
) -> None:
    with pytest.raises(LabError, match=rf"{line.split()[0]} of board is not .*; write openssh:// as its scheme"):
        greets(clinic, openssh_server, f"Host board\n SERVER\n {line}\n")


def test_a_public_identity_is_signed_for_by_the_agent_that_the_configuration_names(
    clinic: Clinic, openssh_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = tmp_path / "lab.pub"
    public.write_bytes(openssh_server.identity.with_suffix(".pub").read_bytes())
    with agent(tmp_path, monkeypatch):
        subprocess.run(["ssh-add", "-q", str(openssh_server.identity)], check=True)
        monkeypatch.delenv("SSH_AUTH_SOCK")
        clinic.config.write_text(f"IdentityAgent {tmp_path}/agent.sock\n")
        for identity in (public, public.with_suffix("")):  # the private half may be missing, as in a token
            ssh.connect(openssh_server.device(identity=str(identity))).close()
        clinic.config.write_text("IdentityAgent none\n")
        with pytest.raises(Refused, match=r"lab\.pub is a public key and the agent does not hold its private half"):
            ssh.connect(openssh_server.device(identity=str(public)))
    clinic.config.write_text(f"IdentityAgent {tmp_path}/gone.sock\n")
    with pytest.raises(Refused, match=r"the agent at .*/gone\.sock \(IdentityAgent\) does not answer"):
        ssh.connect(openssh_server.device(identity=str(public)))


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_a_key_in_pkcs8_is_used(kind: str, own_server: Server, clinic: Clinic) -> None:
    del clinic
    key = own_server.folder / "pkcs8"
    make_key(key, kind=kind)
    with (own_server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    change = ["ssh-keygen", "-q", "-p", "-m", "PKCS8", "-N", "", "-f", str(key)]
    subprocess.run(change, check=True, stdin=subprocess.DEVNULL)
    assert key.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    ssh.connect(own_server.device(identity=str(key))).close()


def test_which_key_an_encrypted_file_holds_is_read_from_its_header(
    own_server: Server, clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del clinic
    locked = tmp_path / "locked"
    locked.write_bytes(own_server.identity.read_bytes())
    locked.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-N", "correct horse", "-f", str(locked)]
    with agent(tmp_path, monkeypatch):
        subprocess.run(["ssh-add", "-q", str(own_server.identity)], check=True)
        subprocess.run(change, check=True, stdin=subprocess.DEVNULL)
        ssh.connect(own_server.device(identity=str(locked))).close()


def test_a_key_of_putty_says_how_it_is_converted(openssh_server: Server, clinic: Clinic, tmp_path: Path) -> None:
    del clinic
    (tmp_path / "lab.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n")
    with pytest.raises(Refused, match=r"lab\.ppk is a key of PuTTY; convert it: puttygen .* -O private-openssh"):
        ssh.connect(openssh_server.device(identity=str(tmp_path / "lab.ppk")))


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_a_server_that_grants_few_sessions_loses_no_command(sessions: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40_000)
    with openssh(tmp_path / "server", settings=[f"MaxSessions {sessions}"]) as server:
        connection = ssh.connect(server.device())
        assert [connection.run(["echo", str(turn)]).text for turn in range(40)] == [str(turn) for turn in range(40)]
        with ThreadPoolExecutor(4) as pool:
            pushing = pool.submit(connection.push, tmp_path / "file", str(server.workdir / "there"))
            answers = list(pool.map(lambda turn: connection.run(["echo", str(turn)]).text, range(60)))
            pushing.result()
        with pytest.raises(TimedOut, match="did not end within"):
            connection.run(["sleep", "600"], timeout_s=0.3)
        assert connection.run(["echo", "still here"]).text == "still here"
        connection.close()
    assert answers == [str(turn) for turn in range(60)]


def test_a_slow_log_in_says_how_far_it_came(tmp_path: Path, clinic: Clinic) -> None:
    del clinic
    settings = ["AuthorizedKeysCommand /usr/bin/sleep 30", "AuthorizedKeysCommandUser root", "AuthorizedKeysFile none"]
    with openssh(tmp_path / "server", settings=settings) as server:
        said = r"answered \(SSH-2\.0-OpenSSH.*\), but had not let root in after 1 s; .*connect_timeout_s under \[ssh\]"
        with pytest.raises(TimedOut, match=said):
            ssh.connect(server.device(connect_timeout_s=1.0))


def jump_fault(kind: type[DeviceError], end: Server) -> str:
    """Return the message for a device behind a jump host at fault, which never sends the user to the device's file."""
    with pytest.raises(kind) as caught:
        ssh.connect(named("scanner", host_key=end.host_key, identity=str(end.identity)))
    assert "the jump host gate" in str(caught.value)
    assert "scanner.toml" not in str(caught.value)
    return str(caught.value)


def test_a_jump_hosts_unknown_key_is_added_to_known_hosts(
    clinic: Clinic, openssh_server: Server, tmp_path: Path
) -> None:
    with openssh(tmp_path / "gate") as gate:
        clinic.knows("gate", gate, pinned=False)
        clinic.knows("scanner", openssh_server, jump="gate")
        said = jump_fault(HostKeyMismatch, openssh_server)
        assert "host_key =" not in said
        with clinic.known.open("a") as file:
            file.write(said.splitlines()[1] + "\n")
        device = named("scanner", host_key=openssh_server.host_key, identity=str(openssh_server.identity))
        ssh.connect(device).close()


def test_a_jump_hosts_key_is_set_in_the_configuration(clinic: Clinic, own_server: Server) -> None:
    clinic.knows("gate", own_server)
    clinic.knows("scanner", own_server, jump="gate")
    make_key(clinic.home / "stranger")
    text = clinic.config.read_text().replace(str(own_server.identity), str(clinic.home / "stranger"), 1)
    clinic.config.write_text(text)
    assert "set IdentityFile of gate in ~/.ssh/config" in jump_fault(Refused, own_server)


def test_a_jump_hosts_name_and_port_are_corrected_in_the_configuration(
    clinic: Clinic, openssh_server: Server, tmp_path: Path
) -> None:
    with openssh(tmp_path / "gone") as gone:
        pass
    clinic.knows("gate", gone)
    clinic.knows("scanner", openssh_server, jump="gate")
    assert "correct Port of gate in ~/.ssh/config" in jump_fault(Unreachable, openssh_server)
    clinic.config.write_text("Host gate\n HostName no-such-host.invalid\nHost scanner\n ProxyJump gate\n")
    assert "check HostName of gate in ~/.ssh/config" in jump_fault(Unreachable, openssh_server)
