"""known_hosts by OpenSSH's rules: each file is given to OpenSSH's own client as well, and both must say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, make_key
from harness.errors import HostKeyMismatch, LabError
from harness.transports import ssh


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the user an empty home, without an agent."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> str:
    """Return another key of the kind that the server has."""
    make_key(tmp_path / "other")
    return " ".join((tmp_path / "other.pub").read_text().split()[:2])


def trusts(server: Server, hosts: Path) -> bool:
    """Return whether an SSH connection is opened to a server by what a file says; what else happens is an error."""
    try:
        ssh.connect(server.device(host_key="", known_hosts=str(hosts))).close()
    except HostKeyMismatch:
        return False
    return True


def openssh_trusts(server: Server, hosts: Path) -> bool:
    """Return whether OpenSSH's own client opens one."""
    options = {
        "UserKnownHostsFile": hosts,
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "IdentityFile": server.identity,
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    place = ["-p", str(server.port), f"{server.user}@{server.host}"]
    done = subprocess.run(["ssh", "-F", "none", *words, *place, "true"], capture_output=True, check=False)
    assert done.returncode == 0 or b"Host key verification failed" in done.stderr, done.stderr
    return done.returncode == 0


#: Of a file for a server on port PORT whose key is KEY, while OTHER is another one of the same kind.
FILES: dict[str, tuple[str, bool]] = {
    "an authority for other hosts": ("@cert-authority *.example.com OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "an authority for this host and its key": ("@cert-authority * OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "an authority for this host alone": ("@cert-authority * OTHER\n", False),
    "two keys of one kind, the second right": ("[127.0.0.1]:PORT OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "two keys of one kind, the first right": ("[127.0.0.1]:PORT KEY\n[127.0.0.1]:PORT OTHER\n", True),
    "another key": ("[127.0.0.1]:PORT OTHER\n", False),
    "a revoked key": ("@revoked * KEY\n[127.0.0.1]:PORT KEY\n", False),
    "a revoked key behind its own line": ("[127.0.0.1]:PORT KEY\n@revoked [127.0.0.1]:PORT KEY\n", False),
    "another key revoked": ("@revoked * OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "a marker nobody knows": ("@trusted * OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "stars": ("[127.0.0.*]:PORT KEY\n", True),
    "question marks": ("[127.?.0.1]:PORT KEY\n", True),
    "a star for everything": ("* KEY\n", True),
    "brackets are no class of letters": ("[127.0.0.1]:[0-9]* KEY\n", False),
    "this host but not by negation": ("*,![127.0.0.1]:PORT,!127.0.0.1 KEY\n", False),
    "this port but not the host by negation": ("*,![127.0.0.1]:PORT KEY\n", True),
    "negation alone": ("![10.0.0.1]:PORT KEY\n", False),
    "negation of another": ("[127.0.0.*]:PORT,![127.0.0.2]:PORT KEY\n", True),
    "several names": ("pi5,[127.0.0.1]:PORT,10.0.0.1 KEY\n", True),
    "no port": ("127.0.0.1 KEY\n", True),
    "no port and another key": ("127.0.0.1 OTHER\n", False),
    "another port": ("[127.0.0.1]:1 KEY\n", False),
    "another key without port, right with": ("127.0.0.1 OTHER\n[127.0.0.1]:PORT KEY\n", True),
    "right without port, another with": ("127.0.0.1 KEY\n[127.0.0.1]:PORT OTHER\n", False),
    "a comment that is not UTF-8": ("[127.0.0.1]:PORT KEY J\xfcrgen\n", True),
    "a damaged line for another host": ("pi5 ssh-ed25519 AAAA!\n[127.0.0.1]:PORT KEY\n", True),
    "a damaged line for this host": ("[127.0.0.1]:PORT ssh-ed25519 AAAA!\n[127.0.0.1]:PORT KEY\n", True),
    "a cut line": ("[127.0.0.1]:PORT ssh-ed2\n[127.0.0.1]:PORT KEY\n", True),
    "a key of the kind of tokens": ("* sk-ssh-ed25519@openssh.com AAAA\n[127.0.0.1]:PORT KEY\n", True),
    "a key of SSH 1": ("[127.0.0.1]:PORT 1024 65537 123456789\n[127.0.0.1]:PORT KEY\n", True),
    "blank lines, indents, tabs": ("\n  \n# note\n \t[127.0.0.1]:PORT\tKEY\n", True),
    "Windows' line ends": ("[127.0.0.1]:PORT KEY\r\n", True),
    "a line that is a comment": ("# [127.0.0.1]:PORT KEY\n", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_means_what_it_means_to_openssh(name: str, openssh_server: Server, tmp_path: Path, other: str) -> None:
    text, trusted = FILES[name]
    filled = text.replace("PORT", str(openssh_server.port)).replace("KEY", openssh_server.host_key)
    hosts = tmp_path / "hosts"
    hosts.write_bytes(filled.replace("OTHER", other).encode("latin-1"))
    assert (trusts(openssh_server, hosts), openssh_trusts(openssh_server, hosts)) == (trusted, trusted)


def refusal(server: Server, hosts: Path, text: str) -> str:
    """Return the message with which a server is refused by a file."""
    hosts.write_text(text)
    with pytest.raises(HostKeyMismatch) as caught:
        ssh.connect(server.device(host_key="", known_hosts=str(hosts)))
    return str(caught.value)


def test_each_refusal_says_which_it_is(openssh_server: Server, tmp_path: Path, other: str) -> None:
    name, key = f"[127.0.0.1]:{openssh_server.port}", openssh_server.host_key
    hosts = tmp_path / "hosts"
    assert "IS REVOKED in" in refusal(openssh_server, hosts, f"@revoked * {key}\n")
    by_authority = refusal(openssh_server, hosts, f"@cert-authority * {other}\n")
    assert "by a certificate authority only" in by_authority
    assert "openssh://, or pin its own key" in by_authority
    assert "IS NOT THE PINNED ONE" in refusal(openssh_server, hosts, f"{name} {other}\n")
    unknown = refusal(openssh_server, hosts, f"{name} ssh-ed25519 AAAA!\n")
    assert f"is not in {hosts} (its line at {hosts}:1 holds no key)" in unknown


def test_an_alarm_names_every_key_that_was_known(openssh_server: Server, tmp_path: Path, other: str) -> None:
    make_key(tmp_path / "third")
    third = " ".join((tmp_path / "third.pub").read_text().split()[:2])
    name = f"[127.0.0.1]:{openssh_server.port}"
    said = refusal(openssh_server, tmp_path / "hosts", f"{name} {other}\n{name} {third}\n")
    prints = {
        subprocess.run(["ssh-keygen", "-lf", file], capture_output=True, text=True, check=True).stdout.split()[1]
        for file in (tmp_path / "other.pub", tmp_path / "third.pub", openssh_server.folder / "host_key_ed25519.pub")
    }
    assert len(prints) == 3
    assert all(one in said for one in prints)


@pytest.mark.parametrize("capital", ["in the file", "in the address"])
def test_capitals_do_not_matter(capital: str, openssh_server: Server, home: Path) -> None:
    spell: Callable[[str], str] = str.upper if capital == "in the file" else str.lower
    (home / ".ssh/known_hosts").write_text(f"[{spell('localhost')}]:{openssh_server.port} {openssh_server.host_key}\n")
    (home / ".ssh/config").write_text(f"Host pi5\n HostName {'LOCALHOST' if spell is str.lower else 'localhost'}\n")
    device = openssh_server.device(host_key="", known_hosts="~/.ssh/known_hosts")
    object.__setattr__(device, "address", type(device.address)("ssh", "pi5", openssh_server.user, openssh_server.port))
    ssh.connect(device).close()


def test_the_files_of_the_configuration_are_read(openssh_server: Server, home: Path, tmp_path: Path) -> None:
    line = f"[{openssh_server.host}]:{openssh_server.port} {openssh_server.host_key}\n"
    (tmp_path / "mine").touch()
    (tmp_path / "everybodys").write_text(line)
    config = home / ".ssh/config"
    config.write_text(
        f"UserKnownHostsFile {tmp_path}/none {tmp_path}/mine\nGlobalKnownHostsFile {tmp_path}/everybodys\n"
    )
    ssh.connect(openssh_server.device(host_key="")).close()
    (tmp_path / "everybodys").write_text("")
    with pytest.raises(HostKeyMismatch, match=rf"is not in {tmp_path}/mine or {tmp_path}/everybodys\."):
        ssh.connect(openssh_server.device(host_key=""))


def test_a_file_that_is_named_and_missing_is_an_error_of_the_device_file(
    openssh_server: Server, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=r"devices/openssh\.toml: ssh\.known_hosts: .*/none does not exist"):
        ssh.connect(openssh_server.device(host_key="", known_hosts=str(tmp_path / "none")))
