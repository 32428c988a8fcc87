"""Bad cables: slow, lossy, or cut with a bang. By the kernel's own means, undone when the block is left."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from typing import Final

from devices.virtual.cable import Cable
from devices.virtual.requirements import program

NEEDS: Final = ("root", "package:iproute2=tc", "package:iptables")


class ShapingError(RuntimeError):
    """This kernel cannot do that to a cable; its text says why."""


@contextlib.contextmanager
def slow(cable: Cable, *, bytes_per_s: float) -> Iterator[None]:
    """Let no more than so many bytes a second through towards the device."""
    rate, queue = f"{round(bytes_per_s * 8)}bit", ["burst", "32kb", "latency", "400ms"]
    _done(["tc", "qdisc", "add", "dev", cable.interface, "root", "tbf", "rate", rate, *queue])
    try:
        yield
    finally:
        _done(["tc", "qdisc", "del", "dev", cable.interface, "root"])


@contextlib.contextmanager
def lossy(cable: Cable, *, ratio: float) -> Iterator[None]:
    """Lose so many packets in each direction, at random, 0..1."""
    chance = ["-m", "statistic", "--mode", "random", "--probability", str(ratio), "-j", "DROP"]
    with _ruled(cable, chance):
        yield


@contextlib.contextmanager
def refused(cable: Cable) -> Iterator[None]:
    """End every TCP connection at its next packet, and let no new one begin: a cut that is heard at once."""
    with _ruled(cable, ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]):
        yield


@contextlib.contextmanager
def _ruled(cable: Cable, rule: Sequence[str]) -> Iterator[None]:
    rules = [["INPUT", "-i", cable.interface, *rule], ["OUTPUT", "-o", cable.interface, *rule]]
    with contextlib.ExitStack() as stack:
        for words in rules:
            _done(["iptables", "-w", "-I", *words])
            stack.callback(_done, ["iptables", "-w", "-D", *words])
        yield


def _done(command: Sequence[str]) -> None:
    done = subprocess.run(
        [program(command[0]) or command[0], *command[1:]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ShapingError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
