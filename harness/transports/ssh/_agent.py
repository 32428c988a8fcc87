"""The agent that holds the user's keys: of SSH_AUTH_SOCK, or the one that IdentityAgent names."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, cast

import paramiko
from paramiko.agent import AgentSSH

_NONE = "none"


class KeyAgent(AgentSSH):
    """The keys of an agent; without one, or with one that does not answer, it holds none.

    Args:
        path: of its socket; "" for SSH_AUTH_SOCK, "none" for no agent.
        patience_s: how long it may take to answer; s.

    Attributes:
        trouble: why a named agent gave no keys, "" where all is well.
    """

    def __init__(self, path: str, *, patience_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call,unused-ignore]
        self.trouble = ""
        named, path = bool(path), path or os.environ.get("SSH_AUTH_SOCK", "")
        if not path or path == _NONE:
            return
        plug = socket.socket(socket.AF_UNIX)
        try:
            plug.settimeout(patience_s)
            plug.connect(path)
            cast(Any, self)._connect(plug)
        except (OSError, paramiko.SSHException) as error:
            plug.close()
            cast(Any, self)._conn = None
            self.trouble = (
                f"the agent at {path} ({'IdentityAgent' if named else 'SSH_AUTH_SOCK'}) does not answer "
                f"({getattr(error, 'strerror', '') or error}); start it"
            )

    @property
    def keys(self) -> Sequence[paramiko.AgentKey]:
        """The keys it holds."""
        return cast(Sequence[paramiko.AgentKey], self.get_keys())

    def close(self) -> None:
        """Let go of the agent."""
        cast(Any, self)._close()
