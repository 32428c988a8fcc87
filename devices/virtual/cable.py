"""A network cable of its own between this host and a process: nobody else can plug in, and it can be cut."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual.requirements import program
from devices.virtual.waiting import soon

NEEDS: Final = ("root", "package:iproute2=ip", "package:util-linux=nsenter")
#: 198.18.0.0/15 is kept for benchmarks of networks (RFC 2544); each cable takes four addresses of it.
_CABLES: Final = 2**14
#: Numbers of this process's cables, modulo their count; processes side by side begin far from each other.
_NEXT: Final = itertools.count(os.getpid() * 256)


class CableError(RuntimeError):
    """A cable could not be laid; its text says why."""


@dataclass(frozen=True, slots=True)
class Cable:
    """A cable whose far end has `address`; it goes by itself when the last process in the device's network ends.

    Attributes:
        pid: a process in the device's network.
        interface: the end on this host.
        plug: the end on the device.
        address: IPv4, of the device.
    """

    pid: int
    interface: str
    plug: str
    address: str

    def cut(self) -> None:
        """Let nothing through any more, and tell nobody: what a lost radio link looks like."""
        _ip("link", "set", self.plug, "down", inside=_inside(self.pid))

    def mend(self) -> None:
        """Let it through again, from this moment on."""
        _ip("link", "set", self.plug, "up", inside=_inside(self.pid))
        # While it was cut nobody said who has the address, and the kernel would go on answering "no route" for a while.
        _ip("neigh", "flush", "dev", self.interface)


def lay(pid: int) -> Cable:
    """Return a cable to the network of process `pid`, which must have one of its own.

    Raises:
        CableError: the process ended, or this kernel knows no such cables.
    """
    _await_network(pid)
    for number in _numbers():
        ours, theirs = f"edgeward{number}", f"edgewardp{number}"
        made = _tried("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", str(pid))
        if made.returncode == 0:
            break
        if "File exists" not in made.stderr:
            raise CableError(f"cannot lay a cable: {made.stderr.strip()}")
    else:
        raise CableError(f"{_CABLES} cables are laid already; end what uses them")
    here, there = (f"198.18.{number // 64}.{number % 64 * 4 + end}" for end in (1, 2))
    _ip("addr", "add", f"{there}/30", "dev", theirs, inside=_inside(pid))
    _ip("link", "set", theirs, "up", inside=_inside(pid))
    _ip("link", "set", "lo", "up", inside=_inside(pid))
    _ip("addr", "add", f"{here}/30", "dev", ours)
    _ip("link", "set", ours, "up")
    return Cable(pid, ours, theirs, there)


def _numbers() -> Iterator[int]:
    """Yield every number once, those first that this process has not had.

    A machine that died leaves its address free, and who still looks for it must not find another one there.
    """
    for _ in range(_CABLES):
        yield next(_NEXT) % _CABLES


def _inside(pid: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{pid}/ns/net"]


def _await_network(pid: int) -> None:
    mine = Path("/proc/self/ns/net").readlink()

    def own() -> bool:
        try:
            return Path(f"/proc/{pid}/ns/net").readlink() != mine
        except OSError as error:
            raise CableError(f"process {pid} ended before its cable was laid") from error

    if not soon(own):
        raise CableError(f"process {pid} has no network of its own")


def _tried(*arguments: str, inside: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [*inside, program("ip") or "ip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _ip(*arguments: str, inside: Sequence[str] = ()) -> None:
    done = _tried(*arguments, inside=inside)
    if done.returncode:
        raise CableError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
