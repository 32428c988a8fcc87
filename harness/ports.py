"""What each plug-in room promises. A plug-in is one module, a file or a folder; its name is the name used in TOML.

A module of a room defines everything in its Protocol at module level; an attribute that has a value here may be left
out. `Options` is a frozen dataclass whose fields are the keys that the plug-in accepts in TOML, each with a default;
`harness.registry.options` checks them. Every room stands in `ROOMS`, at the end of this file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, Protocol

from harness.agent.contract import Event
from harness.model import (
    Address,
    Answers,
    Device,
    Estimate,
    Evaluation,
    InputSpec,
    Reading,
    Samples,
    Task,
    Truth,
    core_numbers,
)


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
    """harness/transports/SCHEME.py: the way onto devices whose address begins with SCHEME.

    Attributes:
        EXAMPLE: such an address, for messages and the schema.
        ENCRYPTED: whether nobody on the way can read what is sent; confidential suites go over no other transport.
        Options: the keys of the table `[SCHEME]` in a device's file.
    """

    EXAMPLE: str
    ENCRYPTED: bool
    Options: type[Any]

    def address(self, text: str) -> Address:
        """Return what stands behind "SCHEME:" as an Address; raises ValueError when it is none."""

    def connect(self, device: Device, *, timeout_s: float | None = None) -> Connection:
        """Open a connection within `timeout_s`, or within what the device's file allows when that is None.

        Raises:
            Unreachable, TimedOut, Refused, HostKeyMismatch: no connection could be opened.
        """

    def workdir(self, device: Device) -> str:
        """Return where the harness lives on such a device when its file does not say (may start with ~/)."""


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


@dataclass(frozen=True, slots=True)
class Owner:
    """Who measures on a device.

    Attributes:
        who: user@host.
        process: its number there, 0 if it is not known.
        since: when it began, for people.
        boot_id: of that host's kernel, "" if it is not known.
        namespace: of process numbers there, so that a container of the same kernel is another host.
        started: when the process began, in that host's own count: numbers are used again.
        root: its workdir on the device.
        id: differs between two leases of one process.
    """

    who: str
    process: int = 0
    since: str = ""
    boot_id: str = ""
    namespace: str = ""
    started: str = ""
    root: str = ""
    id: str = ""

    def line(self) -> str:
        """Return it as one line of JSON, for a lease to keep."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Owner:
        """Return what `line` wrote; a lease that was written by hand or by an older edgeward names nobody else."""
        try:
            return cls(**json.loads(line))
        except (ValueError, TypeError):
            return cls(line.strip() or "somebody")

    def __str__(self) -> str:
        return f"{self.who} (process {self.process}, since {self.since})" if self.process else self.who


@dataclass(frozen=True, slots=True)
class Hold:
    """What goes with a lease that was taken.

    Attributes:
        beat: file on the device that host and device side write boot id and uptime into while they measure, "" if none.
        before: who held it and was gone: what was left running there is ended.
    """

    beat: str = ""
    before: Owner | None = None


class Lease(Protocol):
    """harness/leases/NAME.py: one measurer per device."""

    def take(self, handle: Handle, owner: Owner) -> Hold | None:
        """Become the one measurer, or raise Busy saying who is; taken once more by its owner, it stays taken."""

    def free(self, handle: Handle, owner: Owner) -> None:
        """Let the next one measure, if `owner` does now; else nothing is changed."""

    def holder(self, handle: Handle) -> Owner | None:
        """Return who measures on the device now, None if nobody does."""


class DataSource(Protocol):
    """harness/data/NAME.py: labelled images.

    Attributes:
        Options: the keys of `[data]` besides those that every source has.
    """

    Options: type[Any]

    def load(self, options: Any, *, split: str, base: Path, cache: Path) -> Samples:
        """Return a split; paths in `options` are relative to `base`, `cache` is a folder to keep derived files in.

        Args:
            options: an `Options`.
            split: name of the split.
            base: folder that relative paths count from.
            cache: folder for derived files.
        """

    def example(self, folder: Path) -> Mapping[str, Any]:
        """Write a small labelled example into `folder` and return the keys of `[data]` that read its split `test`."""


@dataclass(frozen=True, slots=True)
class Build:
    """What a recipe is given: the parent's file, where the result goes, and the suite's data.

    Attributes:
        parent: the model that the recipe changes: the baseline's file, or in a chain what the step before wrote.
        target: the file to write.
        samples: name of a split -> its images and labels.
        input: how images become the input of a model.
        task: of the suite.
        reading: how a model is read.
        first: the baseline's file with which the chain begins, None where that is `parent`.
        folder: of the suite. Paths among a recipe's options count from it; what these files hold decides, too, whether
            a step is built anew.
    """

    parent: Path
    target: Path
    samples: Callable[[str], Samples]
    input: InputSpec
    task: Task
    reading: Reading = field(default_factory=Reading)
    first: Path | None = None
    folder: Path = Path()

    @property
    def baseline(self) -> Path:
        """The suite's baseline in the format of the parent: what a user compares with."""
        return self.first or self.parent


