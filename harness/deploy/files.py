"""Puts files and folders on a device by digest, verified there: what every runner builds on.

Layout under the workdir: `agent/DIGEST/`, `runtimes/DIGEST/`, `blobs/DIGEST`, `jobs/ID/`. Folders appear under their
name by a rename, so a name is a promise that all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from harness.deploy.answers import listed, value
from harness.deploy.handle import DeviceHandle, checked, persistent
from harness.errors import DeviceError, OutOfSpace
from harness.ports.runners import Handle, Workspace

#: A file larger than this is sent in pieces.
PIECE_BYTES = 16_000_000
#: The first piece is small: it shows how fast the connection is, and so whether the others go compressed.
FIRST_BYTES = 1_000_000

#: How many files are on their way to a device at the same time.
AT_ONCE = 4

#: sh -c PUT sh PART FOLDER. Without `mv -T`, which busybox has since 1.34 only: a folder that stands there already, put
#: by another campaign meanwhile, is as good, and `mv` would move into it.
_PUT: Final = '[ -e "$2" ] || mv "$1" "$2"'
#: sh -c JOIN sh FOLDER TARGET < names of pieces that belong to another version of the file.
_JOIN: Final = """
folder=$1 target=$2
while IFS= read -r name; do rm -f "$folder/$name" || exit; done
rm -f "$folder.whole"
for piece in "$folder"/*; do cat "$piece" || exit; done > "$folder.whole" || exit
mv -f "$folder.whole" "$target" && rm -rf "$folder"
"""
#: sh -c TOUCH sh FOLDER < entries
_TOUCH: Final = 'mkdir -p "$1" || exit; while IFS= read -r entry; do touch -c "$entry" || exit; done'
#: sh -c CLOSE sh FOLDER: its parents are for all.
_CLOSE: Final = 'mkdir -p "$1" && chmod 700 "$1"'
#: sh -c REMOVE < paths: prints those that are still there. A command that was on its way into a job's folder when its
#: connection was closed may make it again: it names the folder, and is waited for. For a moment in which it is loaded a
#: program has no name, so it must be missed twice.
_REMOVE: Final = r"""
while IFS= read -r path; do
  rm -rf "$path"
  case $path in */jobs/????????????)
    missed=
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
      if cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -q "[/]${path##*/}"; then missed=
      elif [ "$missed" ]; then break
      else missed=once
      fi
      sleep 0.1 2>/dev/null || sleep 1
    done
    rm -rf "$path";;
  esac
  if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi
