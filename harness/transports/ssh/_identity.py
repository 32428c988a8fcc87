"""Who we are: keys of the agent and of identity files, tried in turn; never a password, never a prompt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from paramiko.pkey import UnknownKeyType

from harness.errors import Refused
from harness.model import Device
from harness.transports.ssh._options import Options

if TYPE_CHECKING:
    from harness.transports.ssh._route import Route

#: Where OpenSSH looks by itself.
_USUAL = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: paramiko.PKey
    origin: str

    def __str__(self) -> str:
        return f"{self.origin} ({self.key.fingerprint})"


class _Unusable(Exception):
    """An identity file that gives no key; its text says why and what to do."""


def authenticate(device: Device, options: Options, way: Route, transport: paramiko.Transport, ends_at: float) -> None:
    """Log the user in with the first key that is accepted.

    Args:
        device: the device.
        options: the keys of `[ssh]`.
        way: the host and the user.
        transport: after the key exchange.
        ends_at: deadline on the monotonic clock.

    Raises:
        Refused: the identity cannot be used, there is no key at all, or none was accepted.
        TimeoutError: `ends_at` passed, on the monotonic clock.
    """
    agent = paramiko.Agent()
    tried: list[str] = []
    unusable: list[str] = []
    try:
        for candidate in _candidates(device, options, way, agent.get_keys(), unusable):
            tried.append(str(candidate))
            if _accepted(device, way, transport, candidate, ends_at):
                return
            if not transport.is_active():
                break  # it has seen enough wrong keys (MaxAuthTries)
    finally:
        agent.close()
    if not tried:
        why = "; ".join(unusable) or "the agent holds none and there is none in ~/.ssh; set identity in [ssh]"
        raise Refused(f"no key to log in as {way.user} on {way}: {why}", device=device.id)
    also = f" ({'; '.join(unusable)})" if unusable else ""
    raise Refused(
        f"{way} lets {way.user} in with none of the keys tried: {', '.join(tried)}{also}. "
        f"Add one to its ~/.ssh/authorized_keys there (ssh-copy-id), or set identity in {device.file}",
        device=device.id,
    )


def _accepted(device: Device, way: Route, transport: paramiko.Transport, candidate: _Candidate, ends_at: float) -> bool:
    transport.auth_timeout = max(0.1, ends_at - time.monotonic())
    try:
        wanted = transport.auth_publickey(way.user, candidate.key)
    except paramiko.BadAuthenticationType as error:
        raise Refused(
            f"{way} takes {', '.join(error.allowed_types)} and no public key from {way.user}",
            remedy="allow PubkeyAuthentication in its sshd_config",
            device=device.id,
        ) from error
    except paramiko.AuthenticationException as error:
        if time.monotonic() >= ends_at:
            raise TimeoutError from error
        return False
    if wanted:
        raise Refused(
            f"{way} wants {', '.join(wanted)} besides the key",
            remedy=f"allow {way.user} in with the key alone",
            device=device.id,
        )
    return True


def _candidates(
    device: Device, options: Options, way: Route, held: Sequence[paramiko.AgentKey], unusable: list[str]
) -> Iterator[_Candidate]:
    """Yield the keys in the order they are tried; reasons why a file gave none go to `unusable`."""
    if options.identity:
        yield from _from_file(device.file.parent / Path(options.identity).expanduser(), held, unusable)
        return
    for name in way.identities:
        yield from _from_file(Path(name).expanduser(), held, unusable)
    if way.agent:
        for key in held:
            yield _Candidate(key, f"the agent's {key.comment or key.get_name()}")
    if not way.identities:
        for name in _USUAL:
            if Path(name).expanduser().is_file():
                yield from _from_file(Path(name).expanduser(), held, unusable)


def _from_file(path: Path, held: Sequence[paramiko.AgentKey], unusable: list[str]) -> Iterator[_Candidate]:
    """Yield the key of an identity file, by way of the agent if it is encrypted."""
    try:
        yield _Candidate(_read(path), str(path))
    except paramiko.PasswordRequiredException:
        public = _public(path)
        matching = [key for key in held if key.get_base64() == public]
        if not matching:
            unusable.append(f"identity {path} is encrypted and the agent does not hold it; run `ssh-add {path}`")
        for key in matching:
            yield _Candidate(key, f"{path} by way of the agent")
    except _Unusable as error:
        unusable.append(str(error))


def _read(path: Path) -> paramiko.PKey:
    """Return the private key of a file; raises PasswordRequiredException or _Unusable."""
    try:
        return paramiko.PKey.from_path(path)
    except FileNotFoundError as error:
        raise _Unusable(f"identity {path} does not exist; correct `identity` or make one with ssh-keygen") from error
    except OSError as error:
        raise _Unusable(f"identity {path} cannot be read ({error.strerror}); check its permissions") from error
    except TypeError as error:  # what the cryptography library says to an encrypted key without a password
        raise paramiko.PasswordRequiredException(str(error)) from error
    except (ValueError, paramiko.SSHException, UnknownKeyType) as error:
        if "password" in str(error).lower() or isinstance(error, paramiko.PasswordRequiredException):
            raise paramiko.PasswordRequiredException(str(error)) from error
        raise _Unusable(f"identity {path} is no private key that can be used; make one with ssh-keygen") from error


def _public(path: Path) -> str:
    """Return the base64 text of the public key that stands beside an encrypted one, "" if there is none."""
    beside = path.with_name(path.name + ".pub")
    parts = beside.read_text().split() if beside.is_file() else []
    return parts[1] if len(parts) > 1 else ""
