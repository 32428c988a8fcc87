"""Folders and files of this user alone: what is kept in a cache, and what must not outlive the process that made it.

A cache may stand in a folder that others write, such as /tmp: then a folder of this user's own is made in it, and one
that is a link or somebody else's is refused, since what lies there goes to devices and is run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from harness import cache_dir
from harness.errors import HarnessError

#: How the folders are called that their process keeps locked.
_HELD: Final = "held-"
_OTHERS_WRITE: Final = 0o022


def private(folder: Path) -> Path:
    """Return a folder that only this user reads and writes: this one, or one of the user's own in it if it is shared.

    Args:
        folder: is made if it is missing.

    Raises:
        HarnessError: it, or the user's own folder in it, is a link or a folder of somebody else.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, seen = folder.lstat(), folder.stat()
    except OSError:
        # What is to be written there says why it cannot be.
        return folder
    if stat.S_ISLNK(link.st_mode) and link.st_uid != os.getuid():
        raise _refused(folder)
    if seen.st_uid == os.getuid() and not (seen.st_mode & stat.S_ISVTX and seen.st_mode & _OTHERS_WRITE):
        if seen.st_mode & 0o077:
            folder.chmod(0o700)
        return folder
    own = folder / f"edgeward-{os.getuid()}"
    with suppress(FileExistsError, OSError):
        own.mkdir(mode=0o700)
    try:
        link = own.lstat()
    except OSError:
        return folder
    if not stat.S_ISDIR(link.st_mode) or link.st_uid != os.getuid():
        raise _refused(own)
    if link.st_mode & 0o077:
        own.chmod(0o700)
    return own


def _refused(folder: Path) -> HarnessError:
    return HarnessError(
        "is a link or belongs to somebody else, who could change what this host sends to devices",
        remedy="remove it, or set EDGEWARD_CACHE to a folder of your own",
        where=str(folder),
    )


@contextmanager
def held_folder() -> Iterator[Path]:
    """Give an empty folder of this user alone, which is gone afterwards.

    First those are removed whose process was killed: the kernel keeps the locks of the living, and of no others.
    """
    base = private(cache_dir() / "scratch")
    base.mkdir(parents=True, exist_ok=True)
    # Its lock keeps others from taking a folder for forsaken before it is locked.
    with (base / ".lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        for path in base.glob(f"{_HELD}*"):
            if _is_forsaken(path):
                shutil.rmtree(path, ignore_errors=True)
        own = Path(tempfile.mkdtemp(prefix=_HELD, dir=base))
        lock = os.open(own, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


@contextmanager
def unnamed_file() -> Iterator[tuple[IO[bytes], Path]]:
    """Give a file without a name in any folder, and a path by which this user's processes read it meanwhile.

    It ends with the process, however that ends. Where the system has no such paths it has a name, in a `held_folder`.
    """
    with held_folder() as folder:
        file = folder / "file"
        with file.open("w+b") as stream:
            path = Path(f"/proc/{os.getpid()}/fd/{stream.fileno()}")
            if path.exists():
                file.unlink()
            yield stream, path if path.exists() else file


def _is_forsaken(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
