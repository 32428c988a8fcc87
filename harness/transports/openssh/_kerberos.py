"""Why a server that takes Kerberos tickets (GSSAPI) let nobody in, which OpenSSH's client says only when asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from harness.errors import Reason

_METHODS: Final = re.compile(r"Permission denied \(([^)]*)\)")
_METHOD: Final = "gssapi-with-mic"
_TRIED: Final = f"Next authentication method: {_METHOD}"


def why(said: str, in_full: Callable[[], str]) -> Reason | None:
    """Return why no ticket opened the door, None if tickets have nothing to do with it.

    Args:
        said: what the client said when it was refused.
        in_full: gives what it says with LogLevel=DEBUG1, of the method gssapi-with-mic alone.
    """
    found = _METHODS.search(said)
    methods = found[1].split(",") if found else []
    if _METHOD not in methods:
        return None
    keys = "publickey" in methods
    _, tried, tale = in_full().partition(_TRIED)
    reason = _of_ticket(tale) if tried else _UNASKED
    # Where keys are taken as well, most have never had a ticket; who had one wants to know that it has expired.
    return None if keys and reason is not _EXPIRED else reason


_UNASKED: Final = Reason(
    "it lets in by Kerberos (GSSAPI) and by no key, and ~/.ssh/config does not ask for that",
    "write `GSSAPIAuthentication yes` under its Host line, and get a ticket with `kinit`",
)
_EXPIRED: Final = Reason("the Kerberos ticket has expired", "get a new one with `kinit`")
_NONE: Final = Reason("it lets in by Kerberos (GSSAPI), and there is no ticket", "get one with `kinit`")
_NOT_LET_IN: Final = Reason(
    "it took the Kerberos ticket and does not let its owner in as this user",
    "let ~/.k5login there name the principal that `klist` shows, or log in as another user",
)


def _of_ticket(tale: str) -> Reason:
    """Return what the client says of its ticket: the library's own words are the lines without a prefix."""
    words = [line.strip() for line in tale.splitlines() if line.strip()]
    own = next((line for line in words if not line.startswith("debug") and not _METHODS.search(line)), "")
    if "expired" in own.lower():
        return _EXPIRED
    if "No Kerberos credentials" in own or "No credentials cache" in own:
        return _NONE
    if own:
        return Reason(f"its Kerberos says: {own}", "see that `kvno host@NAME` gives a ticket and that the clocks agree")
    return _NOT_LET_IN
