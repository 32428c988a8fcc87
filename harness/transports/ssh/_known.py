"""known_hosts by OpenSSH's rules (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): what is known of one host.

A line that cannot be read concerns nobody else: it is passed over, as OpenSSH does, and named where it was the host's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_MARKERS: Final = {b"@revoked", b"@cert-authority"}
_LINE: Final = re.compile(rb"\s*(?:(?P<marker>@\S+)\s+)?(?P<hosts>\S+)\s+(?P<kind>\S+)\s+(?P<text>\S+)")


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key: its kind ("ssh-ed25519") and its bytes as they are sent."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """What `ssh-keygen -l` prints of it."""
        return f"SHA256:{base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip('=')}"

    @property
    def line(self) -> str:
        """Type and base64 text."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @classmethod
    def of_line(cls, kind: str, text: str) -> HostKey:
        """Return the key of type and base64 text; raises ValueError when it is none."""
        blob = base64.b64decode(text, validate=True)
        name = kind.encode()
        if blob[: 4 + len(name)] != len(name).to_bytes(4, "big") + name or len(blob) < 8 + len(name):
            raise ValueError(f"its text is not that of a key of the kind {kind}")
        return cls(kind, blob)


@dataclass(slots=True)
class Known:
    """What files say of one host.

    Attributes:
        keys: those it may show.
        revoked: those nobody may show any more.
        authorities: of certificates for it.
        damaged: "FILE:LINE" of lines for it that hold no key.
    """

    keys: list[HostKey] = field(default_factory=list)
    revoked: list[HostKey] = field(default_factory=list)
    authorities: list[HostKey] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def known(files: Iterable[Path], name: str) -> Known:
    """Return what `files` say of the host that they call `name`; raises OSError for one that cannot be read.

    Args:
        files: those that do not exist are passed over.
        name: "pi5.lab" or "[pi5.lab]:2222".
    """
    found = Known()
    for file in files:
        if file.is_file():
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                _take(found, line, name.lower(), f"{file}:{number}")
    return found


def _take(found: Known, line: bytes, name: str, place: str) -> None:
    """Add what one line says of a host."""
    parts = _LINE.match(line)
    if parts is None or line.lstrip().startswith(b"#") or not _matches(parts["hosts"], name):
        return
    marker = parts["marker"]
    try:
        if marker and marker not in _MARKERS:
            raise ValueError("an unknown marker")
        key = HostKey.of_line(parts["kind"].decode("ascii"), parts["text"].decode("ascii"))
    except (ValueError, binascii.Error):
        found.damaged.append(place)
        return
    lists = {b"": found.keys, b"@revoked": found.revoked, b"@cert-authority": found.authorities}
    lists[marker or b""].append(key)


def _matches(hosts: bytes, name: str) -> bool:
    """Return whether the first field of a line, hashed or a list of patterns, means the host `name` (lower case)."""
    if hosts.startswith(b"|"):
        return _hashed(hosts, name)
    positive = False
    for pattern in hosts.decode("utf-8", "surrogateescape").lower().split(","):
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        else:
            positive = positive or _glob(pattern, name)
    return positive


def _hashed(hosts: bytes, name: str) -> bool:
    parts = hosts.split(b"|")
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in parts[2:4])
    except (ValueError, binascii.Error):
        return False
    return parts[1] == b"1" and hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


def _glob(pattern: str, name: str) -> bool:
    """Return whether `*` and `?` make the pattern the name; brackets are meant as they stand."""
    words = {"*": ".*", "?": "."}
    return re.fullmatch("".join(words.get(letter) or re.escape(letter) for letter in pattern), name) is not None
