"""Frees a device's disk of what nobody used for a while: agents, runtimes, models and images, kept there by content.

Every job touches what it uses (`deploy.files.touch`), so age since the last use is the age of the entry itself; other
labs that share the device lose nothing they still measure with.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Final

from harness.deploy.handle import DeviceHandle
from harness.errors import DeviceError

#: The folders of a workdir that hold things which can be brought again.
ROOMS = ("agent", "runtimes", "blobs", "jobs")
#: The device itself finds, measures, removes and looks again: the way there carries no list of names, and is gone once,
#: however many entries there are. `find` gives as many names at once as a command takes there.
_CLEAN: Final = """
batch='du -sk "$@" 2>/dev/null | sed "s/^/before /"
rm -rf "$@"
for entry; do
  if [ -e "$entry" ] || [ -L "$entry" ]; then echo "left $entry"; else echo "gone $entry"; fi
done
du -sk "$@" 2>/dev/null | sed "s/^/after /"'
age=$1; shift
for room; do
  [ -d "$room" ] && find "$room" -mindepth 1 -maxdepth 1 $age -exec sh -c "$batch" sh {} +
done
true
"""
#: How long removing may take: an old disk may hold hundreds of runtimes of some thousand files each; s.
_CLEAN_S: Final = 1800.0


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
    age = f"-mtime +{unused_days - 1}" if unused_days else ""
    rooms = [posixpath.join(handle.root, room) for room in ROOMS]
    done = handle.run(["sh", "-c", _CLEAN, "sh", age, *rooms], timeout_s=_CLEAN_S)
    said = [line.partition(" ") for line in done.text.splitlines()]
    gone = sorted(rest for word, _, rest in said if word == "gone")
    if left := [rest for word, _, rest in said if word == "left"]:
        why = done.err.decode("utf-8", "replace").strip().splitlines()
        raise DeviceError(
            f"{len(left)} of {len(left) + len(gone)} entries could not be removed: {why[0] if why else left[0]}",
            remedy="remove them by hand, as a user who may",
            device=handle.device.id,
        )
    sizes = {"before": 0, "after": 0}
    for word, _, rest in said:
        size = rest.split()[:1]
        if word in sizes and size and size[0].isdecimal():
            sizes[word] += int(size[0]) * 1024
    return Freed(tuple(gone), sizes["before"] - sizes["after"])
