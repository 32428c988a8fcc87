"""Is there space on a device for all that is to come? Asked once, with what is there, before anything is pushed.

What is needed is what the disk holds at its fullest moment: what stays, and what passes while it is brought (pieces of
a file, the archive that is unpacked). Each of the workdir's folders may lie on a disk of its own.
"""

from __future__ import annotations

import json
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

from harness.deploy.answers import value
from harness.deploy.files import AT_ONCE, FIRST_BYTES, PIECE_BYTES
from harness.errors import OutOfSpace
from harness.model import Device
from harness.ports.runners import Handle, Part, Step, Workspace
from harness.transports._disk import SPACE, Free, free
from harness.units import count, human

#: What a file takes is counted in these, as most file systems do; bytes.
_BLOCK: Final = 4096
#: How many parts are named in a message.
_NAMED: Final = 5
#: sh -c ASK sh ROOT COMMAND... < paths, one a line, an empty line, and what COMMAND reads. Prints which of the paths
#: are there, what an earlier try left of the others (KiB), the space of each folder, and what COMMAND says.
_ASK: Final = (
    SPACE
    + """
export LC_ALL=C
root=$1 number=0; shift
while IFS= read -r path && [ -n "$path" ]; do
  if [ -e "$path" ]; then
    echo "there $number"
  else
    for left in "$path.part" "$path.pieces" "$path.pieces.whole" "$path.tar" "$path.tar.pieces" "$path.tar.pieces.whole"
    do
      if [ -e "$left" ]; then echo "left $number $(du -sk "$left" 2>/dev/null)"; fi
    done
  fi
  number=$((number + 1))
done
for folder in agent runtimes blobs jobs; do
  echo "folder $folder"
  space "$root/$folder"
done
echo own
"$@"
"""
)
_FOLDER: Final = re.compile(r"^folder (\w+)$", re.MULTILINE)


