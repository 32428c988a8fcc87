"""Which folders of a device may be its workdir: never one of the system's, nor one that everybody shares.

Jobs, models and runtimes are made and removed there, by names that others use as well.
"""

from __future__ import annotations

import posixpath
from typing import Final

from harness.errors import LabError

#: Neither they nor anything below.
_SYSTEM: Final = (
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "proc",
    "sbin",
    "sys",
    "system",
    "usr",
    "vendor",
)
#: Below them there is room for that: memory that is a disk, and what an administrator adds.
_BUT: Final = ("/dev/shm", "/usr/local")
#: They hold other people's folders: one below them is meant.
_SHARED: Final = (
    *("/", "~", "/data", "/data/local", "/data/local/tmp", "/home", "/media", "/mnt", "/opt", "/root", "/run"),
    *("/sdcard", "/srv", "/storage", "/tmp", "/usr/local/bin", "/usr/local/lib", "/var", "/var/lib", "/var/tmp"),
)


def allowed(workdir: str, *, file: str) -> str:
    """Return the workdir of a device's file; raises LabError if harm would be done there."""
    if not workdir:
        return workdir
    if not (workdir == "~" or workdir.startswith(("/", "~/"))) or not workdir.isprintable():
        # Neither a shell reads it, which would know $HOME, nor is there a folder that is meant by anything else.
        raise LabError(
            f"{workdir!r} is neither an absolute path nor one below the account's home",
            remedy=f'write "~/{_below(workdir)}" or an absolute path',
            file=file,
            key="workdir",
        )
    # posixpath.normpath keeps two slashes at the beginning.
    path = "/" + posixpath.normpath(workdir).lstrip("/") if workdir.startswith("/") else posixpath.normpath(workdir)
    if path.split("/")[0] not in ("", "~"):
        path = "/"  # ~/.. and what is above it
    in_system = path.startswith("/") and path.split("/")[1] in _SYSTEM
    shared = path in _SHARED or posixpath.dirname(path) == "/home"
    if shared or (in_system and not any(path.startswith(f"{one}/") for one in _BUT)):
        raise LabError(
            f"{workdir} is a folder of the system or of everybody, and files are made and removed in a workdir",
            remedy=f"name one of its own, such as {posixpath.join('~' if path == '~' else '/var/tmp', 'edgeward')}",
            file=file,
            key="workdir",
        )
    return workdir


def _below(workdir: str) -> str:
    """Return what of a path is below the home, as far as it can be guessed for a remedy."""
    parts = [part for part in workdir.split("/") if part.isprintable() and not part.startswith(("$", "~", "."))]
    return "/".join(part for part in parts if part) or "edgeward"
