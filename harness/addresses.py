"""Where a device is: an address as it stands in a device's file, read part by part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

#: Neither a host nor a user may begin with "-": a command line would take it for an option. Otherwise a user is what
#: OpenSSH takes, user@domain and DOMAIN\user included, without what ends the user in an address.
_USER: Final = re.compile(r"(?!-)[^\s:/?#'`\";&<>|(){}\x00-\x1f\x7f]*[^\s:/?#'`\";&<>|(){}\\\x00-\x1f\x7f]")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCOPE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_LAST_PORT: Final = 65535


def _host_and_port(text: str) -> tuple[str, int]:
    """Return what HOST, HOST:PORT, [IPV6] or [IPV6%SCOPE]:PORT spells, port 0 for none; raises ValueError."""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        number, percent, scope = host.partition("%")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is not [IPV6] or [IPV6]:PORT")
        try:
            ip_address(number)
        except ValueError as error:
            raise ValueError(f"{number!r} in the brackets is no IP address") from error
        if percent and not _SCOPE.fullmatch(scope):
            raise ValueError(f"{scope!r} behind the % is no scope")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise ValueError(f"{text!r} has several colons; an IPv6 address stands in brackets: [{text}]")
        if not _HOST.fullmatch(host):
            raise ValueError(f"{host!r} is no host")
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise ValueError(f"{port!r} behind the colon is no port from 1 to {_LAST_PORT}")
    return host, int(port or 0)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a device is; never holds a password."""

    scheme: str
    host: str = ""
    user: str = ""
    port: int = 0
    serial: str = ""

    @property
    def here(self) -> bool:
        """Whether it is the machine that the harness runs on."""
        return self.scheme == "local"

    @classmethod
    def of_url(cls, scheme: str, rest: str) -> Address:
        """Return the address that `//[USER@]HOST[:PORT]` behind a scheme spells; raises ValueError for anything else.

        Args:
            scheme: what stands before the colon.
            rest: what stands behind it.
        """
        if not rest.startswith("//"):
            raise ValueError(f"{scheme}: must be followed by //")
        place, _, path = rest[2:].partition("/")
        if path.strip("/"):
            raise ValueError(f"nothing may stand behind the host, and {'/' + path!r} does")
        user, at, place = place.rpartition("@")
        if at and not _USER.fullmatch(user):
            raise ValueError(f"{user!r} before the @ is no user")
        host, port = _host_and_port(place)
        return cls(scheme, host=host, user=user, port=port)

    def __str__(self) -> str:
        place = (f"[{self.host}]" if ":" in self.host else self.host) or self.serial
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}://{user}{place}{port}" if place else f"{self.scheme}:"