@dataclass(slots=True)
class _Need:
    """What the parts need together at the fullest moment: in all, and (name, how much) of each."""

    total: int = 0
    parts: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a device said: which paths are there, bytes left of others, the room of each folder, and its own words."""

    there: frozenset[int]
    left: Mapping[int, int]
    rooms: Mapping[str, Free]
    own: bytes


def ask(handle: Handle, place: Workspace, own: Mapping[str, str], steps: Sequence[Step]) -> list[str] | None:
    """Ask a device which files of its own side are missing, and refuse what has no room there, in one round trip.

    Args:
        handle: of the device; what it `wanted` is counted, too.
        place: whose device side looks after its own files.
        own: path -> sha256 of these.
        steps: what the runner is about to bring.

    Returns:
        Those of `own` that are missing or damaged; None if the device side cannot say.

    Raises:
        OutOfSpace: a file system has too little room; says what is needed, what is there, and for which parts.
    """
    steps = (*steps, *handle.wanted.steps)
    paths = [part.path for step in steps for part in step.parts]
    asked = "".join(f"{path}\n" for path in paths) + "\n" + json.dumps(dict(own), separators=(",", ":"))
    script = ["sh", "-c", _ASK, "sh", handle.root, *place.command, "inventory"]
    done = handle.run(script, stdin=asked.encode("utf-8", "surrogateescape"), timeout_s=600)
    answer = _read(done.out)
    refuse_short(handle.device, handle.root, _still_to_come(steps, answer), answer.rooms)
    missing = value(answer.own, list) if done.code == 0 else None
    return None if missing is None else [str(path) for path in missing]


def left_under(handle: Handle, folder: str) -> Free:
    """Return what the file system of a folder on the device has left, as far as the device says it."""
    return free(handle.run(["sh", "-c", f'{SPACE}space "$1"', "sh", folder]).text)


def _read(printed: bytes) -> _Answer:
    """Return what the script printed, whatever came."""
    said, _, own = printed.partition(b"\nown\n")
    head, *folders = _FOLDER.split(said.decode("utf-8", "replace"))
    there: set[int] = set()
    left: dict[int, int] = {}
    for line in head.splitlines():
        word, *numbers = line.split()[:3]
        if not all(number.isdecimal() for number in numbers):
            continue
        if word == "there" and numbers:
            there.add(int(numbers[0]))
        elif word == "left" and len(numbers) == 2:
            left[int(numbers[0])] = left.get(int(numbers[0]), 0) + int(numbers[1]) * 1024
    rooms = dict(zip(folders[::2], map(free, folders[1::2]), strict=True))
    return _Answer(frozenset(there), left, rooms, own)


def _still_to_come(steps: Sequence[Step], answer: _Answer) -> list[Step]:
    """Return the steps without what is there, and less what an earlier try has left there already."""
    found, number = [], 0
    for step in steps:
        own = []
        for part in step.parts:
            if number not in answer.there:
                passing = max(0, part.passing_bytes - answer.left.get(number, 0))
                spare = max(0, answer.left.get(number, 0) - part.passing_bytes)
                own.append(replace(part, passing_bytes=passing, size_bytes=max(0, part.size_bytes - spare)))
            number += 1
        found.append(replace(step, parts=tuple(own)))
    return found


def refuse_short(device: Device, root: str, steps: Sequence[Step], rooms: Mapping[str, Free]) -> None:
    """Raise OutOfSpace if the file systems of a workdir have no room for all steps.

    Args:
        device: whose workdir it is.
        root: the workdir.
        steps: what is brought, or made there, one after the other.
        rooms: the workdir's folder -> what its file system has left.
    """
    short = []
    for mount, room in {room.mount: room for room in rooms.values()}.items():
        inside = [replace(step, parts=tuple(_on(mount, root, step, rooms))) for step in steps]
        size = _fullest(inside, lambda part: (part.size_bytes, part.passing_bytes))
        files = _fullest(inside, lambda part: (part.files, part.passing_files))
        if room.size_bytes is not None and size.total > room.size_bytes:
            text = f"the disk is full, {_bytes(size.total)} are needed at once on the file system {mount}"
            short.append(f"{text} and {_bytes(room.size_bytes)} are free (needed: {_of(size, _bytes)})")
        if room.files is not None and files.total > room.files:
            text = f"the disk has too few inodes, {count(files.total)} are needed at once on the file system {mount}"
            short.append(f"{text} and {count(room.files)} are free (needed: {_of(files, count)})")
    if short:
        raise OutOfSpace(f"{'; '.join(short)}; nothing was brought", remedy=_remedy(device), device=device.id)


def _on(mount: str, root: str, step: Step, rooms: Mapping[str, Free]) -> Iterator[Part]:
    """Yield the parts of a step that come to lie on a file system."""
    for part in step.parts:
        folder = posixpath.relpath(part.path, root).partition("/")[0]
        if rooms.get(folder, Free()).mount == mount:
            yield part


def _fullest(steps: Sequence[Step], amounts: Callable[[Part], tuple[int, int]]) -> _Need:
    """Return what is needed at the fullest moment of steps that follow each other.

    Args:
        steps: what is brought or made.
        amounts: what of a part stays, and what passes.
    """
    kept: list[tuple[str, int]] = []
    found = _Need()
    for step in steps:
        own = [(part.name, amounts(part)[0]) for part in step.parts]
        passing = [(f"{part.name} while it is brought", amounts(part)[1]) for part in step.parts]
        now = kept + own + sorted(passing, key=lambda one: -one[1])[:AT_ONCE]
        kept += [] if step.gone else own
        if (total := sum(amount for _, amount in now)) > found.total:
            found = _Need(total, now)
    return found


def _of(need: _Need, shown: Callable[[int], str]) -> str:
    """Return the parts of a need, the largest first, those of one name together."""
    together: dict[str, int] = {}
    for name, amount in need.parts:
        together[name] = together.get(name, 0) + amount
    ordered = sorted(((amount, name) for name, amount in together.items() if amount), key=lambda one: -one[0])
    rest = sum(amount for amount, _ in ordered[_NAMED:])
    more = [f"{len(ordered) - _NAMED} more parts {shown(rest)}"] if rest else []
    return ", ".join([*(f"{name} {shown(amount)}" for amount, name in ordered[:_NAMED]), *more])


def _bytes(amount: int) -> str:
    return human(float(amount), "B")


def _remedy(device: Device) -> str:
    # This host itself, as the reference, is no device of the lab.
    command = (
        f" with `edgeward clean {device.id}` (--all: also what was used lately)" if device.file.parent.name else ""
    )
    return f"free some there{command}, or set workdir to a folder on another disk"


def file_part(name: str, path: str, size_bytes: int) -> Part:
    """Return the room that a file takes which `harness.deploy.files.bring` brings.

    Args:
        name: as people read it.
        path: on the device, absolute.
        size_bytes: of the file.
    """
    pieces = 1 - (FIRST_BYTES - size_bytes) // PIECE_BYTES if size_bytes > PIECE_BYTES else 0
    # The pieces are joined to the whole, and gone after that.
    return Part(name, path, _blocks(size_bytes), 1, _blocks(size_bytes) if pieces else 0, pieces + 1)


def folder_part(name: str, folder: str, sizes: Sequence[int]) -> Part:
    """Return the room that a folder of files takes.

    Args:
        name: as people read it.
        folder: on the device, absolute.
        sizes: of its files, in bytes.
    """
    return Part(name, folder, sum(map(_blocks, sizes)) + _BLOCK, len(sizes) + 1)


def tar_part(name: str, folder: str, archive: Path) -> Part:
    """Return the room that a folder takes which `harness.deploy.files.unpack` makes of a tar.

    Args:
        name: as people read it.
        folder: on the device, absolute.
        archive: the tar on this host.
    """
    brought = file_part(name, folder, archive.stat().st_size)
    size, files = _unpacked(archive, archive.stat().st_mtime_ns)
    return Part(
        name,
        folder,
        size,
        files,
        max(brought.size_bytes, brought.size_bytes + brought.passing_bytes - size),
        max(1, brought.passing_files + 1 - files),
    )


@cache
def _unpacked(archive: Path, mtime_ns: int) -> tuple[int, int]:  # noqa: ARG001  it says whether the tar changed
    """Return what the files of a tar and their folders take, in bytes, and how many they are."""
    with tarfile.open(archive) as tar:
        members = [(member.name, member.size) for member in tar if member.isfile()]
    folders = {parent for name, _ in members for parent in Path(name).parents}
    return sum(_blocks(size) for _, size in members) + len(folders) * _BLOCK, len(members) + len(folders)


def _blocks(size_bytes: int) -> int:
    return -(-size_bytes // _BLOCK) * _BLOCK
