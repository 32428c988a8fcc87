"""What a file system has left, in bytes and in files, by the `df` of coreutils, busybox or toybox."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: A function of a script: `space FOLDER` prints what `free` reads; one that is not there will be in its parent.
SPACE: Final = """
space() {
  where=$1
  until [ -d "${where:-/}" ]; do where=${where%/*}; done
  df -Pk "${where:-/}" 2>/dev/null; echo inodes; df -Pi "${where:-/}" 2>/dev/null
}
"""
#: In all, used, left, and the mount point, as POSIX has them; a file system without inodes shows 0 or - for them.
_LINE: Final = re.compile(r"\s(\d+|-)\s+(?:\d+|-)\s+(-?\d+|-)\s+(?:\d+%|-)\s+(/.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Free:
    """What a file system has left; None where its `df` does not say it.

    Attributes:
        mount: where it is mounted, "" if unknown.
        size_bytes: for the user who asked, without what is kept for root.
        files: how many more files and folders it takes.
    """

    mount: str = ""
    size_bytes: int | None = None
    files: int | None = None


def free(printed: str) -> Free:
    """Return what `space` printed of a file system, whatever came."""
    blocks, _, inodes = printed.partition("inodes\n")
    size, files = _line(blocks), _line(inodes)
    mount = (size or files or ("", 0))[0]
    return Free(mount, None if size is None else size[1] * 1024, None if files is None else files[1])


def _line(printed: str) -> tuple[str, int] | None:
    """Return the mount point and what is left of the last line that says it; None if none does."""
    found = _LINE.findall(printed)
    if not found:
        return None
    total, left, mount = found[-1]
    if "-" in (total, left) or int(total) == 0:
        return None
    return mount, max(int(left), 0)