#: Types of the weights in a model, by which steps of a chain fit each other.
WEIGHTS: Final = ("float32", "float16", "int8", "int4")


class Recipe(Protocol):
    """harness/recipes/NAME.py: how a variant is built from its baseline.

    Attributes:
        FORMATS: of the parents that it takes.
        TOOLS: the distributions that decide what it writes; the ledger keeps their versions.
        Options: the keys of `parameters`.
        TAKES: which of WEIGHTS the weights of its parent may be; a chain in which they are not is refused unbuilt.
            Without it, whatever a step before leaves is tried.
        LEAVES: which of WEIGHTS it writes, "" where they stay as they were; None: it does not say.
        GIVES: the format that it writes, "" for that of its parent.
    """

    FORMATS: tuple[str, ...]
    TOOLS: tuple[str, ...]
    TAKES: tuple[str, ...] = ()
    LEAVES: str | None = None
    GIVES: str = ""
    Options: type[Any]

    def build(self, job: Build, options: Any) -> Mapping[str, Any] | None:
        """Write the variant to `job.target`, and return what was decided meanwhile, for the ledger, or None.

        Raises:
            RecipeError: naming the extra to install when a tool is missing, or why this model cannot be made into it.
        """


class Metric(Protocol):
    """harness/metrics/TASK_KIND.py: answers -> estimates, and the paired comparison of two models.

    A kind may also have `fits(output, samples, columns)`, which says of an output in a model's file whether it has the
    shape of answers to this task: True, False, or None where the file does not say. Without it, which of several
    outputs is judged must be declared. `needs_kind(output)` says whether answers depend on what the numbers of an
    output stand for; without it they do not. `compact(answers)` may give the same answers in fewer bytes, for the
    store. `TASK_KEYS` names the keys of `[task]` that have a part in it beside `kind` and `positive`; a suite that sets
    another is refused. `SEVERAL_LABELS = True` is that of a kind whose truth is (N, K), any number of labels an image;
    it has `by_label(answers, samples)`, which yields what a model is worth for each, and `flips(reference, own, near)`:
    of how many images a label is not the host's, and how many of those by a tie. `unreadable(reading)` says why answers
    that are read so are none, or "". `labels_of(answers, classes)` may give the class of each image, by which the
    sensitivity of each class is reported. A kind with operating points has `threshold(answers, samples, task)`,
    which returns the threshold and in words what it reaches, and `no_threshold(reading)`: why none can decide a model's
    answers, or "".
    A kind that can be measured under `[robustness]` has `per_image(answers, truth, task)`, (N,) numbers from 0 to 1
    whose mean is the accuracy that it names as `CHIEF`; one with occlusion maps has
    `sureness(answers, classes, chosen)`, (N,) how sure a model is of a chosen class.

    Attributes:
        PATIENTS: whether its intervals are of patients where the samples, or the truth, have groups: images of one
            patient say much the same. One that has no such intervals is not asked to compare them.
    """

    PATIENTS: bool

    def evaluate(self, answers: Answers, samples: Samples, task: Task) -> Evaluation:
        """Return what a model's answers are worth; raises MeasurementError if they do not fit the samples.

        Args:
            answers: (N, ...) float32 in the split's order, and how they are read.
            samples: the split.
            task: what the model is for.
        """

    def compare(self, baseline: Answers, run: Answers, truth: Truth, task: Task, metric: str) -> Estimate | None:
        """Return run minus baseline in one metric, paired on the same images, or None where it has none.

        Args:
            baseline: what the baseline gave.
            run: what the run gave, for the same images.
            truth: of these images.
            task: what the models are for.
            metric: a name of `harness.vocabulary.METRICS`.
        """

    def agreement(self, baseline: Answers, run: Answers) -> Estimate:
        """Return how far two models' answers to the same images say the same, 0..1."""


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


