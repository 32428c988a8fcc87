"""A second, long way to a contained machine: delay, jitter, rate and loss, by a small C program of our own.

netem would do it, but many kernels are built without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual import cable
from devices.virtual.contained import Contained
from harness import cache_dir

NEEDS: Final = (*cable.NEEDS, "package:gcc")
_SOURCE: Final = Path(__file__).with_name("far.c")
#: As much of 198.19.128.0/17 as the short cables leave free; each long one takes four addresses.
_WIRES: Final = 2**13


class FarError(RuntimeError):
    """The long way could not be made; its text says why."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A long way.

    Attributes:
        interface: its end on this host; `ip link set … down` cuts it.
        address: of the machine at its other end.
        pid: of the program that carries the packets.
    """

    interface: str
    address: str
    pid: int


@contextlib.contextmanager
def far(
    machine: Contained, *, round_trip_s: float, jitter_s: float = 0.0, bytes_per_s: float = 0.0, loss_ratio: float = 0.0
) -> Iterator[Wire]:
    """Lay a long way to a machine until the block is left.

    Args:
        machine: at its other end; the short cable stays.
        round_trip_s: from here to there and back; s.
        jitter_s: added at random to each way, at most; packets never overtake each other; s.
        bytes_per_s: how much fits through in each direction; 0 for no limit.
        loss_ratio: how many packets are lost in each direction, 0..1.

    Raises:
        FarError: the program could not be built or did not start.
    """
    way = [round_trip_s / 2 * 1e6, jitter_s * 1e6, bytes_per_s, loss_ratio * 1e6]
    number, process = _started(_program(), machine.pid, [str(round(value)) for value in way])
    ours, theirs = (f"198.19.{128 + number // 64}.{number % 64 * 4 + side}" for side in (1, 2))
    here, there = _names(number)
    try:
        _configure(here, ours, theirs)
        _configure(there, theirs, ours, inside=machine.pid)
        yield Wire(here, theirs, process.pid)
    finally:
        process.kill()
        process.communicate()


def _names(number: int) -> tuple[str, str]:
    return f"edgewardf{number}", f"edgewardg{number}"


def _started(program: Path, pid: int, way: list[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """Return the number of a wire that nobody else has, and the program that carries it."""
    said = b""
    for number in range(_WIRES):
        if Path("/sys/class/net", _names(number)[0]).exists():
            continue
        command = [str(program), *_names(number), str(pid), *way]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() == b"ready\n":
            return number, process
        said = process.communicate()[1]
        if b"busy" not in said:
            break
    raise FarError(f"the long way could not be made: {said.decode().strip() or 'every number is taken'}")


def _configure(interface: str, own: str, peer: str, *, inside: int = 0) -> None:
    enter = ["nsenter", f"--net=/proc/{inside}/ns/net"] if inside else []
    for words in (["addr", "add", own, "peer", peer, "dev", interface], ["link", "set", interface, "up"]):
        done = subprocess.run([*enter, "ip", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise FarError(f"`ip {' '.join(words)}` failed: {done.stderr.strip()}")


def _program() -> Path:
    """Return the program, compiled once for its source."""
    target = cache_dir() / "virtual" / f"far-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:12]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(part), str(_SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FarError(f"gcc does not compile {_SOURCE.name}: {done.stderr.strip()[-500:]}")
        part.replace(target)
    return target
