"""The contract of host and device, stated once: a job, its events, the kinds of error, and the numbers both use.

The types are the data. The agent makes its events of them, so a missing or an unknown field is an error where it is
made; the host parses every line strictly into them (`harness.results.events`), from any runner; and
`harness.native.build` writes the C header `contract.h` from this file when it compiles the native runner.

Like all of the agent it needs nothing but the standard library of Python 3.9. Times that end in `_ns` are of the
device's monotonic clock. A field that is None is left out of the JSON: there is nothing to say.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Optional, Union

#: Of the agent's own commands and files; the native runner has the same.
VERSION = "1"
#: Of job.json.
JOB_SCHEMA = 1

# --- numbers that both sides use ------------------------------------------------------------------------------------

#: Steps of one sentinel kernel; relative slow-down from which the rounds around it are marked.
SENTINEL_STEPS = 40_000
DRIFT = 0.05
#: Readings at the start whose median is the cool value.
SENTINEL_READINGS = 9
#: Inputs that the timed loop goes through: real images, few enough to stay in the cache like a live frame.
TIMED_INPUTS = 16
#: The same of a model whose time depends on the image: at even steps from all of the split, so that they take each way.
VARYING_INPUTS = 256
#: The quantile of a round that stands for it, the same as `harness.stats.rounds` takes.
ROUND_QUANTILE = 0.05
#: Warm-up is over when two windows in a row agree this well.
STEADY = 0.02
#: Share of memory that all models together may take to be held at once.
HOLD_SHARE = 0.8
#: From which share of its pages in the page cache a file counts as warm, and up to which as evicted.
WARM, EVICTED = 0.99, 0.05
#: How much warmer than before the job still counts as cool, K; how often a sustained load gives a sign of life, s.
WARMER_C = 3.0
SIGN_OF_LIFE_S = 30.0
#: Longest time from the beginning of a block of frames to the first arrival.
LEAD_NS = 2_000_000
#: The accuracy pass is one request: how many times as long as its first inference says it may take.
PATIENCE = 20.0
#: The energy pass: a window shorter than this, or with fewer changes of the meter, gives no number (reports/METHOD.md).
MIN_WINDOW_S = 10.0
MIN_UPDATES = 50
#: Mean time between two readings of a meter, and between which shares of it each gap is drawn at random.
PERIOD_S = 0.05
GAPS = (0.5, 1.5)
#: The windows of an energy pass, in their order.
WINDOWS = ("idle_before", "busy", "idle_after")
#: The kind of a meter that the host reads.
HOST_METER = "host"
#: The profile: inferences that are traced to warm up, and the fewest after them. A trace is kept in memory to its end:
#: how many operators it shall note in all, beyond those fewest, and of how many in one inference none is made.
TRACED_BEFORE, TRACED_MIN, TRACED_IN_ALL, TRACED_NODES = 3, 10, 10_000, 2_000
#: Of a profile at most so many types of operators and single nodes are listed, their names cut to this length.
PROFILE_TYPES, PROFILE_NODES, PROFILE_NAME = 64, 10, 80
#: Length of a trial of a meter, s; pause between two lines of the verb `clock`, s.
TRIAL_S = 2.0
CLOCK_PAUSE_S = 0.01
#: How often it is seen whether the host is there, and the lease's beat written, between two requests to a worker; s.
LOOK_S = 10.0
#: The native runner takes LiteRT's C interface as releases of this major version give it, from this minor one on.
LITERT_MAJOR, LITERT_MINOR = 2, 2
#: The answer of a runner to a command that it lacks (EX_USAGE of sysexits.h).
NO_SUCH_COMMAND = 64

# --- what a host takes of a device: more is an error of the command, the file or the job that gives it ---------------

#: What a command prints, and one line of it; a file that is fetched; all events of a job; bytes.
OUTPUT_BYTES = 64 * 1024 * 1024
LINE_BYTES = 16 * 1024 * 1024
FILE_BYTES = 4 * 1024 * 1024 * 1024
EVENTS_BYTES = 256 * 1024 * 1024
#: How deep lists and tables may stand in one another in what a device says.
NESTED = 32

# --- files of a job directory ---------------------------------------------------------------------------------------

JOB_FILE = "job.json"
EVENTS_FILE = "events.jsonl"
ALIVE_FILE = "alive"
WAKE_FILES = "wake."
PID_FILE = "pid"
CLAIM_FOLDER = "claim"
LOG_FILE = "agent.log"
#: Left by the host: end the timed pass after this launch; with `-INDEX`, that model is decided.
STOP_FILE = "stop"
#: Left by the host: paths of confidential files, one a line, that are removed with a job that ends without it.
SECRET_FILE = "secret"
#: In the workdir: names of jobs with such files that were removed without their host, one a line, until one reads it.
WIPED_FILE = "wiped"
#: A job that has it may be left to itself and collected later by the campaign whose id it holds.
KEPT_FILE = "kept"
#: What a launch of training steps is asked for, and the weights that it leaves.
STEP_FILE = "step.json"
WEIGHTS_FILE = "weights.npz"

#: Beside a runtime's library that does not say itself which version it is.
VERSION_FILE = "version"

# --- why a model was left out of a job ------------------------------------------------------------------------------

#: Kind of an `error` event -> what a person can do about it; "" where the message says it.
REMEDIES = {
    "model": "the file is damaged or holds operations this runtime lacks; export it again",
    "input": "",
    "runtime": "the runtime does not start on this device; try another version under runtimes",
    "killed": "look there for what ends processes (an administrator, a memory daemon), then measure again",
    "memory": "give the device more memory or the case a smaller model",
    "disk": "free some space on the device, or set workdir to another disk",
    "accelerator": "take accelerator out of [load] to see whether the model runs without it",
    "timeout": "the model is too slow for this device, or hangs",
    "inference": "run it by hand on the device to see more",
    "died": "run it by hand on the device to see more",
    "untrue": "bring the runner of this version with `edgeward clean DEVICE --all`, then measure again; if it is said "
    "again, look at the device's clock, disk and memory",
}

# --- job.json -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Input:
    """The images, (N, H, W, C) in a .npy file, and how one becomes an input: x = (pixel * scale - mean) / std."""

    path: str
    layout: str
    scale: float
    mean: list[float]
    std: list[float]


@dataclass(frozen=True)
class Model:
    """One model of a job: `path` and `runtime_path` are on the device, `runtime` is the name of its file there.

    Attributes:
        output: name of the output that is judged, "" for the first.
        answer: what its numbers stand for: logits, probabilities, sigmoid or labels; "" where nobody knows.
        labels: what its answers are called, where they are texts or the keys of a map.
        constants: its inputs beside the image, each with its value.
        input: how its images become inputs, where it differs from the job's.
        input_scale, input_zero_point: what an integer input stands for, (integer - zero point) * scale, where the
            runtime does not say it; 0 for nothing.
        output_scale, output_zero_point: the same of the output that is judged.
        copy_of: the place in the job of the model whose file this one runs as well: a control, which takes part in the
            timed pass and in no other phase.
        paths: outputs that say which way an image takes through it, on which its time depends; None where it does not.
    """

    id: str
    path: str
    runtime: str
    runtime_path: str
    output: str = ""
    answer: str = ""
    labels: list[str] = field(default_factory=list)
    constants: dict[str, float] = field(default_factory=dict)
    input: Optional[Input] = None
    input_scale: float = 0.0
    input_zero_point: float = 0.0
    output_scale: float = 0.0
    output_zero_point: float = 0.0
    copy_of: Optional[int] = None
    paths: Optional[list[str]] = None


@dataclass(frozen=True)
class Plan:
    """How often, how long, and when to stop at the latest.

    Attributes:
        cold_starts, evicted_starts, memory_starts: fresh processes a model, for each of these phases.
        accuracy: whether the whole split is inferred and its outputs are kept.
        warmup_s: longest warm-up.
        round_s, round_min: length of a round, and the fewest inferences in it.
        rounds: of each model in a launch.
        control_rounds: in how many of them, the first, a copy takes part; 0 for all.
        min_launches, max_launches: fewest and most launches; no launch, no timed pass.
        max_timed_s, pause_budget_s: longest timed pass, and how much of it may be pauses to cool.
        energy_s: length of each window of the energy pass.
        deadline_s: longest wait for an answer of a worker.
        parts_s, parts_min: length of the pass from image to answer, and its fewest images; 0 leaves it out.
        hold: whether all models are held in memory at once; "auto" decides by the free memory.
        frames, period_ns: of a block of a stream; 0 in other scenarios.
        sustained_s, window_s, cooldown_s: of a sustained load; 0 in other scenarios.
        profile_s: length of the traced pass that says what each operator takes; 0 leaves it out.
    """

    cold_starts: int
    memory_starts: int
    accuracy: bool
    min_launches: int
    max_launches: int
    deadline_s: float
    evicted_starts: int = 0
    warmup_s: float = 0.0
    round_s: float = 0.0
    round_min: int = 1
    rounds: int = 1
    control_rounds: int = 0
    max_timed_s: float = 0.0
    pause_budget_s: float = 0.0
    energy_s: float = 0.0
    parts_s: float = 0.0
    parts_min: int = 0
    hold: Union[bool, str] = "auto"
    frames: int = 0
    period_ns: int = 0
    sustained_s: float = 0.0
    window_s: float = 0.0
    cooldown_s: float = 0.0
    profile_s: float = 0.0


@dataclass(frozen=True)
class Job:
    """What job.json holds.

    Attributes:
        seed: of the order of models, so that a job can be repeated.
        meter: the `[meter]` table of the device file, or {"kind": "host", "lead_s": ...}; None without a meter.
        thermal_zone: type of the thermal zone whose temperature counts, "" for the hottest of all.
        accelerator: what was asked for, "" for nothing.
        task: kind of the suite's task, for the pass from image to answer.
        beat: file that is written as long as the host is there, "" for none: it keeps the lease.
        host_gone_s: after so long without a follower the job ends and removes itself; 0 for never, s.
    """

    seed: int
    models: list[Model]
    threads: int
    input: Input
    plan: Plan
    batch: int = 1
    task: str = ""
    accelerator: str = ""
    thermal_zone: str = ""
    meter: Optional[dict[str, Any]] = None
    beat: str = ""
    host_gone_s: float = 0.0
    schema: int = JOB_SCHEMA


@dataclass(frozen=True)
class LocalStep:
    """What step.json holds: how a launch of the command `step` trains; paths are on the device.

    Attributes:
        program: what torch.jit.save wrote; it gives the logits of a batch.
        inputs, labels: (N, ...) float32 and (N,) int64 in .npy files; N is a multiple of `batch`.
        learns: names of the weights that change.
        warmup, steps: steps before the clock counts, and those that do.
        start: an .npz of weights to begin with, "" for the program's own.
        meter: as in a job; None for no energy pass, which comes last.
        energy_s: length of each of its windows.
    """

    program: str
    inputs: str
    labels: str
    learns: list[str]
    batch: int
    warmup: int
    steps: int
    optimiser: str
    learning_rate: float
    threads: int
    start: str = ""
    meter: Optional[dict[str, Any]] = None
    energy_s: float = 0.0


# --- events.jsonl ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One line of events.jsonl: `event` is its kind, `t_ns` when it was written."""

    KIND: ClassVar[str] = ""
    event: str
    t_ns: int