class LoadedModel(Protocol):
    """One loaded model with one input, as `Runtime.Session` makes it on the device.

    Attributes:
        shape: of the input; a size that may vary is not a number.
        dtype: numpy's name of the input's type.
        quantization: scale and zero point of a quantised input; (0.0, 0) for any other.
        accelerator: the one asked for if it really is used, else "".
    """

    shape: Sequence[Any]
    dtype: str
    quantization: tuple[float, int]
    accelerator: str

    def bind(self, x: Any) -> Any:
        """Return what `call` takes for the input array `x` of shape (1, ...)."""

    def call(self, bound: Any) -> Any:
        """Run one inference and return the outputs; this is what is timed."""

    def result(self, outputs: Any, output: str = "", labels: Sequence[str] = ()) -> Any:
        """Return one output as float32, without the batch axis.

        Args:
            outputs: what `call` returned.
            output: its name in the file, "" for the first.
            labels: what its answers are called where they are texts, which become their places here, or the keys of a
                map, whose numbers come in this order.
        """

    def quantised(self) -> bool:
        """Return whether the model computes with integers that stand for numbers."""

    def nodes(self) -> dict[str, int]:
        """Return what ran -> nodes it ran since loading, of a session with `trace`; called once after one inference."""


class Runtime(Protocol):
    """harness/agent/runtimes/NAME.py: loads and calls models on the device, so it imports nothing of ours.

    Attributes:
        REQUIREMENT: the distribution that is installed on the device.
        CONSTRAINTS: on what is installed with it, such as `numpy<2`.
        ALONE_WITH: the distributions that it needs to run a model, where its wheel asks for more than that: nothing
            else is installed with it. Empty: what the wheel asks for.
        LEFT_OUT: patterns of files (fnmatch) in its folder that no model needs to run.
        COMPILED: bytes and files that Python adds to its folder when it is first used; (0, 0) for the usual.
        FORMATS: of the models that it runs, which are their files' suffixes.
        ACCELERATORS: every name that it knows an accelerator by; which of them a device has is seen there.
    """

    REQUIREMENT: str
    CONSTRAINTS: tuple[str, ...]
    ALONE_WITH: tuple[str, ...] = ()
    LEFT_OUT: tuple[str, ...] = ()
    COMPILED: tuple[int, int] = (0, 0)
    FORMATS: tuple[str, ...]
    ACCELERATORS: tuple[str, ...]

    def Session(  # noqa: N802 a class
        self,
        path: str,
        threads: int,
        accelerator: str = "",
        trace: str = "",
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> LoadedModel:
        """Load a model.

        Args:
            path: of its file.
            threads: that an inference may use.
            accelerator: one of `offers()` to use, "" for none.
            trace: beginning of the name of a file to note in what ran each node, "" not to.
            constants: its inputs beside the one that takes images, each with its value.
        """

    def offers(self) -> list[str]:
        """Return the accelerators that it can use on this device."""

    def facts(self) -> dict[str, Any]:
        """Return `runtime`, `runtime_version` and `accelerator`: its name, its version, what runs models by default."""


class Reader(Protocol):
    """An open meter, as `Meter.Meter` makes it. What cannot be read raises OSError or ValueError with the reason.

    Attributes:
        resolution: the smallest step between readings, in the unit of `read`.
    """

    resolution: float

    def read(self) -> float:
        """Return the joules used since some fixed moment, or the watts drawn now."""

    def charging(self) -> bool:
        """Return whether the device is being charged, which hides what it draws."""

    def close(self) -> None:
        """Let go of the meter."""


class Meter(Protocol):
    """harness/meters/NAME.py is read by the host, harness/agent/meters/NAME.py by the device.

    A meter for devices imports nothing of ours, as the agent; the host can read it, too (`side = "host"`).

    Attributes:
        QUANTITY: "joules" or "watts".
        UNTESTED: why its numbers are to be taken with care, if it never saw its hardware.
        Options: the keys of `[meter]`.
    """

    QUANTITY: str
    UNTESTED: str = ""
    Options: type[Any]

    def Meter(self, options: Any) -> Reader:  # noqa: N802 a class
        """Open the meter; raises OSError or ValueError when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Room:
    """One plug-in room.

    Attributes:
        protocol: what every plug-in in it promises.
        toml: how TOML selects one, {name} being its name; "" where nothing does.
    """

    protocol: type
    toml: str = ""


#: Name (a folder of harness/, dotted for a folder within a folder) -> room; entry points are in the group harness.NAME.
ROOMS: Final[Mapping[str, Room]] = {
    "transports": Room(Transport, 'address = "{name}:'),
    "runners": Room(Runner, 'runner = "{name}"'),
    "leases": Room(Lease, 'lease = "{name}"'),
    "agent.runtimes": Room(Runtime, 'runtimes = ["{requirement}=='),
    "agent.meters": Room(Meter, 'kind = "{name}"'),
    "meters": Room(Meter, 'kind = "{name}"'),
    "data": Room(DataSource, 'source = "{name}"'),
    "metrics": Room(Metric, 'kind = "{name}"'),
    "recipes": Room(Recipe, 'recipe = "{name}"'),
    "page.sections": Room(Section),
}
