"""Whether the machine that answered is the one that was meant: pinned host keys, and nothing taken on trust."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.pkey import UnknownKeyType

from harness.errors import HostKeyMismatch, LabError
from harness.model import Device
from harness.transports.ssh._options import Options

#: An RSA key signs under several names; all others sign under their own.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}


@dataclass(frozen=True, slots=True)
class Pinned:
    """The keys a host may show, and where they are written."""

    keys: tuple[paramiko.PKey, ...]
    place: str

    def algorithms(self, offered: Sequence[str]) -> tuple[str, ...]:
        """Return those of our algorithms that a pinned key can answer, so that the host shows that very key."""
        wanted = {name for key in self.keys for name in _SIGNATURES.get(key.get_name(), (key.get_name(),))}
        return tuple(name for name in offered if name in wanted) or tuple(offered)


def pinned(device: Device, options: Options, name: str) -> Pinned:
    """Return the keys known for the host that `known_hosts` calls `name` ("pi5.lab" or "[pi5.lab]:2222").

    Args:
        device: the device.
        options: the keys of `[ssh]`.
        name: of the host in `known_hosts`.

    Raises:
        LabError: `host_key` is no key, or the file that `known_hosts` names cannot be read.
    """
    if options.host_key:
        return Pinned((_parsed(device, options.host_key),), f"host_key in {device.file}")
    path = device.file.parent / Path(options.known_hosts).expanduser()
    if not path.is_file():
        if options.known_hosts != Options().known_hosts:
            remedy = "correct the path, or make the file with ssh-keyscan"
            raise LabError(f"{path} does not exist", remedy=remedy, file=str(device.file), key="ssh.known_hosts")
        return Pinned((), str(path))
    try:
        entry = paramiko.HostKeys(str(path)).lookup(name)
    except (OSError, ValueError, paramiko.SSHException) as error:
        raise LabError(
            f"{path} cannot be read ({error})",
            remedy="mend it or set host_key",
            file=str(device.file),
            key="ssh.known_hosts",
        ) from error
    return Pinned(tuple(entry.values()) if entry else (), str(path))


def _parsed(device: Device, line: str) -> paramiko.PKey:
    kind, text = line.split()[:2]
    try:
        return paramiko.PKey.from_type_string(kind, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, paramiko.SSHException, UnknownKeyType) as error:
        raise LabError(
            f"not a public key ({error})",
            remedy="paste type and base64 text as `ssh-keyscan` prints them",
            file=str(device.file),
            key="ssh.host_key",
        ) from error


def check(device: Device, known: Pinned, offered: paramiko.PKey, where: str) -> None:
    """Compare the key a host proved to own with the pinned ones.

    Args:
        device: the device.
        known: the pinned keys.
        offered: the host's own.
        where: the host, for the error.

    Raises:
        HostKeyMismatch: with the line to paste when nothing was pinned; without one when another key was.
    """
    if any(key == offered for key in known.keys):
        return
    line = f"{offered.get_name()} {offered.get_base64()}"
    if not known.keys:
        raise HostKeyMismatch(
            f"the host key of {where} is not in {known.place}. Compare {offered.fingerprint} with the device's own "
            f"(there: `ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub`), then put under [ssh] in {device.file}:\n"
            f'host_key = "{line}"',
            device=device.id,
        )
    was = ", ".join(key.fingerprint for key in known.keys)
    raise HostKeyMismatch(
        f"THE HOST KEY OF {where} IS NOT THE PINNED ONE: {known.place} says {was}, "
        f"the host shows {offered.fingerprint}. Somebody may be in between: nothing was sent.\n"
        "Only if you know that the device was installed anew, replace the pinned key by its new one.",
        device=device.id,
    )


def not_offered(device: Device, known: Pinned, where: str) -> HostKeyMismatch:
    """Return the error for a host that has no key of the pinned kinds.

    Args:
        device: the device.
        known: the pinned keys.
        where: the host, for the error.
    """
    kinds = ", ".join(key.get_name() for key in known.keys)
    return HostKeyMismatch(
        (f"{where} has no host key of the pinned kind ({kinds}, from {known.place}). Nothing was sent"),
        remedy="if the device was installed anew, pin its new key",
        device=device.id,
    )