@dataclass(frozen=True)
class Readings:
    """The state of a device at a moment; what could not be read is None, and left out of the JSON."""

    temperature_c: Optional[float] = None
    frequency_hz: Optional[float] = None
    governor: Optional[str] = None
    load_average: Optional[float] = None
    available_bytes: Optional[int] = None
    free_bytes: Optional[int] = None
    wall_s: Optional[float] = None
    battery_ratio: Optional[float] = None
    charging: Optional[bool] = None


@dataclass(frozen=True)
class Start(Event):
    """The job begins; `kills` counts what the kernel has killed for want of memory until now: (file, count)."""

    KIND = "start"
    fingerprint: dict[str, Any]
    agent: str = ""
    pid: int = 0
    kills: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Conditions(Event):
    """The state of the device `when`: "before" or "after" the job."""

    KIND = "conditions"
    when: str
    temperature_c: Optional[float] = None
    frequency_hz: Optional[float] = None
    governor: Optional[str] = None
    load_average: Optional[float] = None
    available_bytes: Optional[int] = None
    free_bytes: Optional[int] = None
    wall_s: Optional[float] = None
    battery_ratio: Optional[float] = None
    charging: Optional[bool] = None


@dataclass(frozen=True)
class OfModel(Event):
    """An event of one model: its place in the job."""

    model: int


