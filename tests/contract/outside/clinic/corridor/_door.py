"""What a connection through the corridor is: a plug-in may be a folder, with files that belong to it alone."""

from __future__ import annotations

from harness.transports.local import LocalConnection


class Door(LocalConnection):
    """A connection to this machine."""
