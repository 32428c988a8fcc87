"""Linux hosts, each with a network, a name, processes and a host key of its own, and a cable that can be cut.

They share this host's files and kernel: their Python is this one's, their processors too.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devices.virtual import contained
from devices.virtual.cable import Cable
from devices.virtual.contained import Contained
from devices.virtual.memory_limit import Limit, memory_limit
from devices.virtual.openssh import Server, login_environment, prepared
from devices.virtual.requirements import lacking, program
from devices.virtual.waiting import soon, ssh_answers

NEEDS: Final = (*contained.NEEDS, "package:openssh-server=sshd", "package:openssh-client=ssh-keygen")

#: sh -c SERVE sh NAME DOOR SSHD CONFIG LIVE; the network, the disk and the memory limit outlive a restart.
_SERVE: Final = """
name=$1 door=$2
[ -z "$door" ] || echo 0 > "$door"
echo "$name" > /proc/sys/kernel/hostname
mount -t proc proc /proc
while :; do
  unshare --mount --propagation slave --pid --fork --kill-child sh -c "$5" sh "$3" "$4"
  sleep 0.2
done
"""
#: sh -c LIVE sh SSHD CONFIG: what runs from one start to the next.
_LIVE: Final = """
mount -t proc proc /proc
while :; do
  "$1" -D -e -f "$2"
  sleep 0.2
done
"""


class FleetError(RuntimeError):
    """A host did not start; its text says which and why."""


@dataclass(frozen=True, slots=True)
class Host:
    """A running host.

    Attributes:
        server: its sshd, whose `pid` is the listener's.
        machine: its processes.
        limit: what its memory is limited by, None if by nothing.
    """

    name: str
    server: Server
    machine: Contained
    limit: Limit | None = None

    @property
    def cable(self) -> Cable:
        """What it hangs on."""
        return self.machine.cable

    def restart(self) -> None:
        """End all that runs on it, as a reset does, and let it start again by itself."""
        keeper = psutil.Process(self.machine.pid).children()[0]
        for unshared in keeper.children():
            for first in unshared.children():
                first.kill()

    def at(self, address: str) -> Server:
        """Return its server as it is reached by another way, for a device file."""
        return dataclasses.replace(self.server, host=address)


@contextlib.contextmanager
def fleet(
    folder: Path, names: Sequence[str], *, memory_bytes: int = 0, settings: Sequence[str] = ()
) -> Iterator[list[Host]]:
    """Run hosts until the block is left; their logs stay in `folder`/NAME.

    Args:
        folder: an empty folder.
        names: one a host: h1, h2, …
        memory_bytes: what all processes of a host may use together; 0 for all there is.
        settings: more lines of their sshd_config.

    Raises:
        FleetError: a host did not start, with what it said.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise FleetError(f"a fleet needs {missing}")
    Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)  # its privilege separation wants it
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_host(folder / name, name, memory_bytes, settings)) for name in names]


@contextlib.contextmanager
def _host(folder: Path, name: str, memory_bytes: int, settings: Sequence[str]) -> Iterator[Host]:
    # They share this host's files and are machines of their own all the same.
    environment = login_environment() | {"EDGEWARD_LEASES": str(folder / "leases")}
    server = prepared(folder, "0.0.0.0", 22, ("ed25519",), environment, settings)
    with contextlib.ExitStack() as stack:
        limit = stack.enter_context(memory_limit(name, size_bytes=memory_bytes)) if memory_bytes else None
        log = stack.enter_context((folder / "sshd.log").open("wb"))
        words = [name, str(limit.door) if limit else "", program("sshd") or "", str(folder / "sshd_config"), _LIVE]
        machine = stack.enter_context(contained.contained(_SERVE, words, log))
        if not ssh_answers(machine.cable.address, 22) or not soon(lambda: _listener(machine)):
            raise FleetError(f"{name} did not start:\n{server.log[-2000:]}")
        server = dataclasses.replace(server, host=machine.cable.address, pid=_listener(machine))
        yield Host(name, server, machine, limit)


def _listener(machine: Contained) -> int:
    """Return the pid of the listening sshd, 0 if there is none yet."""
    return next((process.pid for process in machine.named("sshd")), 0)