@dataclass(frozen=True)
class Phase(OfModel):
    """One turn of a phase: number `turn` of `of`."""

    turn: int
    of: int


@dataclass(frozen=True)
class Placement(Phase):
    """What runs the nodes of the model (name -> how many), of the accelerators `offered`."""

    KIND = "placement"
    wanted: str
    offered: list[str]
    nodes: dict[str, int]


@dataclass(frozen=True)
class Cold(Phase):
    """A start in a fresh process, the model's file in the page cache."""

    KIND = "cold"
    page_cache: str
    process_start_ns: Optional[int] = None
    load_ns: Optional[int] = None
    first_inference_ns: Optional[int] = None
    resident: Optional[float] = None
    facts: Optional[dict[str, Any]] = None
    absent: Optional[str] = None


@dataclass(frozen=True)
class Evicted(Cold):
    """The same with the model's file dropped from the page cache; `absent` says why it could not be dropped."""

    KIND = "evicted"


@dataclass(frozen=True)
class MemoryReading:
    """Memory of a worker, as its kernel counts it; `unread` names what could not be read."""

    peak_rss_bytes: Optional[int] = None
    rss_bytes: Optional[int] = None
    swap_bytes: Optional[int] = None
    pss_bytes: Optional[int] = None
    swap_pss_bytes: Optional[int] = None
    unread: Optional[str] = None