done
"""


def unpack(handle: Handle, workspace: Workspace, archive: Path, folder: str) -> None:
    """Push a tar and make it a folder, which appears whole or not at all.

    Args:
        handle: of the device.
        workspace: says how a tar is unpacked there.
        archive: the tar on this host.
        folder: on the device, absolute.
    """
    if handle.run(["test", "-d", folder]).code == 0:
        return
    tar, part = f"{folder}.tar", f"{folder}.part"
    bring(handle, archive, tar)
    try:
        done = handle.run(workspace.extract(tar, part), timeout_s=600)
        checked(done, handle.device, f"{folder} could not be unpacked on the device")
        checked(
            handle.run(["sh", "-c", _PUT, "sh", part, folder]), handle.device, f"{folder} could not be put in place"
        )
    finally:
        handle.run(["rm", "-rf", tar, part])


def bring(handle: Handle, source: Path, target: str) -> None:
    """Copy a file to the device in verified pieces, so that a cut link costs one piece and not the whole.

    Pieces that arrived before are not sent again. Its user verifies the whole, by its digest.

    Args:
        handle: of the device.
        source: the file on this host.
        target: on the device, absolute.
    """
    size = source.stat().st_size
    if size <= PIECE_BYTES:
        handle.push(source, target)
        return
    count = 1 - (FIRST_BYTES - size) // PIECE_BYTES
    folder = f"{target}.pieces"
    there = set(handle.run(["ls", folder]).text.split())
    with source.open("rb") as file:
        for index in range(count):
            piece = file.read(PIECE_BYTES if index else FIRST_BYTES)
            # Named by its content: pieces of another version of the file are never mixed in.
            name = f"{index:05d}-{hashlib.sha256(piece).hexdigest()[:32]}"
            if name in there:
                there.discard(name)
                continue
            with tempfile.NamedTemporaryFile() as part:
                part.write(piece)
                part.flush()
                handle.push(Path(part.name), posixpath.join(folder, name))
    done = handle.run(["sh", "-c", _JOIN, "sh", folder, target], stdin=_by_line(there), timeout_s=600)
    checked(done, handle.device, f"{target} could not be put together on the device")


@persistent
def blobs(handle: DeviceHandle, files: Mapping[str, Path], *, folder: str = "") -> dict[str, str]:
    """Bring files and return where each is on the device; only verified ones are returned.

    Args:
        handle: of the device.
        files: sha256 -> file here.
        folder: on the device, absolute, for what is not to be used again; "" for where the next job finds them.
    """
    where = {digest: posixpath.join(folder or posixpath.join(handle.root, "blobs"), digest) for digest in files}
    wanted = {path: digest for digest, path in where.items()}
    absent = missing(handle, wanted)
    # Several at once: over a long link it is the waiting between files that takes the time.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda path: bring(handle, files[wanted[path]], path), absent))
    if still := absent and missing(handle, {path: wanted[path] for path in absent}):
        raise OutOfSpace(f"{', '.join(still)} did not arrive whole", remedy="free some space", device=handle.device.id)
    return where


@persistent
def touch(handle: DeviceHandle, folder: str, used: Iterable[str]) -> None:
    """Make `folder` and note the use of entries of the workdir, in one go; `harness.deploy.cleanup` goes by that.

    Args:
        handle: of the device.
        folder: on the device, absolute.
        used: entries of the workdir; "" is passed over.
    """
    entries = _by_line(entry for entry in used if entry)
    done = handle.run(["sh", "-c", _TOUCH, "sh", folder], stdin=entries)
    checked(done, handle.device, f"{folder} cannot be made")


@persistent
def close_to_others(handle: DeviceHandle, folder: str) -> None:
    """Make a folder on the device, absolute, that no other account may enter."""
    done = handle.run(["sh", "-c", _CLOSE, "sh", folder])
    checked(done, handle.device, f"{folder} cannot be made for this account alone")


@persistent
def note(handle: DeviceHandle, target: str, lines: Iterable[str]) -> None:
    """Write lines to a small file on the device, whose folder is made.

    Args:
        handle: of the device.
        target: the file there.
        lines: without newlines.
    """
    text = "".join(f"{line}\n" for line in lines).encode()
    done = handle.run(["sh", "-c", 'mkdir -p "${0%/*}" && cat > "$0"', target], stdin=text)
    checked(done, handle.device, f"{target} could not be written on the device")


def missing(handle: Handle, wanted: Mapping[str, str], workspace: Workspace | None = None) -> list[str]:
    """Return which files are absent or damaged on the device.

    Args:
        handle: of the device.
        wanted: path on the device -> sha256.
        workspace: whose device side looks; the handle's own by default.
    """
    command = (workspace or handle.workspace).command
    done = handle.run([*command, "inventory"], stdin=json.dumps(wanted).encode(), timeout_s=600)
    return listed(done, handle.device, "the agent does not run on the device")


def missing_of_many(handle: Handle, wanted: Mapping[str, str], listing: str) -> list[str]:
    """Return what `missing` does, for so many files that sending their digests takes longer than checking them.

    The list itself lies on the device, at `listing`, once `leave_list` has put it there; only its digest is sent.

    Args:
        handle: of the device.
        wanted: path on the device -> sha256.
        listing: path of the list on the device.
    """
    own = json.dumps({listing: hashlib.sha256(_listed(wanted)).hexdigest()}).encode()
    # Says whether the list is the one that is meant, and then what of it is missing.
    script = '"$@"; echo; "$@" < "$0"'
    done = handle.run(["sh", "-c", script, listing, *handle.workspace.command, "inventory"], stdin=own, timeout_s=600)
    said = done.out.splitlines()
    if done.code == 0 and len(said) == 2 and value(said[0], list) == []:
        absent = value(said[1], list)
        if absent is not None:
            return [str(path) for path in absent]
    return missing(handle, wanted)


def leave_list(handle: Handle, wanted: Mapping[str, str], listing: str) -> None:
    """Put the list of many files on the device, for `missing_of_many`, whose arguments it takes."""
    done = handle.run(["sh", "-c", 'cat > "$0"', listing], stdin=_listed(wanted), timeout_s=600)
    checked(done, handle.device, f"{listing} could not be written on the device")


def _listed(wanted: Mapping[str, str]) -> bytes:
    return json.dumps(dict(wanted), sort_keys=True).encode()


def remove(handle: Handle, paths: Iterable[str]) -> None:
    """Remove paths from the device and check that they are gone; raises DeviceError if one is not."""
    done = handle.run(["sh", "-c", _REMOVE], stdin=_by_line(paths), timeout_s=600)
    if left := done.text.splitlines():
        why = done.err.decode("utf-8", "replace").strip().splitlines()
        raise DeviceError(
            f"{left[0]} could not be removed from the device{f' ({why[0]})' if why else ''}",
            remedy="remove it by hand",
            device=handle.device.id,
        )


def _by_line(names: Iterable[str]) -> bytes:
    """Return names for a script's standard input, one a line: a list on a command line has no bound, a line has one.

    They are the harness's own names; none of them has a line's end in it.
    """
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
