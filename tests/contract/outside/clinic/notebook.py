"""lease = "notebook"

[notebook]
page = "front"                             # the name of the page in the device's workdir

Who measures is written on a page in the device's workdir; earlier ones stay readable below.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from harness.errors import Busy
from harness.ports.leases import Owner
from harness.ports.runners import Handle

#: Takes the page only if nobody has it: `set -C` makes the shell refuse to overwrite a file.
_TAKE = 'mkdir -p "$1" && set -C && printf "%s" "$3" > "$1/$2" && printf "%s\\n" "$3" >> "$1/$2.past"'


@dataclass(frozen=True, slots=True)
class Options:
    """`page`: the name of the page."""

    page: str = "front"


def _page(handle: Handle) -> str:
    return Options(**handle.device.lease_options).page


def take(handle: Handle, owner: Owner) -> None:
    """Become the one measurer, or raise Busy saying who is."""
    if handle.run(["sh", "-c", _TAKE, "sh", handle.root, _page(handle), owner.line()]).code:
        raise Busy(f"{holder(handle)} is measuring on it", remedy="wait", device=handle.device.id)


def free(handle: Handle, owner: Owner) -> None:
    """Let the next one measure, if it is the owner who does now."""
    if holder(handle) == owner:
        handle.run(["rm", "-f", posixpath.join(handle.root, _page(handle))])


def holder(handle: Handle) -> Owner | None:
    """Return who measures on the device now, None if nobody does."""
    line = handle.run(["cat", posixpath.join(handle.root, _page(handle))]).text
    return Owner.read(line) if line else None
