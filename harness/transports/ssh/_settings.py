"""What ~/.ssh/config says of a host: OpenSSH itself is asked (`ssh -G`) where it is installed, else paramiko's reader.

`ssh -G` knows every line (Include, Match, canonical names, quotes, comments) and leaves tokens and ${VARIABLES} of some
values as they are; these are put in here. paramiko's reader drops in silence what it does not know, so without `ssh` a
file that needs more than it knows is refused by its line.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko

#: As long as the slowest name server that a `Match` or a canonical name may need; s.
_PATIENCE_S: Final = 20.0
_DEFAULT_KEY: Final = re.compile(r"~/\.ssh/id_(rsa|dsa|xmss|ecdsa|ecdsa_sk|ed25519|ed25519_sk)")
#: A configuration names one or two keys; OpenSSH's own list is longer.
_DEFAULT_KEYS: Final = 4
_UNKNOWN: Final = re.compile(
    r"\s*(?P<line>include\b.*|match\s.*|(?:identityfile|identityagent|userknownhostsfile)\b.*\$\{.*)", re.IGNORECASE
)
#: The criteria that paramiko answers as OpenSSH does.
_SIMPLE_MATCH: Final = re.compile(r"match\s+(all|((host|originalhost|localuser)\s+\S+\s*)+)", re.IGNORECASE)
_COMMENT: Final = re.compile(r'^(?P<kept>[^"#]*\S)\s+#.*$')


@dataclass(frozen=True, slots=True)
class Asked:
    """The host that is asked about: its name, and what the address says of it ("" and 0: nothing)."""

    name: str
    user: str = ""
    port: int = 0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says of one host.

    Attributes:
        host: its real name.
        port: where it listens.
        user: who logs in.
        alias: HostKeyAlias, "" if there is none.
        identities: the files that it names.
        agent: IdentityAgent: the path of a socket, "none", or "" for the usual agent.
        only_files: IdentitiesOnly.
        known_hosts: files, "" for the usual ones.
        jumps: ProxyJump, "" if there is none.
        command: ProxyCommand, "" if there is none.
        revoked: RevokedHostKeys, "" if there is none.
        certificates: CertificateFile.
        token: PKCS11Provider, "" if there is none.
    """

    host: str
    port: int
    user: str
    alias: str = ""
    identities: tuple[str, ...] = ()
    agent: str = ""
    only_files: bool = False
    known_hosts: tuple[str, ...] = ()
    jumps: str = ""
    command: str = ""
    revoked: str = ""
    certificates: tuple[str, ...] = ()
    token: str = ""


