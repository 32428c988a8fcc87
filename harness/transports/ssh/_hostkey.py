"""Whether the machine that answered is the one that was meant: known host keys, and nothing taken on trust."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.pkey import UnknownKeyType

from harness.errors import HostKeyMismatch, LabError
from harness.model import Device
from harness.transports.ssh._known import HostKey, known
from harness.transports.ssh._options import Options
from harness.transports.ssh._route import Route

#: An RSA key signs under several names; all others sign under their own.
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa")}


@dataclass(frozen=True, slots=True)
class Pinned:
    """What is known of a host, and where it is written.

    Attributes:
        keys: those it may show.
        place: where they are written.
        file: where another one would be added.
        elsewhere: keys of the same host at port 22: one of them will do, another one is no alarm.
        revoked: those nobody may show any more.
        certified: whether an authority vouches for it, whose certificates are not read here.
        damaged: lines for it that hold no key.
    """

    keys: tuple[HostKey, ...]
    place: str
    file: str = ""
    elsewhere: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    certified: bool = False
    damaged: tuple[str, ...] = ()

    def algorithms(self, offered: Sequence[str]) -> tuple[str, ...]:
        """Return those of our algorithms that a known key can answer, so that the host shows that very key.

        A host that is known at another port only may show any key; those that are known there come first.
        """
        keys = self.keys or self.elsewhere
        wanted = {name for key in keys for name in _SIGNATURES.get(key.kind, (key.kind,))}
        first = tuple(name for name in offered if name in wanted)
        others = tuple(name for name in offered if name not in wanted)
        return first if first and self.keys else first + others


def pinned(device: Device, options: Options, way: Route) -> Pinned:
    """Return what is known of a host.

    Args:
        device: the device.
        options: the keys of `[ssh]`.
        way: the host; `way.alias` is what known_hosts calls it.

    Raises:
        LabError: `host_key` is no key, or the file that `known_hosts` names cannot be read.
    """
    if options.host_key:
        return Pinned((_parsed(device, options.host_key),), f"host_key in {device.file}")
    files = _files(device, options, way)
    place = " or ".join(str(file) for file in files if file.is_file()) or str(files[0])
    try:
        exact = known(files, way.alias)
        plain = known(files, way.alias_without_port) if way.alias_without_port else None
    except OSError as error:
        raise LabError(
            f"{error.filename} cannot be read ({error.strerror})",
            remedy="mend it or set host_key",
            file=str(device.file),
            key="ssh.known_hosts",
        ) from error
    both = [exact, *([plain] if plain else [])]
    return Pinned(
        tuple(exact.keys),
        place,
        file=str(files[0]),
        elsewhere=tuple(plain.keys) if plain else (),
        revoked=tuple(key for one in both for key in one.revoked),
        certified=any(one.authorities for one in both),
        damaged=tuple(line for one in both for line in one.damaged),
    )


def _files(device: Device, options: Options, way: Route) -> list[Path]:
    """Return where the keys of a host may stand: what the device's file says wins over the configuration."""
    if options.known_hosts == Options().known_hosts:
        default = Path(options.known_hosts).expanduser()
        return [Path(name) for name in way.known_hosts] or [default, default.with_name("known_hosts2")]
    path = device.file.parent / Path(options.known_hosts).expanduser()
    if not path.is_file():
        remedy = "correct the path, or make the file with ssh-keyscan"
        raise LabError(f"{path} does not exist", remedy=remedy, file=str(device.file), key="ssh.known_hosts")
    return [path]


def _parsed(device: Device, line: str) -> HostKey:
    kind, text = line.split()[:2]
    try:
        key = HostKey.of_line(kind, text)
        paramiko.PKey.from_type_string(kind, key.blob)
    except (ValueError, paramiko.SSHException, UnknownKeyType) as error:
        raise LabError(
            f"not a public key ({error})",
            remedy="paste type and base64 text as `ssh-keyscan` prints them",
            file=str(device.file),
            key="ssh.host_key",
        ) from error
    return key


def check(device: Device, known: Pinned, shown: paramiko.PKey, way: Route) -> None:
    """Compare the key a host proved to own with the known ones.

    Args:
        device: the device.
        known: what is known of the host.
        shown: the host's own.
        way: the host.

    Raises:
        HostKeyMismatch: with the line to paste when nothing was known; without one when another key was, or when this
            one was revoked.
    """
    offered = HostKey(shown.get_name(), shown.asbytes())
    if offered in known.revoked:
        raise HostKeyMismatch(
            f"THE HOST KEY OF {way} IS REVOKED in {known.place} ({offered.fingerprint}). Nothing was sent",
            remedy="give the machine a new host key: somebody else may hold this one",
            device=device.id,
        )
    of_its_kind = [key for key in known.keys if key.kind == offered.kind]
    if offered in of_its_kind or (not of_its_kind and offered in known.elsewhere):
        return
    if of_its_kind:
        was = ", ".join(key.fingerprint for key in of_its_kind)
        raise HostKeyMismatch(
            f"THE HOST KEY OF {way} IS NOT THE PINNED ONE: {known.place} says {was}, "
            f"the host shows {offered.fingerprint}. Somebody may be in between: nothing was sent.\n"
            "Only if you know that the machine was installed anew, replace the pinned key by its new one.",
            device=device.id,
        )
    if known.keys:
        raise not_offered(device, known, way)
    if known.certified:
        raise HostKeyMismatch(
            f"{way} is known in {known.place} by a certificate authority only, whose certificates ssh:// does not read",
            remedy=(
                f"correct `address` in {device.file} to openssh://, or pin its own key ({offered.fingerprint})"
                if not way.jump
                else f"correct `address` in {device.file} to openssh://, or add its own key to {known.file}"
            ),
            device=device.id,
        )
    raise _unknown(device, known, offered, way)


def _unknown(device: Device, known: Pinned, offered: HostKey, way: Route) -> HostKeyMismatch:
    """Return the error for a host that nothing is known of, with the line that would make it known."""
    damaged = f" (its line at {', '.join(known.damaged)} holds no key)" if known.damaged else ""
    own = "the jump host's own" if way.jump else "the device's own"
    where = (
        f"add this line to {known.file}:\n{way.alias} {offered.line}"
        if way.jump
        else f'put under [ssh] in {device.file}:\nhost_key = "{offered.line}"'
    )
    return HostKeyMismatch(
        f"the host key of {way} is not in {known.place}{damaged}. Compare {offered.fingerprint} with {own} "
        f"(there: `ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub`), then {where}",
        device=device.id,
    )


def not_offered(device: Device, known: Pinned, way: Route) -> HostKeyMismatch:
    """Return the error for a host that has no key of the known kinds.

    Args:
        device: the device.
        known: what is known of the host.
        way: the host.
    """
    kinds = ", ".join(key.kind for key in known.keys)
    return HostKeyMismatch(
        (f"{way} has no host key of the pinned kind ({kinds}, from {known.place}). Nothing was sent"),
        remedy=f"if {'it' if way.jump else 'the device'} was installed anew, pin its new key",
        device=device.id,
    )
