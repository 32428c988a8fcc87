"""Who we are: keys of the agent and of identity files, tried in turn; never a password, never a prompt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob

from harness.errors import Refused
from harness.model import Device
from harness.transports.ssh._agent import KeyAgent
from harness.transports.ssh._keyfile import Elsewhere, Unusable, read
from harness.transports.ssh._options import Options
from harness.transports.ssh._route import Route

#: Where OpenSSH looks by itself.
_USUAL = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


@dataclass(frozen=True, slots=True)
class _Candidate:
    key: paramiko.PKey
    origin: str

    def __str__(self) -> str:
        return f"{self.origin} ({self.key.fingerprint})"


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
    agent = KeyAgent(way.agent_socket, patience_s=max(0.1, ends_at - time.monotonic()))
    tried: list[str] = []
    unusable = [agent.trouble] if agent.trouble else []
    try:
        for candidate in _candidates(device, options, way, agent.keys, unusable):
            tried.append(str(candidate))
            if _accepted(device, way, transport, candidate, ends_at):
                return
            if not transport.is_active():
                break  # it has seen enough wrong keys (MaxAuthTries)
    finally:
        agent.close()
    name = way.written(device, options, "identity under [ssh]", "IdentityFile")
    by_token = (
        f". ssh:// does not use PKCS11Provider: load its keys into the agent (`ssh-add -s {way.token}`), or "
        f"correct `address` in {device.file} to openssh://"
        if way.token
        else ""
    )
    if not tried:
        why = "; ".join(unusable) or f"the agent holds none and there is none in ~/.ssh; set {name}"
        raise Refused(f"no key to log in as {way.user} on {way}: {why}{by_token}", device=device.id)
    also = f" ({'; '.join(unusable)})" if unusable else ""
    raise Refused(
        f"{way} lets {way.user} in with none of the keys tried: {', '.join(tried)}{also}. "
        f"Add one to its ~/.ssh/authorized_keys there (ssh-copy-id), or set {name}{by_token}",
        device=device.id,
    )


def _by_ticket(device: Device, allowed: Sequence[str]) -> str:
    by_ticket = any(one.startswith("gssapi") for one in allowed)
    return f", or correct `address` in {device.file} to openssh://, which uses your ticket" if by_ticket else ""


def _accepted(device: Device, way: Route, transport: paramiko.Transport, candidate: _Candidate, ends_at: float) -> bool:
    transport.auth_timeout = max(0.1, ends_at - time.monotonic())
    try:
        wanted = transport.auth_publickey(way.user, candidate.key)
    except paramiko.BadAuthenticationType as error:
        raise Refused(
            f"{way} takes {', '.join(error.allowed_types)} and no public key from {way.user}",
            remedy="allow PubkeyAuthentication in its sshd_config" + _by_ticket(device, error.allowed_types),
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
        yield from _from_file(device.file.parent / Path(options.identity).expanduser(), way, held, unusable)
        return
    for name in way.identities:
        yield from _from_file(Path(name).expanduser(), way, held, unusable)
    if way.agent:
        for key in held:
            yield from _offered(key, f"the agent's {key.comment or key.get_name()}", way.certificates)
    if not way.identities:
        for name in _USUAL:
            if Path(name).expanduser().is_file():
                yield from _from_file(Path(name).expanduser(), way, held, unusable)


def _from_file(path: Path, way: Route, held: Sequence[paramiko.AgentKey], unusable: list[str]) -> Iterator[_Candidate]:
    """Yield the key of an identity file, by way of the agent where this process cannot read its private half."""
    certificates = (*way.certificates, f"{path}-cert.pub")
    try:
        found = read(path)
    except Unusable as error:
        unusable.append(str(error))
        return
    if not isinstance(found, Elsewhere):
        yield from _offered(found, str(path), certificates)
        return
    matching = [key for key in held if found.public and key.asbytes() == found.public]
    for key in matching:
        yield from _offered(key, f"{path} by way of the agent", certificates)
    if not matching:
        unusable.append(_not_held(path, found))


def _offered(key: paramiko.PKey, origin: str, certificates: Sequence[str]) -> Iterator[_Candidate]:
    """Yield a key as it is, then with each certificate of its own, as OpenSSH does."""
    key.public_blob = None  # paramiko shows a certificate that lies beside the key in the key's place
    yield _Candidate(key, origin)
    for file in dict.fromkeys(certificates):
        try:
            blob = PublicBlob.from_file(file)
        except (OSError, ValueError, IndexError):  # as OpenSSH: what is no certificate is passed over
            continue
        if _is_of(blob, key):
            key.public_blob = blob
            yield _Candidate(key, f"{origin} with the certificate {file}")


def _is_of(certificate: PublicBlob, key: paramiko.PKey) -> bool:
    """Return whether a certificate is of a key: type, nonce, then the same public numbers (PROTOCOL.certkeys)."""
    whole, own = paramiko.Message(certificate.key_blob), paramiko.Message(key.asbytes())
    for skipped in (whole, whole, own):
        skipped.get_binary()
    return certificate.key_type.startswith(key.get_name()) and whole.get_remainder().startswith(own.get_remainder())


def _not_held(path: Path, found: Elsewhere) -> str:
    """Return the sentence for a key that only an agent could use, and none holds."""
    if found.why == "a public key":
        return f"identity {path} is a public key and the agent does not hold its private half; `ssh-add` that"
    if found.why == "missing":
        return f"identity {path} does not exist and the agent does not hold the key of {path}.pub; `ssh-add` it"
    if not found.public:
        return (
            f"identity {path} is {found.why} and does not say which key it is; "
            f"run `ssh-keygen -yf {path} > {path}.pub` and `ssh-add {path}`"
        )
    return f"identity {path} is {found.why} and the agent does not hold it; run `ssh-add {path}`"
