"""Frees a device's disk of what nobody used for a while: agents, runtimes, models and images, kept there by content.

Every job touches what it uses (`placing.touch`), so age since the last use is the age of the entry itself; other labs
that share the device lose nothing they still measure with.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from harness.deploy import placing, provision
from harness.deploy.link import Link

#: The rooms of a workdir that hold things which can be brought again.
ROOMS = ("agent", "runtimes", "blobs", "jobs")


@dataclass(frozen=True, slots=True)
class Freed:
    """What a cleaning took away: the entries, and their size in bytes."""

    entries: tuple[str, ...]
    size_bytes: int


def clean(link: Link, *, unused_days: int) -> Freed:
    """Remove what was not used for `unused_days` days; 0 removes everything.

    The device must be leased, so that nothing in use is taken away.

    Raises:
        DeviceError: an entry could not be removed.
    """
    connection, device = link.connection, link.device
    root = provision.workdir(connection, device)
    age = ["-mtime", f"+{unused_days - 1}"] if unused_days else []
    rooms = [posixpath.join(root, room) for room in ROOMS]
    listed = connection.run(["find", *rooms, "-mindepth", "1", "-maxdepth", "1", *age]).text.splitlines()
    entries = tuple(sorted(listed))
    if not entries:
        return Freed((), 0)
    sizes = connection.run(["du", "-sk", *entries]).text.splitlines()
    placing.remove(connection, device, entries)
    return Freed(entries, sum(int(line.split()[0]) * 1024 for line in sizes if line.split()[:1]))
