"""The energy pass: an idle window, a window of inferences, an idle window, all read from one meter.

The meter is sampled in a thread, because nothing is timed meanwhile; gaps between two readings are drawn at random, so
that no periodic load is always met at the same phase (additive random sampling; Bilinskis and Mikelsons, "Randomized
Signal Processing", 1992). The host makes joules per inference of it (harness/results/energy.py).

What the event `energy` holds stands in harness/agent/contract.py (`EnergyPass`). With {"kind": "host"} for a meter,
`energy_start` is said first and the windows come `lead_s` after it: time for the host to compare the clocks.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, Callable

from harness.agent.contract import GAPS, HOST_METER, MIN_UPDATES, MIN_WINDOW_S, PERIOD_S, WINDOWS, EnergyWindow

#: What to do about a meter that cannot be read, where nothing better is known.
LOOK = "look at [meter] in the device's file"


class Refused(Exception):
    """The meter gives no number that may be trusted: `text` says why, `remedy` what to do, "" where `text` does."""

    def __init__(self, text: str, remedy: str = "") -> None:
        self.text, self.remedy = text, remedy
        super().__init__(f"{text}; {remedy}" if remedy else text)

    def answer(self) -> dict[str, Any]:
        """Return it as a command answers; where nothing better is known, the host names the file to be corrected."""
        return {"refused": self.text, **({} if self.remedy == LOOK else {"remedy": self.remedy})}


class Clock:
    """The monotonic clock and what passes by it; a test may let time pass faster."""

    def now_ns(self) -> int:
        """Return the monotonic time, in ns."""
        return time.monotonic_ns()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def beside(self, during: Callable[[], Any], sample: Callable[[], None], gap: Callable[[], float]) -> None:
        """Call `sample` every `gap()` seconds while `during` runs; raises what either raises.

        Args:
            during: runs once.
            sample: takes a reading.
            gap: returns the time to the next one, s.
        """
        stop, failures = threading.Event(), []

        def run() -> None:
            try:
                while not stop.wait(gap()):
                    sample()
            except (OSError, ValueError, Refused) as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            during()
        finally:
            stop.set()
            thread.join()
        if failures:
            # What was missed in the middle of a window must not be bridged by a guess.
            raise failures[0]


def measure(meter: dict[str, Any], window_s: float, infer: Callable[[float], dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of the event `energy`.

    Args:
        meter: the `[meter]` table of the device file, or {"kind": "host", "lead_s": ...}.
        window_s: length of each window.
        infer: runs inferences for that long and returns count and ns.

    Raises:
        Refused: the windows give no number that may be trusted.
    """
    if meter["kind"] == HOST_METER:
        time.sleep(meter["lead_s"])
        return {"meter": HOST_METER, **_unread(window_s, infer)}
    with opened(meter) as (reader, quantity):
        return {"meter": meter["kind"], **watched(reader, quantity, window_s, infer, Clock())}


