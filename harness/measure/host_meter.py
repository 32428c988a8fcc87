"""A meter that the host reads while the device does its energy pass, and the offset between their clocks.

The device says when its windows began and ended by its own monotonic clock; the meter is stamped with the host's. The
offset between the two is bounded, not guessed: a command on the device that says its time t cannot have begun to speak
before it was asked for at t1, nor have been heard at t2 before it spoke, so host minus device lies in [t1 - t, t2 - t]
(Cristian, "Probabilistic clock synchronization", Distributed Computing 3, 1989). The bounds of several trips are
intersected; half of what is left is the uncertainty. It is done before each model's pass and after the last, and the
offset between is a straight line, which carries any constant drift.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness import registry
from harness.agent import contract, energy, trial
from harness.deploy import DeviceHandle, persistent
from harness.errors import HarnessError, MeasurementError, Transient
from harness.model import Device, IntArray
from harness.units import NS_PER_S

#: Time that the device gives between `energy_start` and its first window, and what of it comparing the clocks may take.
LEAD_S = 3.0
_COMPARE_S = 2.0
#: How long the meter may take to be opened before the job goes on without it, for now.
_OPEN_S = 30.0
#: Mean time between two readings: the host has no inferences to disturb.
PERIOD_S = 0.02
#: Trips, and lines of each: the first line of a trip bounds from below, the quickest of all from above.
_TRIPS, _LINES = 6, 3
_SILENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Offset:
    """What the host's monotonic clock shows more than the device's, in ns: between `low_ns` and `high_ns`.

    Attributes:
        at_ns: when that was found, by the host's clock.
    """

    at_ns: int
    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> float:
        """The best guess."""
        return (self.low_ns + self.high_ns) / 2

    @property
    def uncertainty_s(self) -> float:
        """Half of what lies between the bounds, s."""
        return (self.high_ns - self.low_ns) / 2 / NS_PER_S


def is_read_here(device: Device) -> bool:
    """Return whether the host reads the device's meter."""
    return device.meter is not None and device.meter.get("side") == "host"


def for_job(device: Device) -> dict[str, Any] | None:
    """Return what a job holds of the device's meter."""
    if device.meter is None:
        return None
    if is_read_here(device):
        return {"kind": contract.HOST_METER, "lead_s": LEAD_S}
    return {key: value for key, value in device.meter.items() if key != "side"}


@contextmanager
def opened(device: Device) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give the meter that the host reads, and what an event says of it; raises Refused if it cannot be read."""
    settings = {key: value for key, value in (device.meter or {}).items() if key != "side"}
    kind = settings.pop("kind")
    room = "meters" if kind in registry.names("meters") else "agent.meters"
    module = registry.load(room, kind, file=str(device.file), key="meter.kind")
    untested = {"untested": module.UNTESTED} if hasattr(module, "UNTESTED") else {}
    with energy.reading(module, settings) as (reader, quantity):
        yield reader, {"meter": kind, "quantity": quantity, "resolution": reader.resolution, **untested}


def tried(device: Device) -> dict[str, Any]:
    """Return what a meter that the host reads does in two seconds of rest, as the runner's command `meter` answers."""
    try:
        with opened(device) as (reader, facts):
            return trial.tried(reader, facts["quantity"], load=False)
    except energy.Refused as refused:
        return {"refused": refused.text}


@persistent
def compare(handle: DeviceHandle, *, within_s: float = _COMPARE_S) -> Offset:
    """Bound the offset of the device's monotonic clock, over at least two trips and for at most `within_s` otherwise.

    Args:
        handle: of the device, whose runner knows the command `clock`.
        within_s: after which no further trip is begun, s.

    Raises:
        MeasurementError: the bounds exclude each other: a clock was set, or stood still; or it says no time.
        DeviceError: the runner does not say its time.
    """
    lows, highs, began = [], [], time.monotonic()
    for trip in range(_TRIPS):
        if trip >= 2 and time.monotonic() - began > within_s * (1 - 1 / trip):
            break
        asked = time.monotonic_ns()
        for line in handle.stream([*handle.workspace.command, "clock", str(_LINES)], silence_s=_SILENCE_S):
            heard, said = time.monotonic_ns(), _moment(line)
            lows.append(asked - said)
            highs.append(heard - said)
    if not lows or max(lows) > min(highs):
        raise MeasurementError("the clocks of host and device cannot be compared: one was set or stood still meanwhile")
    return Offset(time.monotonic_ns(), max(lows), min(highs))


def _moment(line: bytes) -> int:
    """Return what the command `clock` said, ns; raises MeasurementError."""
    said = line.strip()
    if not said.isdigit() or len(said) > len(str(contract.CLOCK_NS)):
        text = f"the device's clock says {said[:40].decode('utf-8', 'replace')!r}, which is no time"
        raise MeasurementError(text, remedy=contract.REMEDIES["untrue"])
    return int(said)


