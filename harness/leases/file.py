"""lease = "file"

A folder `lease/` under the device's workdir, made by one measurer at a time (`mkdir` is atomic everywhere).

It holds who measures, and its `beat` is touched by the device side between rounds, so nothing is sent meanwhile. A
lease whose beat is older than `EXPIRY_MIN` belongs to somebody who is gone, and is taken over.
"""

from __future__ import annotations

import posixpath
import uuid
from typing import Final

from harness.deploy import checked
from harness.errors import Busy
from harness.ports import Handle, Owner

#: Longer than the longest silence of a job (runners' SILENCE_S), in minutes.
EXPIRY_MIN: Final = 20
#: Prints the beat's name while it is younger than the expiry; `-mmin` is known to busybox and toybox.
_FRESH: Final = f'find "$1/beat" -mmin -{EXPIRY_MIN} 2>/dev/null'
_WRITE: Final = 'printf "%s" "$2" > "$1/owner" && : > "$1/beat"'


def take(handle: Handle, owner: Owner) -> None:
    """Become the one measurer of the device.

    Raises:
        Busy: somebody else is; the message says who.
    """
    folder, root, device = _folder(handle), handle.root, handle.device
    made = handle.run(["mkdir", "-p", root])
    checked(made, device, f"{root} cannot be made on the device", remedy="set workdir")
    if handle.run(["mkdir", folder]).code and not _took_over(handle, folder):
        other = _owner(handle, folder)
        remedy = f"wait, or remove {folder} there if that is not so"
        raise Busy(f"{other} is measuring on it", remedy=remedy, device=device.id)
    checked(handle.run(["sh", "-c", _WRITE, "sh", folder, owner.line()]), device, f"{folder} cannot be written")


def free(handle: Handle) -> None:
    """Let the next one measure."""
    handle.run(["rm", "-rf", _folder(handle)])


def holder(handle: Handle) -> Owner | None:
    """Return who measures on the device now, None if nobody does."""
    folder = _folder(handle)
    fresh = handle.run(["sh", "-c", _FRESH, "sh", folder]).text
    return _owner(handle, folder) if fresh else None


def _owner(handle: Handle, folder: str) -> Owner:
    return Owner.read(handle.run(["cat", posixpath.join(folder, "owner")]).text)


def _folder(handle: Handle) -> str:
    return posixpath.join(handle.root, "lease")


def _took_over(handle: Handle, folder: str) -> bool:
    """Take a lease whose holder is gone; of several who try, the rename lets one win."""
    if handle.run(["sh", "-c", _FRESH, "sh", folder]).text:
        return False
    aside = f"{folder}.{uuid.uuid4().hex[:8]}"
    if handle.run(["mv", folder, aside]).code:
        return False
    handle.run(["rm", "-rf", aside])
    return handle.run(["mkdir", folder]).code == 0
