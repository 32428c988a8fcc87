"""What a device may say that cannot be: each lie is refused by the field's name, and puts out its own model alone."""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent import contract, energy, plain_json
from harness.errors import DeviceError, MeasurementError, TooMuch
from harness.measure.jobs import Group
from harness.measure.known import Known
from harness.model import Address, Case, Device, InputSpec, Load, Run, Samples, Suite, Task, Variant
from harness.results import arrays, events
from harness.results.events import Untrue
from harness.results.job_log import JobLog
from harness.results.order import Order
from harness.transports import local
from harness.transports._bounds import Splitter
from harness.units import printable

Arrays = dict[str, npt.NDArray[Any] | bytes]
Said = list[dict[str, Any]]

#: Jobs of two small models and 60 images, as each device side ran them (tests/unit/data/README.md).
RECORDED = zipfile.ZipFile(Path(__file__).parent / "data" / "said.zip")
JOBS = sorted({name.partition("/")[0] for name in RECORDED.namelist()})
SAMPLES = 60
NAN, INF, LARGEST = math.nan, math.inf, 2**63 - 1


def recorded(job: str) -> tuple[contract.Job, Said, Arrays]:
    """Return what was asked for, the events as JSON holds them, and the arrays."""
    asked = contract.job(json.loads(RECORDED.read(f"{job}/{contract.JOB_FILE}")))
    said = [json.loads(line) for line in RECORDED.read(f"{job}/{contract.EVENTS_FILE}").splitlines()]
    names = [name for name in RECORDED.namelist() if name.startswith(f"{job}/") and name.endswith(".npy")]
    return asked, said, {Path(name).name: np.load(io.BytesIO(RECORDED.read(name))) for name in names}


def heard(asked: contract.Job, lines: Sequence[bytes], given: Arrays, folder: Path) -> JobLog:
    """Take in what a device says, as a campaign does; what is said of one model is in the log as its failure."""
    log = JobLog(order=Order(asked, SAMPLES, "pi5"))
    for line in lines:
        for event in events.read(line, device="pi5"):
            log.add(event)
    for index in range(len(asked.models)):
        for name in contract.ARRAYS:
            file = folder / f"m{index}.{name}.npy"
            content = given.get(file.name)
            if content is None or log.failure(index):
                continue
            with log.guarded(index, "arrays"):
                if isinstance(content, bytes):
                    file.write_bytes(content)
                else:
                    np.save(file, content)
                log.arrays[file.name] = arrays.read(file, name, device="pi5", model=index)
        if not log.failure(index):
            with log.guarded(index, "arrays"):
                arrays.check(log, index, "pi5")
    return log


def spoken(said: Said) -> list[bytes]:
    return [json.dumps(one).encode() for one in said]


@pytest.mark.parametrize("job", JOBS)
def test_what_both_device_sides_say_is_accepted(job: str, tmp_path: Path) -> None:
    asked, said, given_arrays = recorded(job)
    log = heard(asked, spoken(said), given_arrays, tmp_path)
    assert [contract.plain(one) for one in log.events] == said
    assert log.arrays.keys() == given_arrays.keys()


def test_events_that_come_again_after_a_lost_connection_are_taken_once(tmp_path: Path) -> None:
    asked, said, given_arrays = recorded("native-turns")
    lines = spoken(said)
    log = heard(asked, [*lines[:9], *lines[4:]], given_arrays, tmp_path)
    assert [contract.plain(one) for one in log.events] == said


