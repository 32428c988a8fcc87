"""How a copied file appears whole or not at all: under a temporary name, verified by sha256, then renamed.

The scripts are POSIX and run on the device, which may be a busybox without Python. The digest is given to the device
beforehand, so that a device whose link was cut in the middle finds the damage and clears it away by itself.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.errors import DeviceError, MissingTool, OutOfSpace, Stable, Transient
from harness.transports._disk import SPACE, Free, free
from harness.units import human

#: Exit codes of the scripts below; the shell's own stay under 90 and above 125.
UNWRITABLE: Final = 91
NO_DIGEST: Final = 92
DAMAGED: Final = 93
NO_UNZIP: Final = 94

_DIGEST: Final = """
export LC_ALL=C
digest() {
  # three times as fast as sha256sum where the processor helps; versions without -r print nothing
  if command -v openssl >/dev/null && openssl dgst -sha256 -r < "$1" 2>/dev/null; then :
  elif command -v sha256sum >/dev/null; then sha256sum < "$1"
  elif command -v busybox >/dev/null; then busybox sha256sum < "$1"
  elif command -v toybox >/dev/null; then toybox sha256sum < "$1"
  elif command -v shasum >/dev/null; then shasum -a 256 < "$1"
  elif command -v python3 >/dev/null; then python3 -c 'import hashlib, sys
h = hashlib.sha256()
while chunk := sys.stdin.buffer.read(1 << 20): h.update(chunk)
print(h.hexdigest())' < "$1"
  else exit 92; fi
}
"""

#: sh -c PUSH sh PART TARGET SHA256 < content; on failure the space that the folder has is on standard output.
PUSH: Final = (
    _DIGEST
    + SPACE
    + """
trap '' HUP  # adbd hangs up on what runs over a lost link, which has yet to clear away
part=$1 target=$2 wanted=$3
folder=${target%/*}; folder=${folder:-/}
give_up() { rm -f "$part"; space "$folder"; exit "$1"; }
mkdir -p "$folder" || give_up 91
if [ -d "$target" ]; then echo "$target: Is a directory" >&2; exit 91; fi
cat > "$part" || give_up 91
found=$(digest "$part") || give_up 92
[ "${found%% *}" = "$wanted" ] || give_up 93
mv -f "$part" "$target" || give_up 91
"""
)

#: The same for content in the gzip format.
PUSH_ZIPPED: Final = PUSH.replace(
    'cat > "$part" ||',
    """if command -v gzip >/dev/null; then unzip="gzip -dc"
elif command -v zcat >/dev/null; then unzip=zcat
elif command -v busybox >/dev/null && busybox --list | grep -qx zcat; then unzip="busybox zcat"
elif command -v toybox >/dev/null; then unzip="toybox zcat"
else give_up 94; fi
$unzip > "$part" ||""",
)

#: sh -c PULL sh SOURCE: the content on standard output, then its digest on standard error.
#: A link or a pipe is none that the device side wrote.
PULL: Final = (
    _DIGEST
    + """
if [ -e "$1" ] && { [ ! -f "$1" ] || [ -h "$1" ]; }; then echo "$1: Not a regular file" >&2; exit 91; fi
cat < "$1" || exit 91
digest "$1" >&2 || exit 92
"""
)


def part_name() -> str:
    """Return a new temporary name; hidden, and short whatever the target is called."""
    return f".edgeward-{secrets.token_hex(8)}.part"


def digest_of(path: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def failure(device: str, code: int, what: str, detail: str, *, needs: int = 0, space: Free | str = "") -> DeviceError:
    """Return the error for a copy that ended with `code`.

    Args:
        device: the device's id.
        code: exit code of PUSH or PULL.
        what: the action as people read it, with its folder: "write model.onnx to /data/x".
        detail: what the device's tools said on standard error.
        needs: bytes that were to be written, 0 if unknown.
        space: what the folder's file system has left, or what the script printed of it.
    """
    said = detail.strip().splitlines()[-1].strip() if detail.strip() else f"exit code {code}"
    if "No space left" in detail or "quota exceeded" in detail:
        return _full(device, what, needs, free(space) if isinstance(space, str) else space)
    if code == NO_DIGEST:
        return MissingTool(
            f"cannot {what}: no tool there makes a SHA-256",
            remedy="install sha256sum, busybox, toybox or python3 there",
            device=device,
        )
    if code == DAMAGED:
        return Transient(
            f"cannot {what}: sha256 differs, it changed meanwhile or was damaged",
            remedy="try again, then check link and disk",
            device=device,
        )
    return Stable(f"cannot {what}: {said}", remedy="check the path and its permissions", device=device)


def _full(device: str, what: str, needs: int, space: Free) -> OutOfSpace:
    """Return the error for a disk that takes no more bytes, or no more files while there are bytes left."""
    if space.files == 0 and (space.size_bytes or 0) >= needs:
        return OutOfSpace(
            f"cannot {what}: the disk takes no more files (its inodes are used up)",
            remedy="remove some there, or use another folder (`workdir` in the device's file)",
            device=device,
        )
    left = "an unknown amount" if space.size_bytes is None else human(float(space.size_bytes), "B")
    wanted = f"needs {human(float(needs), 'B')}, " if needs else ""
    return OutOfSpace(
        f"cannot {what}: the disk is full, {wanted}{left} free",
        remedy="free some there, or use another folder (`workdir` in the device's file)",
        device=device,
    )


@contextmanager
def landing(device: str, target: Path, what: str, *, needs: int = 0) -> Iterator[Path]:
    """Give a temporary path on this host that becomes `target` if the block succeeds and vanishes if it does not.

    Raises:
        OutOfSpace: the folder's disk is full.
        Stable: the folder cannot be written for another reason.
    """
    part = target.parent / part_name()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = "No space left" if full else f"{error.strerror or error}"
        raise failure(device, UNWRITABLE, what, said, needs=needs, space=_left(target.parent)) from error
    finally:
        if part.parent.is_dir():
            part.unlink(missing_ok=True)


def _left(folder: Path) -> Free:
    """Return what the file system of a folder on this host has left; one that is not there yet will be in its parent's.

    Nothing is known of one that cannot be looked at.
    """
    try:
        found = os.statvfs(next(place for place in (folder, *folder.parents) if place.is_dir()))
    except OSError:
        return Free()
    return Free(str(folder), found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
