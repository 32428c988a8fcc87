"""address = "ssh://bench@pi5.lab:22"         # user, port and real name may stand in ~/.ssh/config instead

[ssh]
host_key = "ssh-ed25519 AAAA…"             # or known_hosts = "FILE"; an unknown key is refused
identity = "~/.ssh/lab"

A device that runs an SSH server: OpenSSH, dropbear, whatever an embedded Linux has.
Only commands are used, never SFTP or SCP, which small units lack and which are slower over a long link. Passwords are
never asked for and never stored: a key comes from the agent or from an identity file.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Device
from harness.ports import Connection


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[ssh]`.

    Attributes:
        host_key: the device's own public key as one line, type and base64; wins over `known_hosts`.
        known_hosts: a file as OpenSSH keeps it, looked at when `host_key` is empty.
        identity: private key file; empty: those of ~/.ssh/config, the agent's, then ~/.ssh/id_*.
        config: OpenSSH client configuration that HostName, Port, User, IdentityFile, IdentitiesOnly, HostKeyAlias and
            ProxyJump are taken from; a jump host's key must be in `known_hosts`.
        legacy: whether the device may be spoken to as servers did before 2016: SHA-1, CBC.
        keepalive_s: how often an idle connection sends a sign of life, so that routers keep it open; s, 0 for never.
        stall_s: how long a copy may make no progress before it is given up; s.
    """

    host_key: str = ""
    known_hosts: str = "~/.ssh/known_hosts"
    identity: str = ""
    config: str = "~/.ssh/config"
    legacy: bool = False
    keepalive_s: float = 15.0
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        if self.host_key and len(self.host_key.split()) < 2:
            raise ValueError(
                "a host key is its type and its base64 text, as `ssh-keyscan HOST` prints them after the name"
            )
        if self.keepalive_s < 0 or self.stall_s <= 0:
            raise ValueError("keepalive_s must not be negative, and stall_s must be above 0")


def connect(device: Device, *, timeout_s: float = 15.0) -> Connection:
    """Open a connection whose host key has been checked and whose user has been let in.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for all of it: name, TCP, key exchange, log-in; s.

    Raises:
        Unreachable: the name does not resolve, nothing listens, or what listens does not speak SSH.
        TimedOut: no answer in time.
        HostKeyMismatch: the host's key is unknown or another one than was pinned.
        Refused: no key lets the user in, or the identity cannot be used.
        LabError: the pinned host key or the configuration cannot be read.
    """
    from harness.transports import _ssh_login  # brings paramiko, which takes a fifth of a second to import

    return _ssh_login.login(device, Options(**device.options), timeout_s=timeout_s)


def workdir(device: Device) -> str:
    """Return a folder of the user's cache, which survives from one campaign to the next."""
    del device
    return "~/.cache/edgeward/device"