def place(said: Said, path: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return the holder and key of a field, and its event: `cold.0.load_ns` is of the first event `cold`."""
    kind, number, *keys = path.split(".")
    event = [one for one in said if one["event"] == kind][int(number)]
    holder: Any = event
    steps: list[Any] = [int(key) if key.isdigit() else key for key in keys]
    for step in steps[:-1]:
        holder = holder[step]
    return holder, steps[-1], event


#: A field -> what it is said to be, and the word of the message that names it.
FIELDS: Sequence[tuple[str, Any, str]] = [
    ("cold.0.load_ns", -5, "load_ns"),
    ("cold.0.load_ns", 0, "load_ns"),
    ("cold.0.load_ns", NAN, "NaN"),
    ("cold.0.load_ns", LARGEST, "load_ns"),
    ("cold.0.load_ns", 2**64, "beyond 64 bits"),
    ("cold.0.load_ns", "5", "load_ns"),
    ("cold.0.load_ns", 5.5, "load_ns"),
    ("cold.0.load_ns", True, "load_ns"),
    ("cold.0.first_inference_ns", -1, "first_inference_ns"),
    ("cold.1.process_start_ns", 0, "process_start_ns"),
    ("cold.0.resident", 1.5, "resident"),
    ("cold.0.resident", -0.1, "resident"),
    ("cold.0.turn", 7, "turn"),
    ("cold.0.turn", -1, "turn"),
    ("cold.0.of", 3, "of"),
    ("cold.0.of", 0, "of"),
    ("cold.0.t_ns", 5, "t_ns"),
    ("cold.0.colour", "red", "colour"),
    ("cold.0.load_ns", None, "load_ns"),
    ("cold.0.event", "warm", "no event"),
    ("cold.0.facts", {"runtime": "half \ud800"}, "facts.runtime"),
    ("evicted.0.turn", 1, "turn"),
    ("memory.0.after.peak_rss_bytes", -1, "peak_rss_bytes"),
    ("memory.0.loaded.rss_bytes", 10**18, "rss_bytes"),
    ("memory.1.before.pss_bytes", INF, "Infinity"),
    ("accuracy.0.samples", 59, "samples"),
    ("accuracy.0.samples", 0, "samples"),
    ("accuracy.0.ns", -1, "ns"),
    ("accuracy.0.paths", [0] * 3, "paths"),
    ("accuracy.0.paths", [-1] * SAMPLES, "paths"),
    ("accuracy.0.quantised", "no", "quantised"),
    ("parts.0.count", 0, "count"),
    ("parts.0.count", 10_000, "parts"),
    ("parts.0.ns", 7, "parts"),
    ("launch.0.rounds.0.ns", -1, "ns"),
    ("launch.0.rounds.0.ns", 10**6 - 1, "ns"),
    ("launch.0.rounds.0.level_ns", -2.0, "level_ns"),
    ("launch.0.rounds.0.level_ns", 0.0, "ns"),
    ("launch.0.rounds.0.level_ns", 1e12, "level_ns"),
    ("launch.0.rounds.0.level_ns", 1e16, "level_ns"),
    ("launch.0.rounds.0.count", 0, "level_ns|count"),
    ("launch.0.rounds.0.count", -3, "count"),
    ("launch.0.rounds.0.count", 4, "count"),
    ("launch.0.rounds.0.turn", 8, "turn"),
    ("launch.0.rounds.0.turn", 1, "turn"),
    ("launch.0.rounds.0.drift", -2.0, "drift"),
    ("launch.0.rounds.0.drift", 1e9, "drift"),
    ("launch.0.rounds.0.arrived", 6, "arrived"),
    ("launch.0.rounds.0.images", 0, "images"),
    ("launch.0.rounds.0.images", 5_000, "images"),
]


@pytest.mark.parametrize(("path", "value", "named"), FIELDS)
def test_a_field_that_cannot_be_puts_its_own_model_out_and_no_other(
    path: str, value: Any, named: str, tmp_path: Path
) -> None:
    asked, said, given_arrays = recorded("python-turns")
    holder, key, event = place(said, path)
    victim = (holder if "rounds" in path else event)["model"]
    holder[key] = value
    log = heard(asked, spoken(said), given_arrays, tmp_path)
    failure = log.failure(victim)
    assert failure is not None, "the lie was believed"
    assert failure.kind == "untrue"
    assert re.search(named, failure.message)
    assert [index for index in range(3) if log.failure(index)] == [victim]


#: The same where the whole job is in doubt.
OF_ALL: Sequence[tuple[str, Any, str]] = [
    ("start.0.fingerprint.memory_bytes", "much", "memory_bytes"),
    ("start.0.fingerprint.memory_bytes", -1, "memory_bytes"),
    ("start.0.fingerprint.cores", 4.0e9, "cores"),
    ("start.0.fingerprint.soc", "half \udfff", "fingerprint.soc"),
    ("start.0.pid", -4, "pid"),
    ("start.0.kills", [["/proc/vmstat", -1]], "kills"),
    ("start.0.t_ns", -1, "t_ns"),
    ("start.0.t_ns", LARGEST, "t_ns"),
    ("conditions.0.temperature_c", NAN, "NaN"),
    ("conditions.0.temperature_c", -400.0, "temperature_c"),
    ("conditions.0.temperature_c", 1e6, "temperature_c"),
    ("conditions.0.battery_ratio", 1.2, "battery_ratio"),
    ("conditions.0.load_average", -1.0, "load_average"),
    ("conditions.0.frequency_hz", INF, "Infinity"),
    ("conditions.0.free_bytes", -1, "free_bytes"),
    ("conditions.0.wall_s", -5.0, "wall_s"),
    ("conditions.1.when", "before", "when"),
    ("conditions.1.t_ns", 5, "t_ns"),
    ("cold.0.model", 3, "model"),
    ("cold.0.model", -1, "model"),
    ("cold.0.model", "0", "model"),
    ("cold.0.event", ["cold"], "no event"),
    ("timed.0.sentinel_cool_ns", 0, "sentinel_cool_ns"),
    ("timed.0.models", [0, 1, 3], "models"),
    ("timed.0.models", [0, 0, 1], "models"),
    ("launch.0.launch", 1, "launch"),
    ("launch.1.launch", 0, "launch"),
    ("launch.1.launch", 7, "launch"),
    ("launch.0.t_ns", 1, "t_ns"),
    ("launch.0.rounds", 5, "rounds"),
    ("launch.0.rounds.0.model", 9, "model"),
    ("launch.0.paused_s", -1.0, "paused_s"),
    ("launch.0.paused_s", INF, "Infinity"),
    ("launch.0.conditions.temperature_c", 5e5, "temperature_c"),
    ("timed_end.0.sentinel_ns", -1, "sentinel_ns"),
    ("done.0.alive", [0, 17], "alive"),
    ("done.0.spent.load_ns", -1, "spent"),
]


@pytest.mark.parametrize(("path", "value", "named"), OF_ALL)
def test_what_is_about_no_model_alone_ends_the_job_with_a_message_that_names_it(
    path: str, value: Any, named: str, tmp_path: Path
) -> None:
    asked, said, given_arrays = recorded("python-turns")
    holder, key, _ = place(said, path)
    holder[key] = value
    with pytest.raises(Untrue, match=named) as refused:
        heard(asked, spoken(said), given_arrays, tmp_path)
    assert refused.value.remedy


def deep(line: bytes) -> bytes:
    return line[:-1] + b', "facts": ' + b'{"a": ' * 20_000 + b"1" + b"}" * 20_000 + b"}"


#: What stands in a line -> what stands there instead; of the first event `cold`.
LINES: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "deep JSON": (deep, "deep"),
    "a little less deep JSON": (
        lambda line: line.replace(b'"facts": {', b'"facts": {"a": ' + b"[" * 60 + b"]" * 60 + b", "), "facts",
    ),
    "a key twice": (lambda line: line.replace(b'"load_ns"', b'"load_ns": 1, "load_ns"'), "load_ns stands there twice"),
    "half a surrogate pair": (lambda line: line.replace(b'"warm"', b'"\\ud83d"'), "page_cache"),
    "a surrogate in its bytes": (lambda line: line.replace(b'"warm"', b'"\xed\xa0\x80"'), "utf-8"),
    "bytes that are no text": (lambda line: line.replace(b'"warm"', b'"\xff\xfe"'), "utf-8"),
    "a number of 100,000 digits": (
        lambda line: re.sub(rb'"load_ns": \d+', b'"load_ns": ' + b"9" * 100_000, line), "beyond 64 bits",
    ),
    "a number that is too large": (lambda line: re.sub(rb'"resident": [\d.]+', b'"resident": 1e999', line), "resident"),
    "half a line": (lambda line: line[: len(line) // 2], "no event"),
    "two lines in one": (lambda line: line + line, "no event"),
    "nothing behind the number": (lambda line: line.replace(b'"of": 1', b'"of": '), "no event"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_is_no_json_of_ours_puts_out_the_model_that_it_begins_with(name: str, tmp_path: Path) -> None:
    change, named = LINES[name]
    asked, said, given_arrays = recorded("python-turns")
    lines = spoken(said)
    number = next(i for i, one in enumerate(said) if one["event"] == "cold")
    lines[number] = change(lines[number])
    log = heard(asked, lines, given_arrays, tmp_path)
    failure = log.failure(said[number]["model"])
    assert failure is not None
    assert named in failure.message
    assert len(failure.message) < 800
    assert len(log.all(contract.Error)) == 1


@pytest.mark.parametrize(
    "line", [b"", b"null", b"[]", b"7", b'"start"', b"{}", b'{"event": null}', b"\x00", b"[" * 100_000, b"hello\x1b[2J"]
)
def test_a_line_that_says_of_no_model_is_refused_as_it_stands(line: bytes) -> None:
    with pytest.raises(Untrue, match="no event") as refused:
        events.read(line, device="pi5")
    assert "\x1b" not in str(refused.value)


def swapped(said: Said, one: str, other: str) -> Said:
    order = [event["event"] for event in said]
    a, b = order.index(one), order.index(other)
    said[a], said[b] = said[b], said[a]
    said[a]["t_ns"], said[b]["t_ns"] = said[b]["t_ns"], said[a]["t_ns"]
    return said


#: A job that is said in another order.
ORDERS: Mapping[str, tuple[Callable[[Said], Said], str]] = {
    "no start": (lambda said: said[1:], "before start"),
    "a second start": (lambda said: [*said[:3], {**said[0], "t_ns": said[2]["t_ns"], "pid": 1}, *said[3:]], "twice"),
    "a launch before the pass": (lambda said: swapped(said, "timed", "launch"), "not between"),
    "a launch behind the pass": (
        lambda said: [*said[:-2], {**said[-5], "launch": 2, "t_ns": said[-2]["t_ns"]}], "not between",
    ),
    "the end before the pass": (lambda said: swapped(said, "timed", "timed_end"), "not between"),
    "a launch too many": (
        lambda said: [*said[:-3], {**said[-4], "launch": 2, "t_ns": said[-3]["t_ns"]}, *said[-3:]], "were asked for",
    ),
    "a second pass": (lambda said: [*said[:-3], {**said[-6], "t_ns": said[-3]["t_ns"]}, *said[-3:]], "twice"),
    "a launch that is left out": (lambda said: [*said[:-5], *said[-4:]], "launch"),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_events_in_an_order_that_cannot_be_are_refused(name: str, tmp_path: Path) -> None:
    change, named = ORDERS[name]
    asked, said, given_arrays = recorded("python-turns")
    with pytest.raises(Untrue, match=named):
        heard(asked, spoken(change(said)), given_arrays, tmp_path)


@pytest.mark.parametrize("kind", ["cold", "evicted", "memory", "accuracy"])
def test_a_phase_of_a_model_that_is_left_out_puts_that_model_out(kind: str, tmp_path: Path) -> None:
    asked, said, given_arrays = recorded("python-turns")
    left = [one for one in said if not (one["event"] == kind and one["model"] == 1)]
    log = heard(asked, spoken(left), given_arrays, tmp_path)
    failure = log.failure(1)
    assert failure is not None
    assert kind in failure.message
    assert log.failure(0) is None
    assert len(log.all(contract.Done)) == 1


def changed(index: Any, value: Any) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    def change(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        copied = array.copy()
        copied[index] = value
        return copied

    return change


def file_of(array: npt.NDArray[Any], **header: Any) -> bytes:
    """Return a .npy file with another header than its own."""
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **header}
    text = repr(fields).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + array.tobytes()


def pickled(array: npt.NDArray[Any]) -> bytes:
    target = io.BytesIO()
    np.save(target, array.astype(object), allow_pickle=True)
    return target.getvalue()


#: An array of the second model -> what it is instead, and what the message names.
FILES: Sequence[tuple[str, str, Callable[[npt.NDArray[Any]], Any], str]] = [
    ("python-turns", "latency", changed(3, -5), "ns"),
    ("python-turns", "latency", changed(3, 0), "ns"),
    ("python-turns", "latency", changed(3, LARGEST), "ns"),
    ("python-turns", "latency", lambda a: a[:-1], "latency"),
    ("python-turns", "latency", lambda a: np.append(a, 5), "latency"),
    ("python-turns", "latency", lambda a: a + 1, "add up"),
    ("python-turns", "latency", lambda a: a.astype(np.float64), "<f8"),
    ("python-turns", "latency", lambda a: a.astype(">i8"), ">i8"),
    ("python-turns", "latency", lambda a: a.reshape(-1, 1), "shape"),
    ("python-turns", "latency", pickled, "O"),
    ("python-turns", "latency", lambda _: b"", "no .npy file"),
    ("python-turns", "latency", lambda _: b"\x93NUMPY\x09\x00" + bytes(200), "no .npy file"),
    ("python-turns", "latency", lambda _: b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + bytes(99), "header"),
    ("python-turns", "latency", lambda a: file_of(a, shape=(10**14,)), "bytes"),
    ("python-turns", "latency", lambda a: file_of(a, shape=(-1,)), "header"),
    ("python-turns", "latency", lambda a: file_of(a, shape=(True,)), "header"),
    ("python-turns", "latency", lambda a: file_of(a, shape=5), "header"),
    ("python-turns", "latency", lambda a: file_of(a, fortran_order=True), "C order"),
    ("python-turns", "latency", lambda a: file_of(a, descr=[("a", "<i8")]), "header"),
    ("python-turns", "latency", lambda a: file_of(a) + b"x", "bytes"),
    ("python-turns", "latency", lambda a: file_of(a)[:-1], "bytes"),
    ("python-turns", "latency", lambda _: b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, "header"),
    ("python-turns", "rounds", changed((1, 1), 0), "rounds"),
    ("python-turns", "rounds", changed((3, 2), 10**9), "latency|rounds"),
    ("python-turns", "rounds", changed((3, 2), -1), "stop"),
    ("python-turns", "rounds", changed((0, 0), 1), "launch"),
    ("python-turns", "rounds", changed((0, 3), -20_000), "drift"),
    ("python-turns", "rounds", lambda a: a[:, :3].copy(), "shape"),
    ("python-turns", "rounds", lambda a: a[:0], "rounds"),
    ("python-turns", "rounds", lambda a: a[:3], "latency|rounds"),
    ("python-turns", "outputs", lambda a: a[:-1], "outputs"),
    ("python-turns", "outputs", lambda a: a.astype(np.float64), "<f8"),
    ("python-turns", "outputs", lambda _: np.float32(1.0).reshape(()), "shape"),
    ("python-turns", "parts", changed((0, 1), 0), "inferring"),
    ("python-turns", "parts", changed((0, 0), -1), "preparing"),
    ("python-turns", "parts", lambda a: a[:, 0].copy(), "shape"),
    ("python-turns", "parts", lambda a: a[1:], "parts"),
    ("native-stream", "frames", changed((0, 0), 6), "frame"),
    ("native-stream", "frames", changed((0, 2), 0), "inferred"),
    ("native-stream", "frames", changed((0, 1), -1), "waited"),
    ("native-stream", "frames", lambda a: a[::-1].copy(), "frame|ns"),
    ("native-stream", "jitter", lambda a: a[1:], "jitter"),
    ("native-stream", "jitter", changed(0, -(10**9)), "late"),
    ("native-sustained", "rounds", lambda a: a[1:], "rounds"),
    ("native-sustained", "rounds", changed((1, 0), 1), "windows"),
]


@pytest.mark.parametrize(("job", "name", "change", "named"), FILES)
def test_an_array_that_cannot_be_puts_its_own_model_out_and_no_other(
    job: str, name: str, change: Callable[[npt.NDArray[Any]], Any], named: str, tmp_path: Path
) -> None:
    asked, said, given_arrays = recorded(job)
    array = given_arrays[f"m1.{name}.npy"]
    assert isinstance(array, np.ndarray)
    log = heard(asked, spoken(said), {**given_arrays, f"m1.{name}.npy": change(array)}, tmp_path)
    failure = log.failure(1)
    assert failure is not None, "the lie was believed"
    assert re.search(named, failure.message)
    assert log.failure(0) is None


def test_nan_among_outputs_is_what_a_model_answered_and_no_lie(tmp_path: Path) -> None:
    asked, said, given_arrays = recorded("python-turns")
    outputs = given_arrays["m1.outputs.npy"]
    assert isinstance(outputs, np.ndarray)
    log = heard(asked, spoken(said), {**given_arrays, "m1.outputs.npy": changed((0, 0), NAN)(outputs)}, tmp_path)
    assert log.failure(1) is None


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "nothing"])
def test_what_is_no_regular_file_is_neither_read_nor_waited_for(kind: str, tmp_path: Path) -> None:
    there, target = tmp_path / "m0.latency.npy", tmp_path / "here.npy"
    np.save(tmp_path / "other.npy", np.ones(3, np.int64))
    make: Mapping[str, Callable[[], object]] = {
        "pipe": lambda: os.mkfifo(there), "link": lambda: there.symlink_to(tmp_path / "other.npy"),
        "folder": there.mkdir, "nothing": lambda: None,
    }  # fmt: skip
    make[kind]()
    with pytest.raises(Untrue, match="latency"):
        arrays.read(there, "latency", device="pi5")
    connection = local.connect(Device("here", "workstation", Address("local")))
    with pytest.raises(DeviceError, match=r"cannot read .*m0\.latency\.npy"):
        connection.pull(str(there), target)
    assert not target.exists()


SUSTAINED: Sequence[tuple[str, Any, str]] = [
    ("sustained.0.windows", [], "windows"),
    ("sustained.0.windows.0.at_ns", -1, "at_ns"),
    ("sustained.0.windows.0.at_ns", 10**15, "began_ns|windows"),
    ("sustained.0.windows.0.temperature_c", 1e9, "temperature_c"),
    ("sustained.0.place", 2, "place"),
    ("sustained.0.began_ns", 10**18, "began_ns"),
    ("sustained.0.waited_s", -1.0, "waited_s"),
    ("sustained.0.start_c", -274.0, "start_c"),
    ("sustained.0.start_drift", -3.0, "start_drift"),
    ("sustained.0.t_ns", 3, "t_ns"),
]


@pytest.mark.parametrize("side", ["python", "native"])
@pytest.mark.parametrize(("path", "value", "named"), SUSTAINED)
def test_a_load_that_cannot_be_puts_its_own_model_out(
    side: str, path: str, value: Any, named: str, tmp_path: Path
) -> None:
    asked, said, given_arrays = recorded(f"{side}-sustained")
    holder, key, event = place(said, path)
    holder[key] = value
    log = heard(asked, spoken(said), given_arrays, tmp_path)
    failure = log.failure(event["model"])
    assert failure is not None
    assert re.search(named, failure.message)
    assert log.failure(1 - event["model"]) is None


def energy_pass() -> dict[str, Any]:
    """Return an energy pass of three windows of a second, read at 2 and 5 W, as JSON holds it."""
    windows = {}
    for number, (name, watts) in enumerate(zip(contract.WINDOWS, (2.0, 5.0, 2.1), strict=True)):
        begin = (number + 1) * 10**9
        at = [begin - 1000 + 50_000_000 * step for step in range(21)]
        readings = [watts + 0.01 * (step % 3) for step in range(21)]
        windows[name] = contract.EnergyWindow(
            begin, begin + 10**9 - 5000, at, readings, **energy.sums(at, readings, "watts")
        )
    event = contract.EnergyPass(
        "energy", 5 * 10**9, 0, 0, 1, meter="hwmon", quantity="watts", resolution=0.001, inferences=900, windows=windows
    )
    found: dict[str, Any] = contract.plain(event)
    return found


def heard_energy(event: dict[str, Any]) -> JobLog:
    asked, said, _ = recorded("python-turns")
    log = JobLog(order=Order(asked, SAMPLES, "pi5"))
    log.add(events.parse(json.dumps({**said[0], "t_ns": 1}).encode(), device="pi5"))
    for one in events.read(json.dumps(event).encode(), device="pi5"):
        log.add(one)
    return log


def test_an_energy_pass_as_the_agent_sums_it_is_accepted() -> None:
    assert heard_energy(energy_pass()).failure(0) is None
    assert heard_energy({**energy_pass(), "windows": None, "absent": "the battery is charging"}).failure(0) is None


ENERGY: Sequence[tuple[str, Any, str]] = [
    ("energy.0.inferences", 0, "inferences"),
    ("energy.0.inferences", -900, "inferences"),
    ("energy.0.quantity", "volts", "quantity"),
    ("energy.0.resolution", -1.0, "resolution"),
    ("energy.0.resolution", INF, "Infinity"),
    ("energy.0.windows.busy.readings.3", NAN, "NaN"),
    ("energy.0.windows.busy.readings.3", INF, "Infinity"),
    ("energy.0.windows.busy.readings.3", 1e7, "readings"),
    ("energy.0.windows.busy.readings.3", 1e20, "readings"),
    ("energy.0.windows.busy.readings", [5.0] * 20, "readings"),
    ("energy.0.windows.busy.readings", [], "readings"),
    ("energy.0.windows.busy.readings", "many", "readings"),
    ("energy.0.windows.busy.at_ns.3", 5, "at_ns"),
    ("energy.0.windows.busy.at_ns.3", -5, "at_ns"),
    ("energy.0.windows.busy.at_ns.0", 1_990_000_000, "seconds|joules"),
    ("energy.0.windows.busy.joules", 1e-3, "joules"),
    ("energy.0.windows.busy.joules", NAN, "NaN"),
    ("energy.0.windows.busy.seconds", 100.0, "seconds"),
    ("energy.0.windows.busy.seconds", -1.0, "seconds"),
    ("energy.0.windows.busy.updates", 5_000, "updates"),
    ("energy.0.windows.busy.end_ns", 1, "end_ns"),
    ("energy.0.windows.busy.begin_ns", 10**18, "begin_ns"),
    ("energy.0.windows.idle_after.end_ns", 6 * 10**9, "end_ns"),
    ("energy.0.windows.night", {"begin_ns": 1, "end_ns": 2}, "windows"),
    ("energy.0.windows", {}, "windows"),
    ("energy.0.clock_s", -1.0, "clock_s"),
    ("energy.0.of", 2, "of"),
]


@pytest.mark.parametrize(("path", "value", "named"), ENERGY)
def test_joules_that_cannot_be_give_no_number_for_their_model(path: str, value: Any, named: str) -> None:
    event = energy_pass()
    holder, key, _ = place([event], path)
    holder[key] = value
    failure = heard_energy(event).failure(0)
    assert failure is not None, "the lie was believed"
    assert re.search(named, failure.message)


def group() -> tuple[Group, Samples]:
    """Return the two cases that the recorded job with turns was of."""
    variants = tuple(Variant(name, "onnx", Path(f"{name}.onnx"), name, 1000) for name in ("good", "slower"))
    suite = Suite("s", "S", {}, InputSpec(), Task("classification", "b"), Load(), "good", variants, ())
    device = Device("pi5", "sbc", Address("local"))
    cases = tuple(Case(suite, one, device, "onnxruntime==1.31.1", one.id) for one in variants)
    labels = np.arange(SAMPLES) % 3
    return Group(suite, device, cases[0].runtime, cases), Samples(
        np.zeros((SAMPLES, 1, 1, 1)), labels, ("a", "b", "c"), ""
    )


@pytest.mark.parametrize(
    "lie",
    [
        ("cold.1.load_ns", -5), ("accuracy.0.samples", 4), ("launch.0.rounds.0.level_ns", 1e12), ("memory.1.turn", 4),
        ("latency", changed(3, -5)), ("outputs", lambda a: a[:7]), ("rounds", changed((0, 2), 4)), None,
    ],
)  # fmt: skip
def test_a_lie_is_the_error_of_its_case_and_the_other_case_has_its_run(lie: Any, tmp_path: Path) -> None:
    asked, said, given_arrays = recorded("python-turns")
    if lie and isinstance(lie[1], int | float):
        holder, key, event = place(said, lie[0])
        assert (holder if "rounds" in lie[0] else event)["model"] == 1
        holder[key] = lie[1]
    elif lie:
        given_arrays[f"m1.{lie[0]}.npy"] = lie[1](given_arrays[f"m1.{lie[0]}.npy"])
    of, samples = group()
    known = Known(of, samples, "c", True, {}, heard(asked, spoken(said), given_arrays, tmp_path))
    good, slower = (found.result for found in known.rest())
    assert isinstance(good, Run)
    assert isinstance(slower, MeasurementError if lie else Run)
    if isinstance(slower, MeasurementError):
        assert "slower.onnx" in str(slower)
        assert "edgeward clean" in slower.remedy


def test_every_number_of_an_event_has_a_range() -> None:
    def numbers(kind: Any) -> set[str]:
        hints = {one.name: str(one.type) for one in fields(kind)}
        free = ("fingerprint", "facts", "energy")
        return {name for name, hint in hints.items() if re.search(r"\b(int|float)\b", hint) and name not in free}

    kinds = [one for one in vars(contract).values() if isinstance(one, type) and is_dataclass(one)]
    asked = (contract.Input, contract.Model, contract.Plan, contract.Job, contract.LocalStep, contract.Array)
    missing = {
        f"{kind.__name__}.{name}" for kind in kinds if kind not in asked for name in numbers(kind)
        if name not in contract.RANGES and f"{kind.__name__}.{name}" not in contract.RANGES
    }  # fmt: skip
    assert not missing


def test_the_answer_of_training_steps_is_read_as_strictly_as_an_event() -> None:
    asked = contract.LocalStep("p", "i", "l", ["w"], 4, 1, 2, "sgd", 0.1, 1)
    memory = {name: {"rss_bytes": 5} for name in ("before", "loaded", "after")}
    said = {
        "torch": "2.9", "python": "3.11.2", "ns": [5, 6], "losses": [1.0, 0.9, 0.8], "loss_before": 1.0,
        "loss_after": 0.7, "memory": memory, "kernel_ns": [9, 9],
    }  # fmt: skip
    assert events.steps(said, asked, device="pi5").ns == [5, 6]
    assert events.steps({**said, "energy": energy_pass()}, asked, device="pi5").energy
    for name, value in (
        ("ns", [5]), ("ns", [5, -6]), ("ns", "56"), ("losses", [1.0, NAN, 0.8]), ("loss_after", None),
        ("memory", {}), ("kernel_ns", [0, 9]), ("torch", 2.9), ("colour", "red"),
    ):  # fmt: skip
        with pytest.raises(Untrue, match=name):
            events.steps({**said, name: value}, asked, device="pi5")


def test_weights_of_another_shape_or_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    file, due = tmp_path / "weights.npz", {"w": np.ones((2, 3), np.float32), "b": np.ones(3, np.float32)}
    np.savez(file, w=due["w"], b=due["b"])
    assert {name: one.shape for name, one in arrays.weights(file, due, device="pi5").items()} == {
        "w": (2, 3),
        "b": (3,),
    }
    for wrong in (np.ones((3, 2), np.float32), np.ones((2, 3)), np.full((2, 3), NAN, np.float32), np.ones(10**5)):
        np.savez(file, w=wrong, b=due["b"])
        with pytest.raises(Untrue, match="w: "):
            arrays.weights(file, due, device="pi5")
    file.write_bytes(b"PK\x03\x04")
    with pytest.raises(Untrue, match=r"weights\.npz"):
        arrays.weights(file, due, device="pi5")


@pytest.mark.parametrize("text", ["\x1b[31mred", "\x1b]0;title\x07", "a\rb", "\x9b2J", "\u202eevil", "\x00", "\x7f"])
def test_escapes_of_a_device_are_shown_and_never_sent(text: str) -> None:
    for shown in (printable(text), str(DeviceError(text, device=text, remedy=text)), str(MeasurementError(text))):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown)
        assert "\\" in shown
    assert printable("two\n\tlines, 5 µs – −3") == "two\n\tlines, 5 µs – −3"
    asked, said, _ = recorded("python-turns")
    event = {**said[2], "facts": {"runtime": text}}
    log = JobLog(order=Order(asked, SAMPLES, "pi5"))
    log.add(events.parse(json.dumps(said[0]).encode(), device="pi5"))
    (cold,) = log.add(events.parse(json.dumps(event).encode(), device="pi5"))
    assert isinstance(cold, contract.Cold)
    assert cold.facts == {"runtime": printable(text)}


def test_more_than_is_taken_ends_a_command_a_line_and_a_copy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OUTPUT_BYTES", "LINE_BYTES", "FILE_BYTES"):
        monkeypatch.setattr(contract, name, 100_000)
    connection = local.connect(Device("here", "workstation", Address("local")))
    endless = ["sh", "-c", "while :; do printf 0123456789; done"]
    with pytest.raises(TooMuch, match=r"here: `sh` gives more than 100 kB"):
        connection.run(endless)
    with pytest.raises(TooMuch, match="a line of `sh`"):
        list(connection.stream(endless, silence_s=60))
    (tmp_path / "there").write_bytes(bytes(100_001))
    with pytest.raises(TooMuch, match="there gives more"):
        connection.pull(str(tmp_path / "there"), tmp_path / "here")
    assert len(connection.run(["head", "-c", "100000", "/dev/zero"]).out) == 100_000


def test_lines_are_the_same_however_they_are_cut() -> None:
    text = b"one\n\ntwo\nthree" * 50
    for size in (1, 2, 3, 7, 1000):
        splitter = Splitter("pi5", "it")
        found = [line for at in range(0, len(text), size) for line in splitter.add(text[at : at + size])]
        assert [*found, splitter.rest] == text.split(b"\n")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 17))
def test_bytes_at_random_in_a_line_are_an_event_or_an_error_of_ours(noise: bytes, at: int, number: int) -> None:
    _, said, _ = recorded("native-turns")
    line = spoken(said)[number]
    for changed_line in (line[:at] + noise + line[at:], line[:at] + noise + line[at + len(noise) :]):
        with suppress(Untrue):
            assert events.read(changed_line, device="pi5")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(JSON, st.integers(0, 17), st.integers(0, 20))
def test_any_value_in_any_field_is_accepted_or_refused_and_nothing_else(value: Any, number: int, field: int) -> None:
    asked, said, _ = recorded("native-turns")
    event = said[number]
    event[list(event)[field % len(event)]] = value
    log = JobLog(order=Order(asked, SAMPLES, "pi5"))
    with suppress(Untrue):
        for line in spoken(said):
            for one in events.read(line, device="pi5"):
                log.add(one)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_bytes_at_random_in_a_file_are_an_array_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    whole, file = RECORDED.read("native-turns/m0.rounds.npy"), tmp_path_factory.getbasetemp() / "fuzzed.npy"
    file.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    with suppress(Untrue):
        assert arrays.read(file, "rounds", device="pi5").shape[1] == 4


def test_strict_json_holds_what_plain_json_does() -> None:
    value = {"a": [1, -2.5, None, True, "ä\n"], "b": {"c": LARGEST}}
    assert plain_json.read(json.dumps(value).encode()) == value
