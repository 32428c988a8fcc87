"""What each plug-in room promises. A plug-in is one module; its file name is the name used in TOML.

A module of a room defines the functions of its Protocol at module level. Where it takes settings it also defines a
frozen dataclass `Options` whose fields are the keys it accepts in TOML; `harness.registry.options` checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from harness.agent.contract import Event
from harness.model import Device, Estimate, Evaluation, InputSpec, Samples, Task


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command on a device gave."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the trailing newline."""
        return self.out.decode("utf-8", "replace").rstrip("\n")


class Connection(Protocol):
    """An open way onto one device. Paths are the device's own, POSIX, absolute."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run `argv` (quoted by the connection) and wait; raises TimedOut or Unreachable.

        The code is 127 for a program that does not exist and 128 + N for one killed by signal N. It waits for the
        output to end, so what is left running in the background must have its streams redirected.
        """

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run `argv` and yield its output line by line, without newlines; leaving the loop early kills it.

        Raises TimedOut after `silence_s` without a line, DeviceError when it ends with a code other than 0.
        """

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device, making its folder; it appears under its name whole and verified, or not at all."""

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device; it appears under its name whole, or not at all."""

    def close(self) -> None:
        """Close the connection; never raises."""


class Transport(Protocol):
    """harness/transports/SCHEME.py: the way onto devices whose address begins with SCHEME."""

    ENCRYPTED: bool

    def connect(self, device: Device, *, timeout_s: float = 15.0) -> Connection:
        """Open a connection; raises Unreachable, Refused or HostKeyMismatch."""

    def workdir(self, device: Device) -> str:
        """Return where the harness lives on such a device when its file does not say (may start with ~/)."""


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit: `python` as (3, 11), `machine` as uname says, `glibc` as (2, 36)."""

    python: tuple[int, int]
    machine: str
    glibc: tuple[int, int]

    @property
    def platforms(self) -> list[str]:
        """The platform tags this target takes, newest first (PEP 600 and its legacy names)."""
        major, minor = self.glibc
        tags = [f"manylinux_{major}_{m}_{self.machine}" for m in range(minor, 4, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    def __str__(self) -> str:
        return f"cp{self.python[0]}{self.python[1]} on {self.machine} with glibc {self.glibc[0]}.{self.glibc[1]}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The harness's place on one device.

    Attributes:
        root: the workdir, absolute.
        command: starts the device side; a command of it (run, follow, survey, inventory) and its arguments follow.
        target: what wheels must fit there.
        extract: (tar, folder) -> the command line that unpacks one into the other.
        folder: the device side's own folder, whose name is a digest of what measures; "" where there is none.
    """

    root: str
    command: tuple[str, ...]
    target: Target
    extract: Callable[[str, str], Sequence[str]]
    folder: str = ""


class Handle(Protocol):
    """What a runner and a lease are given of a device: `harness.deploy.DeviceHandle`, whose methods are Connection's.

    A connection that is lost is made again and what was asked is repeated; only `stream` raises Transient then.
    """

    device: Device

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
    """

    SCENARIOS: tuple[str, ...]
    METERS: bool
    OUTPUTS: bool

    def install(self, handle: Handle) -> Workspace:
        """Bring the device side into `handle.root`; raises DeviceError."""

    def runtime(self, handle: Handle, requirement: str) -> str:
        """Bring a runtime and return its folder on the device; raises DeviceError."""

    def start(self, handle: Handle, job: str, *, low_priority: bool = False) -> None:
        """Start the job directory `job`; returns at once, and needs no connection afterwards."""

    def follow(self, handle: Handle, job: str, *, offset: int) -> Iterator[tuple[int, Event]]:
        """Yield (offset behind it, event) from byte `offset` to the final `done`; MeasurementError if it died."""

    def stop(self, handle: Handle, job: str) -> None:
        """End the job and everything it started."""


class Lease(Protocol):
    """harness/leases/NAME.py: one measurer per device."""

    def take(self, handle: Handle, owner: str) -> None:
        """Become the one measurer, or raise Busy saying who is."""

    def free(self, handle: Handle) -> None:
        """Let the next one measure."""

    def holder(self, handle: Handle) -> str:
        """Return who measures on the device now, "" if nobody does."""


class DataSource(Protocol):
    """harness/data/NAME.py, with a dataclass `Options`."""

    def load(self, options: Any, *, split: str, base: Path, cache: Path) -> Samples:
        """Return a split; paths in `options` are relative to `base`, `cache` is a folder to keep derived files in."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a recipe is given: the parent's file, where the result goes, and the suite's data."""

    parent: Path
    target: Path
    samples: Callable[[str], Samples]
    input: InputSpec
    task: Task


class Recipe(Protocol):
    """harness/recipes/NAME.py, with a dataclass `Options` and `FORMATS`, the parent formats it takes."""

    FORMATS: tuple[str, ...]

    def build(self, job: Build, options: Any) -> None:
        """Write the variant to `job.target`; raises RecipeError naming the extra to install when a tool is missing."""


class Metric(Protocol):
    """harness/metrics/TASK_KIND.py: predictions -> estimates, and the paired comparison of two models."""

    def evaluate(self, outputs: npt.NDArray[np.float32], samples: Samples, task: Task) -> Evaluation:
        """Return what (N, ...) raw outputs are worth; raises MeasurementError if they do not fit the samples."""

    def compare(
        self,
        baseline: npt.NDArray[np.float32],
        run: npt.NDArray[np.float32],
        truth: npt.NDArray[Any],
        classes: Sequence[str],
        task: Task,
        metric: str,
    ) -> Estimate | None:
        """Return run minus baseline in one metric, paired on the same images, or None where it has none."""

    def agreement(self, baseline: npt.NDArray[np.float32], run: npt.NDArray[np.float32]) -> Estimate:
        """Return how far two models' outputs on the same images say the same, 0..1."""


class Section(Protocol):
    """harness/page/sections/NAME.py: one part of the report.

    Attributes:
        ORDER: its place on the page, the smallest first.
        TITLE: its heading.
        TEMPLATE: Jinja markup that is rendered with what `context` returns, `report`, `several` and `folded`.
    """

    ORDER: int
    TITLE: str
    TEMPLATE: str

    def context(self, report: Any) -> Mapping[str, Any] | None:
        """Return what the template is rendered with, or None to leave the section out."""