@dataclass(frozen=True)
class Memory(Phase):
    """Memory of a fresh process before loading, loaded, after the first inference and after a round."""

    KIND = "memory"
    before: MemoryReading
    loaded: MemoryReading
    inferred: MemoryReading
    after: MemoryReading


@dataclass(frozen=True)
class Accuracy(Phase):
    """Every sample of the split was inferred; the outputs are in m{model}.outputs.npy.

    Attributes:
        paths: of each sample, where the time depends on the image: which way it took, as a number.
    """

    KIND = "accuracy"
    samples: int
    ns: int
    quantised: bool = False
    paths: Optional[list[int]] = None


@dataclass(frozen=True)
class Parts(Phase):
    """Images went from pixels to answers; the parts' times are in m{model}.parts.npy."""

    KIND = "parts"
    count: int
    ns: int


@dataclass(frozen=True)
class Timed(Event):
    """The timed or the sustained pass begins; `hold` says whether all models are in memory at once."""

    KIND = "timed"
    hold: bool
    sentinel_cool_ns: int
    models: list[int]


@dataclass(frozen=True)
class Round:
    """One round of one model in a launch.

    Attributes:
        arrived, waits: of a stream's block.
        images: of a model whose time depends on the image: through how many it goes, at even steps from the split's
            first to its last, round and round from the first inference of the pass to the last.
    """

    model: int
    turn: int
    drift: float
    count: int
    level_ns: float
    ns: int
    arrived: Optional[int] = None
    waits: Optional[int] = None
    images: Optional[int] = None


@dataclass(frozen=True)
class Launch(Event):
    """All processes were launched afresh and took their turns."""

    KIND = "launch"
    launch: int
    rounds: list[Round]
    conditions: Readings
    paused_s: float


@dataclass(frozen=True)
class TimedEnd(Event):
    """The timed or the sustained pass is over."""

    KIND = "timed_end"
    paused_s: float
    sentinel_ns: int


@dataclass(frozen=True)
class Sustaining(OfModel):
    """A sign of life under a sustained load."""

    KIND = "sustaining"
    at_s: float
    of_s: float


@dataclass(frozen=True)
class LoadWindow:
    """When a window of a sustained load began, since the load began, and how warm it was then."""

    at_ns: int
    temperature_c: Optional[float] = None