@dataclass(slots=True)
class Readings:
    """What the host read of a meter during a job, by its own clock.

    Attributes:
        at_ns: the moment of each reading.
        values: the readings, J or W.
        offsets: every comparison of the clocks, in order.
        facts: what an event says of the meter.
        fault: why there are no more readings, "" if there is no reason.
    """

    at_ns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    offsets: list[Offset] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    fault: str = ""

    def joined(self, event: contract.Event) -> contract.Event:
        """Return an event; an energy pass that leaves the meter to the host with its readings, or why not."""
        if not isinstance(event, contract.EnergyPass) or event.meter != contract.HOST_METER:
            return event
        try:
            return self._with_readings(event)
        except (energy.Refused, MeasurementError) as error:
            return contract.EnergyPass(event.event, event.t_ns, event.model, event.turn, event.of, absent=str(error))

    def _with_readings(self, event: contract.EnergyPass) -> contract.EnergyPass:
        windows, clock_s = self.within(event.windows or {})
        energy.judge(windows)
        return replace(event, **self.facts, clock_s=clock_s, windows=windows)

    def within(self, edges: Mapping[str, contract.EnergyWindow]) -> tuple[dict[str, contract.EnergyWindow], float]:
        """Return windows of the device's clock with what was read in them, and how uncertain that clock is, s.

        Raises:
            MeasurementError: the meter was not read over all of them, or the clocks were not compared.
        """
        if self.fault or not self.at_ns:
            raise MeasurementError(self.fault or "the host's meter was not read: connection lost before the pass")
        at, clock_s = on_device(np.array(self.at_ns, np.int64), edges, self.offsets)
        return {name: self._window(window, at) for name, window in edges.items()}, clock_s

    def _window(self, window: contract.EnergyWindow, at: IntArray) -> contract.EnergyWindow:
        first = int(np.searchsorted(at, window.begin_ns, side="right")) - 1
        last = int(np.searchsorted(at, window.end_ns)) + 1
        if first < 0 or last > len(at):
            raise MeasurementError("the host's meter was not read over the whole pass: connection lost meanwhile")
        at_ns, readings = [int(one) for one in at[first:last]], self.values[first:last]
        sums = energy.sums(at_ns, readings, self.facts["quantity"])
        return replace(window, at_ns=at_ns, readings=readings, **sums)


class Recorder:
    """Reads the meter from the first `energy_start` on, and puts its readings into the device's windows.

    Does nothing for a device that reads its own meter or has none. The meter of another machine is opened before the
    job begins, because some take seconds; on this one it could disturb the timed pass, and waits for its turn.
    """

    def __init__(self, handle: DeviceHandle) -> None:
        self._handle, self._device = handle, handle.device
        device = handle.device
        self.readings = Readings()
        self._opened, self._begun, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        if is_read_here(device) and not device.address.here:
            self._open()

    def hear(self, event: contract.Event) -> None:
        """Take note of an event; raises Transient if the connection is lost while the clocks are compared."""
        if is_read_here(self._device) and isinstance(event, contract.EnergyStart):
            self.begin()

    def begin(self) -> None:
        """Read from now on, and compare the clocks; raises Transient if the connection is lost meanwhile."""
        if self._thread is None:
            self._open()
        self._begun.set()
        self.compare()

    def compare(self) -> None:
        """Compare the clocks, if the meter is being read."""
        if not self._begun.is_set() or self.readings.fault:
            return
        try:
            self.readings.offsets.append(compare(self._handle))
        except Transient:
            raise
        except HarnessError as error:
            self.readings.fault = str(error)

    def _open(self) -> None:
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()
        self._opened.wait(_OPEN_S)

    def close(self) -> None:
        """Stop reading and let go of the meter."""
        self._ended.set()
        self._begun.set()
        if self._thread is not None:
            self._thread.join()

    def joined(self, event: contract.Event) -> contract.Event:
        """Return an event as `Readings.joined` does, with what was read until now."""
        return self.readings.joined(event)

    def _record(self) -> None:
        chance, clock = random.Random(), energy.Clock()
        try:
            with opened(self._device) as (reader, facts):
                self.readings.facts = facts
                self._opened.set()
                self._begun.wait()

                def sample() -> None:
                    asked = clock.now_ns()
                    # The reading first: a reader that counts the moments finds one for each.
                    self.readings.values.append(reader.read())
                    self.readings.at_ns.append((asked + clock.now_ns()) // 2)
                    # It may follow what the instrument answers.
                    self.readings.facts["resolution"] = reader.resolution
                    if reader.charging():
                        raise energy.Refused("the battery began to charge during the pass", remedy="unplug it")

                clock.beside(self._ended.wait, sample, lambda: PERIOD_S * chance.uniform(*contract.GAPS))
        except energy.Refused as refused:
            self.readings.fault = str(refused)
        finally:
            self._opened.set()


def on_device(
    at: IntArray, windows: Mapping[str, contract.EnergyWindow], offsets: Sequence[Offset]
) -> tuple[IntArray, float]:
    """Return moments of the host's clock by the device's, (N,) ns, and how uncertain that is, s.

    Args:
        at: (N,) ns.
        windows: of one pass, by the device's clock.
        offsets: every comparison of the job, in order; one must be from before the windows and one from after.

    Raises:
        MeasurementError: the clocks were not compared before, or not after.
    """
    edges = [edge for window in windows.values() for edge in (window.begin_ns, window.end_ns)]
    before = [one for one in offsets if one.at_ns - one.high_ns <= min(edges)]
    after = [one for one in offsets if one.at_ns - one.low_ns >= max(edges)]
    if not before or not after:
        raise MeasurementError(
            "the clocks of host and device were not compared on both sides of the pass", remedy="measure again"
        )
    two = before[-1], after[0]
    offset = np.interp(at, [one.at_ns for one in two], [one.middle_ns for one in two])
    return at - np.rint(offset).astype(np.int64), max(one.uncertainty_s for one in two)


@contextmanager
def recording(handle: DeviceHandle) -> Iterator[Recorder]:
    """Give a recorder that lets go of its meter afterwards."""
    recorder = Recorder(handle)
    try:
        yield recorder
    finally:
        recorder.close()
