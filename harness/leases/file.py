"""A folder `lease/` under the device's workdir, made by one measurer at a time (`mkdir` is atomic everywhere).

It holds who measures, and its `beat` is touched by the device side between rounds, so nothing is sent meanwhile. A
lease whose beat is older than `EXPIRY_MIN` belongs to somebody who is gone, and is taken over.
"""

from __future__ import annotations

import posixpath
import uuid

from harness.deploy.placing import checked
from harness.errors import Busy
from harness.model import Device
from harness.ports import Connection

#: Longer than the longest silence of a job (runners' SILENCE_S), in minutes.
EXPIRY_MIN = 20


def take(connection: Connection, device: Device, root: str, owner: str) -> None:
    """Become the one measurer of the device.

    Raises:
        Busy: somebody else is; the message says who.
    """
    folder = posixpath.join(root, "lease")
    checked(connection.run(["mkdir", "-p", root]), device, f"{root} cannot be made on the device; set workdir")
    if connection.run(["mkdir", folder]).code and not _took_over(connection, folder):
        holder = connection.run(["cat", posixpath.join(folder, "owner")]).text or "somebody"
        raise Busy(
            f"{holder} is measuring on it", remedy=f"wait, or remove {folder} there if that is not so", device=device.id
        )
    write = 'printf "%s" "$2" > "$1/owner" && : > "$1/beat"'
    checked(connection.run(["sh", "-c", write, "sh", folder, owner]), device, f"{folder} cannot be written")


def free(connection: Connection, root: str) -> None:
    """Let the next one measure."""
    connection.run(["rm", "-rf", posixpath.join(root, "lease")])


def holder(connection: Connection, root: str) -> str:
    """Return who measures on the device now, "" if nobody does."""
    folder = posixpath.join(root, "lease")
    found = connection.run(["sh", "-c", _FRESH, "sh", folder]).text
    return connection.run(["cat", posixpath.join(folder, "owner")]).text if found else ""


#: Prints the beat's name while it is younger than the expiry; `-mmin` is known to busybox and toybox.
_FRESH = f'find "$1/beat" -mmin -{EXPIRY_MIN} 2>/dev/null'


def _took_over(connection: Connection, folder: str) -> bool:
    """Take a lease whose holder is gone; of several who try, the rename lets one win."""
    if connection.run(["sh", "-c", _FRESH, "sh", folder]).text:
        return False
    aside = f"{folder}.{uuid.uuid4().hex[:8]}"
    if connection.run(["mv", folder, aside]).code:
        return False
    connection.run(["rm", "-rf", aside])
    return connection.run(["mkdir", folder]).code == 0
