"""Puts files and folders on a device by digest, verified there: what every runner builds on.

Layout under the workdir: `agent/DIGEST/`, `runtimes/DIGEST/`, `blobs/DIGEST`, `jobs/ID/`. Folders appear under their
name by a rename, so a name is a promise that all of it is there.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.deploy.wheels import Target
from harness.errors import DeviceError, OutOfSpace
from harness.model import Device
from harness.ports import Completed, Connection

#: A file larger than this is sent in pieces.
PIECE_BYTES = 16_000_000
#: The first piece is small: it tells how fast the link is, and so whether the others go compressed.
FIRST_BYTES = 1_000_000

#: How many files are on their way to a device at the same time.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Workspace:
    """The harness's place on one device.

    Attributes:
        root: the workdir, absolute.
        command: starts the device side; a verb (conduct, follow, survey, inventory) and its arguments follow.
        target: what wheels must fit there.
        extract: (tar, folder) -> the command line that unpacks one into the other.
        folder: the device side's own folder.
    """

    root: str
    command: tuple[str, ...]
    target: Target
    extract: Callable[[str, str], Sequence[str]]
    folder: str = ""


def unpack(
    connection: Connection, device: Device, extract: Callable[[str, str], Sequence[str]], archive: Path, folder: str
) -> None:
    """Push a tar and make it a folder, which appears whole or not at all."""
    if connection.run(["test", "-d", folder]).code == 0:
        return
    tar, part = f"{folder}.tar", f"{folder}.part"
    bring(connection, device, archive, tar)
    try:
        done = connection.run(extract(tar, part), timeout_s=600)
        checked(done, device, f"{folder} could not be unpacked on the device")
        checked(connection.run(["mv", "-T", part, folder]), device, f"{folder} could not be put in place")
    finally:
        connection.run(["rm", "-rf", tar, part])


def bring(connection: Connection, device: Device, source: Path, target: str) -> None:
    """Copy a file to the device in verified pieces, so that a cut link costs one piece and not the whole.

    Pieces that arrived before are not sent again. The whole is verified by whoever uses it, by its digest.
    """
    size = source.stat().st_size
    if size <= PIECE_BYTES:
        connection.push(source, target)
        return
    count = 1 - (FIRST_BYTES - size) // PIECE_BYTES
    folder = f"{target}.pieces"
    there = set(connection.run(["ls", folder]).text.split())
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
                connection.push(Path(part.name), posixpath.join(folder, name))
    stale = [posixpath.join(folder, name) for name in there]
    script = (
        'folder=$1 target=$2; shift 2; rm -f "$folder.whole" "$@"; '
        'cat "$folder"/* > "$folder.whole" && mv -f "$folder.whole" "$target" && rm -rf "$folder"'
    )
    done = connection.run(["sh", "-c", script, "sh", folder, target, *stale], timeout_s=600)
    checked(done, device, f"{target} could not be put together on the device")


def blobs(connection: Connection, device: Device, place: Workspace, files: Mapping[str, Path]) -> dict[str, str]:
    """Bring files, given by sha256, and return where each is on the device; only verified ones are returned."""
    where = {digest: posixpath.join(place.root, "blobs", digest) for digest in files}
    wanted = {path: digest for digest, path in where.items()}
    absent = missing(connection, device, place, wanted)
    # Several at once: over a long link it is the waiting between files that takes the time.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda path: bring(connection, device, files[wanted[path]], path), absent))
    if still := absent and missing(connection, device, place, {path: wanted[path] for path in absent}):
        raise OutOfSpace(f"{', '.join(still)} did not arrive whole", remedy="free some space", device=device.id)
    return where


def touch(connection: Connection, device: Device, folder: str, used: Iterable[str]) -> None:
    """Make `folder` and note the use of entries of the workdir, in one go; `harness.deploy.tidy` goes by that."""
    script = 'mkdir -p "$1" && shift && touch -c "$@"'
    done = connection.run(["sh", "-c", script, "sh", folder, *(entry for entry in used if entry)])
    checked(done, device, f"{folder} cannot be made")


def missing(connection: Connection, device: Device, place: Workspace, wanted: Mapping[str, str]) -> list[str]:
    """Return which of {path: sha256} are absent or damaged on the device."""
    done = connection.run([*place.command, "inventory"], stdin=json.dumps(wanted).encode(), timeout_s=600)
    absent: list[str] = json.loads(checked(done, device, "the agent does not run on the device").text)
    return absent


def missing_of_many(
    connection: Connection, device: Device, place: Workspace, wanted: Mapping[str, str], listing: str
) -> list[str]:
    """Return what `missing` does, for so many files that sending their digests takes longer than checking them.

    The list itself lies on the device, at `listing`, once `leave_list` has put it there; only its digest is sent.
    """
    own = json.dumps({listing: hashlib.sha256(_listed(wanted)).hexdigest()}).encode()
    # Says whether the list is the one that is meant, and then what of it is missing.
    script = '"$@"; echo; "$@" < "$0"'
    done = connection.run(["sh", "-c", script, listing, *place.command, "inventory"], stdin=own, timeout_s=600)
    said = done.text.splitlines()
    if done.code == 0 and len(said) == 2 and json.loads(said[0]) == []:
        absent: list[str] = json.loads(said[1])
        return absent
    return missing(connection, device, place, wanted)


def leave_list(connection: Connection, device: Device, wanted: Mapping[str, str], listing: str) -> None:
    """Put the list of many files on the device, for `missing_of_many`."""
    done = connection.run(["sh", "-c", 'cat > "$0"', listing], stdin=_listed(wanted), timeout_s=600)
    checked(done, device, f"{listing} could not be written on the device")


def _listed(wanted: Mapping[str, str]) -> bytes:
    return json.dumps(dict(wanted), sort_keys=True).encode()


def remove(connection: Connection, device: Device, paths: Iterable[str]) -> None:
    """Remove paths from the device and check that they are gone; raises DeviceError if one is not."""
    listed = list(paths)
    connection.run(["rm", "-rf", *listed])
    for path in listed:
        if connection.run(["test", "-e", path]).code == 0:
            raise DeviceError(
                f"{path} could not be removed from the device", remedy="remove it by hand", device=device.id
            )


def checked(done: Completed, device: Device, meaning: str) -> Completed:
    """Return `done` if it ended well; else raise DeviceError that says what it means and what the device said."""
    if done.code == 0:
        return done
    said = done.err.decode("utf-8", "replace").strip().splitlines()
    kind = OutOfSpace if b"No space left" in done.err else DeviceError
    raise kind(f"{meaning} ({said[-1] if said else f'code {done.code}'})", device=device.id)