class Reader:
    """Answers for any host; raises ValueError or OSError where the configuration cannot be read.

    Args:
        path: of the configuration, as the device's file says.
        usual: whether that is where OpenSSH looks by itself.
    """

    def __init__(self, path: Path, *, usual: bool) -> None:
        self._path = path
        self._program = shutil.which("ssh")
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        #: OpenSSH takes the home of the account, whatever HOME says, and then the configuration of the machine
        self._own_home = home == Path.home()
        self._arguments: list[str] = []
        if not (usual and self._own_home):
            self._arguments = ["-F", str(path) if path.is_file() else "none"]

    def settings(self, asked: Asked) -> Settings:
        """Return what the configuration says of a host."""
        return self._by_openssh(asked) if self._program else _by_paramiko(self._path, asked)

    def _by_openssh(self, asked: Asked) -> Settings:
        assert self._program is not None
        user = ["-l", asked.user] if asked.user else []
        port = ["-p", str(asked.port)] if asked.port else []
        done = subprocess.run(
            [self._program, "-G", "-T", *self._arguments, *user, *port, "--", asked.name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise ValueError(f"ssh refuses it: {said[0].removeprefix(f'{self._path}: ')}")
        return self._read(done.stdout.decode("utf-8", "surrogateescape"), asked)

    def _read(self, text: str, asked: Asked) -> Settings:
        lines = [line.partition(" ") for line in text.splitlines()]
        found = {key: value for key, _, value in reversed(lines)}
        fill = _Tokens(found, asked).fill
        identities = [value for key, _, value in lines if key == "identityfile"]
        if len(identities) >= _DEFAULT_KEYS and all(_DEFAULT_KEY.fullmatch(one) for one in identities):
            identities = []
        return Settings(
            host=found["hostname"],
            port=int(found["port"]),
            user=asked.user or fill(found["user"]),
            alias=fill(_said(found, "hostkeyalias")),
            identities=tuple(fill(one) for one in identities if one != "none"),
            agent=_agent(fill(found.get("identityagent", ""))),
            only_files=found.get("identitiesonly") == "yes",
            known_hosts=self._known_hosts([fill(found.get(f"{whose}knownhostsfile", "")) for whose in _WHOSE]),
            jumps=_said(found, "proxyjump"),
            command=_said(found, "proxycommand"),
            revoked=_said(found, "revokedhostkeys"),
            certificates=tuple(fill(value) for key, _, value in lines if key == "certificatefile" and value != "none"),
            token=_said(found, "pkcs11provider"),
        )

    def _known_hosts(self, values: Sequence[str]) -> tuple[str, ...]:
        """Return the files of both lists; OpenSSH prints names with spaces in them without quotes."""
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        files = []
        for value in values:
            files += [value] if Path(value).is_file() else value.split()
        if not self._own_home:  # where HOME was set, the user's own file is there
            usual = {str(home / ".ssh" / name): str(Path.home() / ".ssh" / name) for name in _USUAL_KNOWN}
            files = [usual.get(file, file) for file in files]
        return tuple(file for file in files if file != "none")


_WHOSE: Final = ("user", "global")
_USUAL_KNOWN: Final = ("known_hosts", "known_hosts2")


def _said(found: dict[str, str], key: str) -> str:
    value = found.get(key, "")
    return "" if value.lower() == "none" else value


def _agent(value: str) -> str:
    """Return the socket that IdentityAgent means, "" for the one of SSH_AUTH_SOCK."""
    if value == "SSH_AUTH_SOCK":
        return ""
    return os.environ.get(value[1:], "none") if value.startswith("$") else value


class _Tokens:
    """Puts in what `ssh -G` leaves open: ~, ${VARIABLE} and the tokens of ssh_config(5)."""

    def __init__(self, found: dict[str, str], asked: Asked) -> None:
        account = pwd.getpwuid(os.getuid())
        local = socket.gethostname()
        host, port, user = found["hostname"], found["port"], found["user"]
        alias, jump = _said(found, "hostkeyalias"), _said(found, "proxyjump")
        if "%u" in user:
            user = user.replace("%u", account.pw_name)
        self._values = {
            "%": "%",
            "d": str(Path.home()),
            "h": host,
            "i": str(account.pw_uid),
            "j": jump,
            "k": alias or host,
            "L": local.partition(".")[0],
            "l": local,
            "n": asked.name,
            "p": port,
            "r": user,
            "u": account.pw_name,
            "C": hashlib.sha1(f"{local}{host}{port}{user}{jump}".encode(), usedforsecurity=False).hexdigest(),
        }

    def fill(self, value: str) -> str:
        """Return the value with everything put in; raises ValueError for a variable that is not set."""
        value = re.sub(r"\$\{(\w+)\}", self._variable, value)
        value = re.sub(r"%(.)", lambda one: self._values.get(one[1], one[0]), value)
        return str(Path.home()) + value[1:] if value.startswith("~/") else value

    @staticmethod
    def _variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"the environment variable {found[1]} is not set")
        return os.environ[found[1]]


def _by_paramiko(path: Path, asked: Asked) -> Settings:
    config = paramiko.SSHConfig.from_text(_understood(path) if path.is_file() else "")
    found = config.lookup(asked.name)
    return Settings(
        host=found["hostname"],
        port=asked.port or int(found.get("port", 22)),
        user=asked.user or found.get("user") or getpass.getuser(),
        alias=found.get("hostkeyalias", ""),
        identities=tuple(found.get("identityfile", [])),
        agent=_agent(str(Path(found.get("identityagent", "")).expanduser()) if found.get("identityagent") else ""),
        only_files=found.get("identitiesonly", "no") == "yes",
        known_hosts=tuple(str(Path(one).expanduser()) for one in found.get("userknownhostsfile", "").split()),
        jumps=_said(found, "proxyjump"),
        command=found.get("proxycommand") or "",
        revoked=_said(found, "revokedhostkeys"),
        certificates=tuple(str(Path(one).expanduser()) for one in _several(found.get("certificatefile"))),
        token=_said(found, "pkcs11provider"),
    )


def _several(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _understood(path: Path) -> str:
    """Return the text of a configuration without trailing comments; ValueError for a line that only OpenSSH knows."""
    lines = [_COMMENT.sub(r"\g<kept>", line) for line in path.read_text("utf-8", "replace").splitlines()]
    for number, line in enumerate(lines, start=1):
        unknown = _UNKNOWN.fullmatch(line)
        if unknown and not _SIMPLE_MATCH.fullmatch(unknown["line"].strip()):
            raise ValueError(
                f"line {number} ({unknown['line'].strip()}) is understood by OpenSSH's own client only, which is not "
                "installed here (Debian package openssh-client)"
            )
    return "\n".join(lines)
