"""address = "ssh://bench@pi5.lab:22"         # user, port and real name may stand in ~/.ssh/config instead

[ssh]
host_key = "ssh-ed25519 AAAA…"             # or known_hosts = "FILE"; an unknown key is refused
identity = "~/.ssh/lab"

A device that runs an SSH server: OpenSSH, dropbear, whatever an embedded Linux has.
Only commands are used, never SFTP or SCP, which small units lack and which are slower over a long link. Passwords are
never asked for and never stored: a key comes from the agent or from an identity file.
"""

from __future__ import annotations

from harness.model import Address, Device
from harness.ports.transports import Connection
from harness.transports.ssh._options import Options

__all__ = ["ENCRYPTED", "EXAMPLE", "Options", "address", "connect", "workdir"]

EXAMPLE = "ssh://bench@pi5.lab:22"
ENCRYPTED = True


def address(text: str) -> Address:
    """Return the address that //[USER@]HOST[:PORT] spells."""
    return Address.of_url("ssh", text)


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Open a connection whose host key has been checked and whose user has been let in.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for all of it: name, TCP, key exchange, log-in; s; None for `connect_timeout_s` of its options.

    Raises:
        Unreachable: the name does not resolve, nothing listens, or what listens does not speak SSH.
        TimedOut: no answer in time.
        HostKeyMismatch: the host's key is unknown or another one than was pinned.
        Refused: no key lets the user in, or the identity cannot be used.
        LabError: the pinned host key or the configuration cannot be read.
    """
    from harness.transports.ssh import _login  # brings paramiko, which takes a fifth of a second to import

    options = Options(**device.options)
    return _login.login(device, options, timeout_s=options.connect_timeout_s if timeout_s is None else timeout_s)


def workdir(device: Device) -> str:
    """Return a folder of the user's cache, which survives from one campaign to the next."""
    del device
    return "~/.cache/edgeward/device"