@contextmanager
def opened(meter: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Give the meter of a `[meter]` table and what it reads, "joules" or "watts".

    Raises:
        Refused: it cannot be read, at first or later.
    """
    settings = dict(meter)
    kind = settings.pop("kind")
    try:
        module = import_module("harness.agent.meters." + kind)
    except ImportError as error:
        raise Refused(
            f"the meter {kind} is not among the agent's files, or cannot be imported there: {error}"
        ) from error
    with reading(module, settings) as opened_now:
        yield opened_now


@contextmanager
def reading(module: Any, settings: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Give the meter of a module with its settings, and what it reads; raises Refused as `opened` does."""
    try:
        with closing(module.Meter(module.Options(**settings))) as reader:
            yield reader, module.QUANTITY
    except (OSError, ValueError) as error:
        raise Refused(f"the meter cannot be read: {error}", LOOK) from error


def watched(
    reader: Any, quantity: str, window_s: float, infer: Callable[[float], dict[str, Any]], clock: Clock
) -> dict[str, Any]:
    """Return what an open meter says of the three windows, and the inferences of the middle one; raises Refused.

    Args:
        reader: the open meter.
        quantity: "joules" or "watts".
        window_s: length of each window.
        infer: runs inferences for that long and returns count and ns.
        clock: by which time passes.
    """
    refuse_charging(reader)
    answer: dict[str, Any] = {}
    during: tuple[Callable[[], Any], ...] = (
        lambda: clock.sleep(window_s),
        lambda: answer.update(infer(window_s)),
        lambda: clock.sleep(window_s),
    )
    windows = {name: window(reader, quantity, one, clock) for name, one in zip(WINDOWS, during)}
    judge(windows)
    return {
        "quantity": quantity, "resolution": reader.resolution, "inferences": answer["count"], "windows": windows,
    }  # fmt: skip


def judge(windows: dict[str, EnergyWindow]) -> None:
    """Raise Refused unless the readings of the three windows may be made a number of."""
    busy = windows["busy"]
    seconds, updates = busy.seconds or 0.0, busy.updates or 0
    if sum(window.updates or 0 for window in windows.values()) == 0:
        raise Refused("the meter never changed: it is broken or not connected")
    if seconds < MIN_WINDOW_S or updates < MIN_UPDATES:
        seen = f"{seconds:.1f} s with {updates} meter updates"
        raise Refused(f"the window was too short: {seen}; {MIN_WINDOW_S:.0f} s and {MIN_UPDATES} updates are needed")
    if min(window.joules or 0.0 for window in windows.values()) < 0:
        raise Refused("the meter counts backwards: its shunt is wired the other way round")


def _unread(window_s: float, infer: Callable[[float], dict[str, Any]]) -> dict[str, Any]:
    """Hold the three windows for a meter that somebody else reads."""
    edges, count = [time.monotonic_ns()], 0
    for name in WINDOWS:
        if name == "busy":
            count = infer(window_s)["count"]
        else:
            time.sleep(window_s)
        edges.append(time.monotonic_ns())
    windows = {name: EnergyWindow(a, b) for name, a, b in zip(WINDOWS, edges, edges[1:])}
    return {"inferences": count, "windows": windows}


def refuse_charging(reader: Any) -> None:
    """Raise Refused if the battery is being charged."""
    if reader.charging():
        raise Refused("the battery is charging, which hides what the device draws", "unplug it")


def window(reader: Any, quantity: str, during: Callable[[], Any], clock: Clock) -> EnergyWindow:
    """Sample the meter while `during` runs; return its edges, the samples and what they come to.

    Args:
        reader: the open meter.
        quantity: "joules" or "watts".
        during: what runs meanwhile.
        clock: by which time passes.

    Raises:
        Refused: the battery began to charge.
    """
    at_ns: list[int] = []
    readings: list[float] = []
    edges: list[int] = []
    chance = random.Random()

    def sample() -> None:
        asked = clock.now_ns()
        readings.append(reader.read())
        # A slow reading belongs to the middle of the time that it took.
        at_ns.append((asked + clock.now_ns()) // 2)
        if reader.charging():
            raise Refused("the battery began to charge during the window", "unplug it")

    def timed() -> None:
        # The sampling thread takes a moment to start, and another to end its last reading: neither is of the window.
        edges.append(clock.now_ns())
        during()
        edges.append(clock.now_ns())

    sample()
    clock.beside(timed, sample, lambda: PERIOD_S * chance.uniform(*GAPS))
    sample()
    begin, end = edges
    return EnergyWindow(begin, end, at_ns, readings, **sums(at_ns, readings, quantity))


def sums(at_ns: list[int], readings: list[float], quantity: str) -> dict[str, Any]:
    """Return joules, seconds and updates of samples, from the first to the last; power is joined by straight lines.

    Args:
        at_ns: (N,) moments of the samples, ns.
        readings: (N,) J or W.
        quantity: "joules" or "watts".
    """
    pairs = list(zip(at_ns, readings, at_ns[1:], readings[1:]))
    if quantity == "joules":
        joules = readings[-1] - readings[0]
    else:
        joules = sum((a + b) / 2 * (until - since) * 1e-9 for since, a, until, b in pairs)
    return {
        "joules": joules,
        "seconds": (at_ns[-1] - at_ns[0]) * 1e-9,
        "updates": sum(a != b for _, a, _, b in pairs),
    }