@dataclass(frozen=True)
class Sustained(OfModel):
    """A sustained load is over: number `place` of `of`, after waiting `waited_s` for the device to be cool."""

    KIND = "sustained"
    place: int
    of: int
    cooled: bool
    waited_s: float
    start_drift: float
    began_ns: int
    windows: list[LoadWindow]
    conditions: Readings
    start_c: Optional[float] = None


@dataclass(frozen=True)
class EnergyStart(OfModel):
    """The windows of an energy pass that the host measures begin `lead_s` from now."""

    KIND = "energy_start"


@dataclass(frozen=True)
class EnergyWindow:
    """One window: its edges, and unless the host reads the meter every sample (J or W) and what they come to."""

    begin_ns: int
    end_ns: int
    at_ns: Optional[list[int]] = None
    readings: Optional[list[float]] = None
    joules: Optional[float] = None
    seconds: Optional[float] = None
    updates: Optional[int] = None


@dataclass(frozen=True)
class EnergyPass(Phase):
    """An energy pass, or in `absent` why there is no number.

    Attributes:
        meter: the kind that was read, "host" where the host reads it.
        quantity: "joules" for a counter, "watts" for power.
        resolution: the smallest step that the meter shows, J or W.
        inferences: whole inferences in the busy window.
        windows: `WINDOWS` -> each one.
        clock_s: added by a host that read the meter: how uncertain the device's clock is, s.
        untested: added by the host: what was never tried on this meter.
    """

    KIND = "energy"
    absent: Optional[str] = None
    meter: Optional[str] = None
    quantity: Optional[str] = None
    resolution: Optional[float] = None
    inferences: Optional[int] = None
    windows: Optional[dict[str, EnergyWindow]] = None
    clock_s: Optional[float] = None
    untested: Optional[str] = None


@dataclass(frozen=True)
class Operator:
    """What all nodes of one type that one provider ran take of an inference.

    Attributes:
        type: as the runtime names it; "" for all types that are not listed.
        provider: what ran them; "" there.
        nodes: how many ran.
        ns: of one inference, the mean over all that count; what runs inside a node is not in its time.
    """

    type: str
    provider: str
    nodes: int
    ns: float


@dataclass(frozen=True)
class Node:
    """What a single node takes of an inference, as `Operator` has it."""

    name: str
    type: str
    provider: str
    ns: float


@dataclass(frozen=True)
class Profile(Phase):
    """Where the time of an inference goes, seen in a traced session that is never timed, or in `absent` why not.

    Attributes:
        inferences: how many count: the faster half of the traced, or all where the time depends on the image.
        inference_ns: wall time of one of them, the mean.
        nodes: how many ran.
        nodes_ns: of one inference, what they take together.
        operators: the slowest types first, at most `PROFILE_TYPES` and one for all others.
        slowest: at most `PROFILE_NODES` single nodes, the slowest first.
    """

    KIND = "profile"
    absent: Optional[str] = None
    inferences: Optional[int] = None
    inference_ns: Optional[float] = None
    nodes: Optional[int] = None
    nodes_ns: Optional[float] = None
    operators: Optional[list[Operator]] = None
    slowest: Optional[list[Node]] = None


@dataclass(frozen=True)
class Error(OfModel):
    """A model is left out of the job from now on: in which phase, of which kind (`REMEDIES`), and what happened."""

    KIND = "error"
    phase: str
    kind: str
    message: str


@dataclass(frozen=True)
class Tool(Phase):
    """One start of a vendor's own tool: its exit code and what it printed; the figures are added by its runner."""

    KIND = "tool"
    tool: str
    facts: dict[str, Any]
    code: int
    said: str
    load_ns: Optional[float] = None
    first_inference_ns: Optional[float] = None
    mean_ns: Optional[float] = None
    count: Optional[int] = None


