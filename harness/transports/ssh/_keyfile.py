"""One identity file: the private key in it, or which key it is, so that the agent may sign in its place."""

from __future__ import annotations

import base64
import binascii
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from paramiko.pkey import UnknownKeyType

_OPENSSH: Final = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_MAGIC: Final = b"openssh-key-v1\0"
_PKCS8: Final = (b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
#: Before the public key in an OpenSSH file: cipher, key derivation, its options, each behind its length.
_HEADERS: Final = 3


class Unusable(Exception):
    """An identity file that gives no key; its text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A key whose private half this process cannot read.

    Attributes:
        public: its public half, as it is sent; b"" where the file does not say.
        why: the file is "encrypted", or "a public key".
    """

    public: bytes
    why: str


def read(path: Path) -> paramiko.PKey | Elsewhere:
    """Return the key of an identity file; raises Unusable."""
    beside = path.with_name(path.name + ".pub")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        public = _public(beside)
        if public:  # its private half was moved into an agent or a token
            return Elsewhere(public, "missing")
        raise Unusable(f"identity {path} does not exist; correct `identity` or make one with ssh-keygen") from error
    except OSError as error:
        raise Unusable(f"identity {path} cannot be read ({error.strerror}); check its permissions") from error
    public = _public(path)
    if public:
        return Elsewhere(public, "a public key")
    try:
        return _private(path, content)
    except (paramiko.PasswordRequiredException, TypeError):  # TypeError: what cryptography says of it
        return Elsewhere(_header(content) or _public(beside), "encrypted")
    except (ValueError, paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm) as error:
        if "password" in str(error).lower():
            return Elsewhere(_header(content) or _public(beside), "encrypted")
        held = _header(content)
        if held:  # a key of a token, or of a kind that paramiko does not know: the agent may
            return Elsewhere(held, f"of the kind {_kind(held)}, which ssh:// cannot sign with by itself,")
        raise Unusable(_no_key(path, content)) from error


def _private(path: Path, content: bytes) -> paramiko.PKey:
    if not content.lstrip().startswith(_PKCS8):
        return paramiko.PKey.from_path(path)
    loaded = serialization.load_pem_private_key(content, password=None)
    text = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()
    kind = _kind(_header(text.encode()))
    classes = [one for one in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey) if kind in one.identifiers()]
    if not classes:
        raise UnknownKeyType(key_type=kind, key_bytes=b"")
    return classes[0].from_private_key(io.StringIO(text))


def _no_key(path: Path, content: bytes) -> str:
    """Return the sentence for a file that holds no key of ours."""
    if content.startswith(b"PuTTY-User-Key-File"):
        return f"identity {path} is a key of PuTTY; convert it: puttygen {path} -O private-openssh -o NEWFILE"
    if b"PRIVATE KEY-----" in content:
        return f"identity {path} is a private key that is damaged or of an unknown kind; see `ssh-keygen -yf {path}`"
    return f"identity {path} is no private key that can be used; make one with ssh-keygen"


def _public(path: Path) -> bytes:
    """Return the public key that a file holds as its one line, b"" if there is none."""
    try:
        parts = path.read_bytes().split()
        blob = base64.b64decode(parts[1], validate=True) if len(parts) > 1 else b""
    except (OSError, ValueError, binascii.Error):
        return b""
    return blob if blob and _kind(blob) == parts[0].decode("ascii", "replace") else b""


def _header(content: bytes) -> bytes:
    """Return the public key that an OpenSSH private key carries in the clear, encrypted or not; b"" without one."""
    if _OPENSSH not in content:
        return b""
    try:
        inner = base64.b64decode(b"".join(content.split(_OPENSSH)[1].split(b"-----")[0].split()))
        if not inner.startswith(_MAGIC):
            return b""
        rest = paramiko.Message(inner[len(_MAGIC) :])
        for _ in range(_HEADERS):
            rest.get_binary()
        return rest.get_binary() if rest.get_int() == 1 else b""
    except (ValueError, IndexError, binascii.Error):
        return b""


def _kind(blob: bytes) -> str:
    return paramiko.Message(blob).get_binary().decode("ascii", "replace")
