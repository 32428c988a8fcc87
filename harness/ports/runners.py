"""What executes a job on a device, and the place there that it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from harness.agent.contract import Event
from harness.model import Device, core_numbers
from harness.ports.transports import Completed


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit.

    Attributes:
        python: (3, 11).
        machine: the processor, as wheels name it.
        glibc: version of the C library, (2, 36).
        libc: which one that is, "glibc" or "musl".
        abi: what follows the version in the name of its ABI: "t" for a free-threaded Python.
    """

    python: tuple[int, int]
    machine: str
    glibc: tuple[int, int]
    libc: str = "glibc"
    abi: str = ""

    @property
    def platforms(self) -> list[str]:
        """The platform tags this target takes, newest first (PEP 600 and its legacy names, PEP 656)."""
        major, minor = self.glibc
        if self.libc == "musl":
            return [f"musllinux_{major}_{m}_{self.machine}" for m in range(minor, -1, -1)]
        tags = [f"manylinux_{major}_{m}_{self.machine}" for m in range(minor, 4, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    def __str__(self) -> str:
        python = f"cp{self.python[0]}{self.python[1]}{self.abi}"
        return f"{python} on {self.machine} with {self.libc} {self.glibc[0]}.{self.glibc[1]}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The harness's place on one device.

    Attributes:
        root: the workdir, absolute.
        command: starts the device side; a command of it (run, follow, survey, inventory) and its arguments follow.
        target: what wheels must fit there.
        extract: (tar, folder) -> the command line that unpacks one into the other.
        folder: the device side's own folder, whose name is a digest of what measures; "" where there is none.
        cores: the processor cores on which jobs run, `0-3,6`; "" for all.
    """

    root: str
    command: tuple[str, ...]
    target: Target
    extract: Callable[[str, str], Sequence[str]]
    folder: str = ""
    cores: str = ""

    @property
    def bound(self) -> tuple[str, ...]:
        """What goes before a command that shall run on `cores` alone."""
        return ("taskset", f"{sum(1 << number for number in core_numbers(self.cores)):x}") if self.cores else ()


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is brought to a device or made there, and the room that it takes.

    Attributes:
        name: as people read it.
        path: where it then stands, absolute.
        size_bytes, files: what stays; folders are files, too.
        passing_bytes, passing_files: what it takes besides, until it is there.
    """

    name: str
    path: str
    size_bytes: int
    files: int = 1
    passing_bytes: int = 0
    passing_files: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Parts that are brought or made at the same time; `gone` says that they are removed before the next step."""

    parts: tuple[Part, ...]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device is about to be given beside the device side: its room is asked for in all, before anything is sent.

    Attributes:
        runtimes: requirements.
        steps: the rest, in its order.
    """

    runtimes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


NOTHING: Final = Wanted()


class Handle(Protocol):
    """What a runner and a lease are given of a device: `harness.deploy.DeviceHandle`, whose methods are Connection's.

    A connection that is lost is made again and what was asked is repeated; only `stream` raises Transient then.
    """

    device: Device
    wanted: Wanted

    @property
    def root(self) -> str:
        """The harness's folder on the device, absolute."""

    @property
    def workspace(self) -> Workspace:
        """What `Runner.install` returned."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run a command and wait, as `Connection.run` does."""

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run a command and yield its lines, as `Connection.stream` does."""

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device, as `Connection.push` does."""

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device, as `Connection.pull` does."""


class Runner(Protocol):
    """harness/runners/NAME.py: what executes a job directory on the device, detached.

    Attributes:
        SCENARIOS: those of `[load]` that it can measure; a case with another one is refused.
        METERS: whether it has an energy pass.
        OUTPUTS: whether it gives the models' outputs, so that they can be judged and held against the host's.
        TURNS: whether models take turns in rounds, so that a control can take part.
    """

    SCENARIOS: tuple[str, ...]
    METERS: bool
    OUTPUTS: bool
    TURNS: bool

    def install(self, handle: Handle) -> Workspace:
        """Bring the device side into `handle.root`, if all that is `handle.wanted` has room there; raises DeviceError.

        `harness.deploy.space.ask` says whether it has.
        """

    def runtime(self, handle: Handle, requirement: str) -> str:
        """Bring a runtime and return its folder on the device; raises DeviceError."""

    def start(self, handle: Handle, job: str, *, low_priority: bool = False) -> None:
        """Start the job directory `job`; returns at once, and needs no connection afterwards.

        Args:
            handle: of the device.
            job: its folder on the device.
            low_priority: whether it yields to whatever else the device does.
        """

    def follow(self, handle: Handle, job: str, *, offset: int) -> Iterator[tuple[int, Event]]:
        """Yield (offset behind it, event) from byte `offset` to the final `done`; MeasurementError if it died.

        Args:
            handle: of the device.
            job: its folder on the device.
            offset: byte of the events to go on from.
        """

    def stop(self, handle: Handle, job: str) -> None:
        """End the job and everything it started."""
