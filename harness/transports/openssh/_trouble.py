"""What OpenSSH's client says when it makes no connection, as errors of ours, each with its own remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.errors import DeviceError, HarnessError, HostKeyMismatch, LabError, Refused, TimedOut, Unreachable
from harness.model import Device
from harness.transports.openssh import _kerberos


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of failure.

    Attributes:
        said: what the client prints then, which is also what is shown.
        error: of ours.
        remedy: BY_HAND stands for the command to try, FILE for the device's file.
    """

    said: re.Pattern[str]
    error: type[DeviceError]
    remedy: str


def _kind(said: str, error: type[DeviceError], remedy: str) -> _Kind:
    return _Kind(re.compile(rf"^.*(?:{said}).*$", re.MULTILINE), error, remedy)


#: The first that fits is the one: a host key that changed ends in `Host key verification failed` as well.
_KINDS: Final = (
    _kind(
        "REVOKED HOST KEY|is marked as revoked",
        HostKeyMismatch,
        "give the machine a new host key: somebody else may hold this one",
    ),
    _kind(
        "REMOTE HOST IDENTIFICATION HAS CHANGED|^Host key for .* has changed",
        HostKeyMismatch,
        "somebody may be in between. Replace its line in known_hosts only if you know that it was installed anew",
    ),
    _kind(
        "No .* host key is known for|Host key verification failed",
        HostKeyMismatch,
        "run `BY_HAND` once, compare the fingerprint it shows with the machine's own, and answer yes",
    ),
    _kind("Too many authentication failures", Refused, "set IdentitiesOnly and IdentityFile for it in ~/.ssh/config"),
    # said before `Permission denied`, which is only what follows
    _kind(
        r"signing failed for (?:ED25519|ECDSA)-SK .*: device not found",
        Refused,
        "plug in the FIDO key that it belongs to, or name what speaks to it: SecurityKeyProvider in ~/.ssh/config",
    ),
    _kind(
        r"signing failed for ",
        Refused,
        "the key was asked for and did not sign: see that `BY_HAND true` works without a question (a FIDO key made with"
        " -O no-touch-required, SecurityKeyProvider in ~/.ssh/config, an agent that does not ask)",
    ),
    _kind(
        "Permission denied",
        Refused,
        "give it a key that it lets in (IdentityFile in ~/.ssh/config, ssh-add, ssh-copy-id) until `BY_HAND true` works"
        " without a question",
    ),
    _kind(
        "Unable to negotiate with",
        Refused,
        "allow it what is out of date in ~/.ssh/config, such as `HostKeyAlgorithms +ssh-rsa` under its Host line",
    ),
    _kind(
        "administratively prohibited|stdio forwarding failed",
        Unreachable,
        "see that the jump host lets us on (AllowTcpForwarding) and that the machine behind it is switched on",
    ),
    _kind("Could not resolve hostname", Unreachable, "correct `address` in FILE or HostName in ~/.ssh/config"),
    _kind(
        "Connection refused",
        Unreachable,
        "start its SSH server, or correct the port in FILE or ~/.ssh/config",
    ),
    _kind("timed out", TimedOut, "is it switched on, and does its network let SSH through?"),
    _kind("No route to host|Network is unreachable", Unreachable, "check the address, the cable and the network"),
)
_CONFIGURATION: Final = re.compile(
    r"^.*(Bad configuration option|bad configuration options|Bad owner or permissions on|Can't open user config file"
    r"|line \d+: |Invalid ).*$",
    re.MULTILINE,
)
#: How the client calls a host that it talks to through a program.
_PROXIED: Final = re.compile(r"UNKNOWN port 65535|kex_exchange_identification|banner exchange")
_SHOWN: Final = 300


def trouble(device: Device, said: str, *, by_hand: str, in_full: Callable[[], str]) -> HarnessError:
    """Return the error for a connection that was not made.

    Args:
        device: the device.
        said: the client's standard error.
        by_hand: the command with which a user would try the same.
        in_full: gives what the client says of a Kerberos ticket, when it is asked for all.
    """
    said = said.replace("\r", "")
    for kind in _KINDS:
        found = kind.said.search(said)
        if found:
            remedy = kind.remedy.replace("BY_HAND", by_hand).replace("FILE", str(device.file))
            # the client of a jump host says it, and then ours that it has no way on
            proxied = _PROXIED.search(said) is not None
            whose = "a host on the way to it" if proxied else str(device.address)
            ticket = None if proxied else _kerberos.why(found[0], in_full)
            if ticket:
                return kind.error(f"{whose}: {ticket.text}", remedy=ticket.remedy, device=device.id)
            return kind.error(f"{whose}: {found[0].strip(' @')[:_SHOWN]}", remedy=remedy, device=device.id)
    found = _CONFIGURATION.search(said)
    if found:
        return LabError(
            f"ssh refuses its configuration: {found[0].strip()[:_SHOWN]}",
            remedy="correct that line, or name another file as config in [openssh]",
            file=str(device.file),
            key="address",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["ssh said nothing"]
    if _PROXIED.search(said):
        return Unreachable(
            f"what it is reached through broke off: {lines[0][:_SHOWN]}",
            remedy=f"try `{by_hand}`, and see its ProxyCommand or ProxyJump in ~/.ssh/config, if it has one",
            device=device.id,
        )
    return Unreachable(f"ssh: {lines[-1][:_SHOWN]}", remedy=f"try `{by_hand}`", device=device.id)