@dataclass(frozen=True)
class Done(Event):
    """The last event: the models that went through, and what processes spent, in ns."""

    KIND = "done"
    spent: dict[str, int]
    alive: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Steps:
    """What the command `step` prints, and no event: the steps of one launch of training.

    Attributes:
        ns: of each step.
        losses: of each step, those of the warm-up first.
        memory: before loading, loaded, and after the steps.
        kernel_ns: the sentinel's kernel before and after.
        energy: the fields of `EnergyPass` beside its place, with a meter.
    """

    torch: str
    python: str
    ns: list[int]
    losses: list[float]
    loss_before: float
    loss_after: float
    memory: dict[str, MemoryReading]
    kernel_ns: list[int]
    energy: Optional[dict[str, Any]] = None


@dataclass(frozen=True)
class Gone(Event):
    """Never in the file: the runner is gone without a `done`; printed by the command `follow`."""

    KIND = "gone"


#: Kind -> type, of every event.
EVENTS: dict[str, type[Event]] = {
    one.KIND: one
    for one in (
        Start, Conditions, Placement, Cold, Evicted, Memory, Accuracy, Parts, Timed, Launch, TimedEnd, Sustaining,
        Sustained, EnergyStart, EnergyPass, Profile, Error, Tool, Done, Gone,
    )
}  # fmt: skip


# --- what may stand in an event and in an array: the host refuses anything else ---------------------------------------

#: One thing that was timed, a whole pass or a job, and a clock that counts from the start of the device; ns.
DAY_NS = 86_400 * 10**9
MONTH_NS = 31 * DAY_NS
CLOCK_NS = 100 * 366 * DAY_NS
_MOST, _BYTES, _INDEX = 10**12, 10**15, 100_000
_TIME, _NO_TIME, _MOMENT = (1, DAY_NS), (0, DAY_NS), (0, CLOCK_NS)
_COUNT, _PLACE, _SIZE = (0, _MOST), (0, _INDEX), (0, _BYTES)
_DRIFT, _SECONDS, _READING, _LOSS = (-1.0, 1e6), (0.0, MONTH_NS / 1e9), (-1e13, 1e13), (-1e30, 1e30)

#: Name of a field -> the least and the most that its numbers may be, in lists and tables, too; TYPE.NAME comes first.
#: A table is one entry: `spent` is of all its values.
RANGES: dict[str, tuple[float, float]] = {
    "t_ns": _MOMENT, "began_ns": _MOMENT, "begin_ns": _MOMENT, "end_ns": _MOMENT, "EnergyWindow.at_ns": _MOMENT,
    "LoadWindow.at_ns": (0, MONTH_NS), "spent": _MOMENT, "TimedEnd.sentinel_ns": (0, MONTH_NS),
    "ns": _TIME, "Accuracy.ns": (1, MONTH_NS), "Parts.ns": (1, MONTH_NS), "process_start_ns": _TIME,
    "load_ns": _TIME, "first_inference_ns": _TIME, "sentinel_cool_ns": _TIME, "kernel_ns": _TIME,
    "inference_ns": (1e-9, DAY_NS), "nodes_ns": _NO_TIME, "Operator.ns": _NO_TIME, "Node.ns": _NO_TIME,
    # A block of frames may pass without one that was taken; a tool prints a model's load in hundredths of a ms.
    "Round.ns": _NO_TIME, "level_ns": _NO_TIME, "Tool.load_ns": _NO_TIME, "Tool.first_inference_ns": _NO_TIME,
    "mean_ns": (1e-9, DAY_NS),
    "paused_s": _SECONDS, "waited_s": _SECONDS, "at_s": _SECONDS, "of_s": _SECONDS, "seconds": _SECONDS,
    "clock_s": _SECONDS, "wall_s": (0.0, 1e11),
    "temperature_c": (-100.0, 300.0), "start_c": (-100.0, 300.0), "frequency_hz": (0.0, 1e13),
    "frequency_limit_hz": (0.0, 1e13), "load_average": (0.0, 1e6), "battery_ratio": (0.0, 1.0 + 1e-9),
    "resident": (0.0, 1.0 + 1e-9), "drift": _DRIFT, "start_drift": _DRIFT,
    "available_bytes": _SIZE, "free_bytes": (0, 2**63), "memory_bytes": _SIZE, "peak_rss_bytes": _SIZE,
    "rss_bytes": _SIZE, "swap_bytes": _SIZE, "pss_bytes": _SIZE, "swap_pss_bytes": _SIZE,
    "model": _PLACE, "models": _PLACE, "alive": _PLACE, "turn": _PLACE, "of": (1, _INDEX), "launch": _PLACE,
    "place": _PLACE, "pid": (0, 2**32), "kills": (0, 2**63), "code": (0, 255), "cores": (0, _INDEX),
    "usable_cores": (0, _INDEX), "nodes": _COUNT, "samples": (1, _MOST), "paths": (0, 2**31), "count": _COUNT,
    "Parts.count": (1, _MOST), "arrived": (1, _MOST), "waits": _COUNT, "images": (1, VARYING_INPUTS),
    "inferences": (1, _MOST), "updates": _COUNT, "readings": _READING, "joules": _READING, "resolution": (0.0, 1e13),
    "losses": _LOSS, "loss_before": _LOSS, "loss_after": _LOSS,
}  # fmt: skip
#: What a fingerprint holds as numbers with which the host counts; everything else in it is shown and compared.
NUMBERS = ("memory_bytes", "cores", "usable_cores", "frequency_limit_hz")
#: The most power that a meter reads, W.
MOST_WATTS = 1e6


