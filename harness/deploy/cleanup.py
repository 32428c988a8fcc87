"""Frees a device's disk of what nobody used for a while: agents, runtimes, models and images, kept there by content.

Every job touches what it uses (`deploy.files.touch`), so age since the last use is the age of the entry itself; other
labs that share the device lose nothing they still measure with.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from harness.deploy import files
from harness.deploy.handle import DeviceHandle

#: The folders of a workdir that hold things which can be brought again.
ROOMS = ("agent", "runtimes", "blobs", "jobs")


@dataclass(frozen=True, slots=True)
class Freed:
    """What a cleanup removed: the entries, and their size in bytes."""

    entries: tuple[str, ...]
    size_bytes: int


def clean(handle: DeviceHandle, *, unused_days: int) -> Freed:
    """Remove what was not used for `unused_days` days; 0 removes everything.

    The device must be leased, so that nothing in use is removed.

    Raises:
        DeviceError: an entry could not be removed.
    """
    age = ["-mtime", f"+{unused_days - 1}"] if unused_days else []
    rooms = [posixpath.join(handle.root, room) for room in ROOMS]
    listed = handle.run(["find", *rooms, "-mindepth", "1", "-maxdepth", "1", *age]).text.splitlines()
    entries = tuple(sorted(listed))
    if not entries:
        return Freed((), 0)
    sizes = handle.run(["du", "-sk", *entries]).text.splitlines()
    files.remove(handle, entries)
    return Freed(entries, sum(int(line.split()[0]) * 1024 for line in sizes if line.split()[:1]))
