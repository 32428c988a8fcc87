"""address = "openssh://pi5"                  # or openssh://bench@pi5.lab:22: whatever `ssh pi5` reaches

[openssh]
config = "FILE"                            # instead of ~/.ssh/config and /etc/ssh/ssh_config

The same devices as with ssh://, reached by this host's own OpenSSH client: ProxyCommand, certificates, FIDO keys,
GSSAPI and every other line of the configuration work as they do for `ssh`, which never asks anything here
(BatchMode). Host keys are checked as the configuration says. One client a device keeps the connection (ControlMaster),
and each command is a session of it; a server that grants one session at a time gets more connections.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Address, Device
from harness.ports.transports import Connection

__all__ = ["ENCRYPTED", "EXAMPLE", "Options", "address", "connect", "workdir"]

EXAMPLE = "openssh://pi5"
ENCRYPTED = True


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[openssh]`.

    Attributes:
        config: OpenSSH client configuration; empty: the user's and the machine's.
        connect_timeout_s: how long name, key exchange and log-in may take in all; s.
        keepalive_s: how often an idle connection sends a sign of life; s, 0 for what the configuration says.
        stall_s: how long a copy may make no progress before it is given up; s.
    """

    config: str = ""
    connect_timeout_s: float = 15.0
    keepalive_s: float = 15.0
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        if self.keepalive_s < 0 or min(self.connect_timeout_s, self.stall_s) <= 0:
            raise ValueError("keepalive_s must not be negative; connect_timeout_s and stall_s must be above 0")


def address(text: str) -> Address:
    """Return the address that //[USER@]HOST[:PORT] spells."""
    return Address.of_url("openssh", text)


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Open a connection that OpenSSH's client has made.

    Args:
        device: `device.options` are the keys of `Options`.
        timeout_s: for all of it: name, TCP, key exchange, log-in; s; None for `connect_timeout_s` of its options.

    Raises:
        Unreachable: the name does not resolve, nothing listens, or the ProxyCommand failed.
        TimedOut: no answer in time.
        HostKeyMismatch: the host's key is unknown, changed or revoked.
        Refused: no key lets the user in.
        MissingTool: there is no OpenSSH client on this host.
        LabError: the configuration cannot be read.
    """
    from harness.transports.openssh._masters import Masters
    from harness.transports.openssh._session import OpensshSession

    options = Options(**device.options)
    wait_s = options.connect_timeout_s if timeout_s is None else timeout_s
    return OpensshSession(device, Masters(device, options, timeout_s=wait_s), stall_s=options.stall_s)


def workdir(device: Device) -> str:
    """Return a folder of the user's cache, which survives from one campaign to the next."""
    del device
    return "~/.cache/edgeward/device"