@dataclass(frozen=True)
class Array:
    """What a .npy file m{model}.NAME.npy may hold.

    Attributes:
        dtype: as numpy names it.
        columns: each with its name, the least and the most that it may be; one makes the array flat, none leaves
            everything behind the first axis to the model: outputs, which may be NaN, for that is what it answered.
    """

    dtype: str
    columns: tuple[tuple[str, int, int], ...] = ()


#: NAME -> what the array may hold. Its length is what the events say.
ARRAYS = {
    "outputs": Array("<f4"),
    "latency": Array("<i8", (("ns", 1, DAY_NS),)),
    "rounds": Array(
        "<i8", (("launch", 0, _INDEX), ("start", 0, _MOST), ("stop", 0, _MOST), ("drift", -10_000, 10**10))
    ),
    "frames": Array("<i8", (("frame", 0, _MOST), ("waited", 0, DAY_NS), ("inferred", 1, DAY_NS))),
    # A timer may wake a little too early.
    "jitter": Array("<i8", (("late", -1_000_000, DAY_NS),)),
    # Where a clock is coarse, an answer may be ready in less than one of its steps.
    "parts": Array("<i8", (("preparing", 0, DAY_NS), ("inferring", 1, DAY_NS), ("finishing", 0, DAY_NS))),
}


def plain(value: Any) -> Any:
    """Return a value of this contract as JSON holds it; a field that is None is left out."""
    if is_dataclass(value) and not isinstance(value, type):
        shown = {one.name: getattr(value, one.name) for one in fields(value)}
        return {name: plain(item) for name, item in shown.items() if item is not None}
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def job(value: dict[str, Any]) -> Job:
    """Return the Job that job.json holds.

    Raises:
        ValueError: it has a key that this version does not know, or lacks one; the message names it.
    """
    found = dict(value)
    found["models"] = [_model(one) for one in _taken(found, "models")]
    found["input"] = _made(Input, _taken(found, "input"), "input")
    found["plan"] = _made(Plan, _taken(found, "plan"), "plan")
    made: Job = _made(Job, found, "")
    return made


def _model(value: dict[str, Any]) -> Model:
    found = dict(value)
    if found.get("input") is not None:
        found["input"] = _made(Input, found["input"], "models.input")
    made: Model = _made(Model, found, "models")
    return made


def _taken(found: dict[str, Any], key: str) -> Any:
    if key not in found:
        raise ValueError(f"{JOB_FILE}: {key} is missing; was it written by another version of edgeward?")
    return found[key]


def _made(kind: Any, value: dict[str, Any], where: str) -> Any:
    known = {one.name for one in fields(kind)}
    for key in value:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise ValueError(f"{JOB_FILE}: {name} is not known here; was it written by another version of edgeward?")
    try:
        return kind(**value)
    except TypeError as error:
        raise ValueError(f"{JOB_FILE}: {where or 'it'} lacks a key: {error}") from error
