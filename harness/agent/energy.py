"""The energy pass: an idle window, a window of inferences, an idle window, all read from one meter.

The meter is sampled in a thread, because nothing is timed meanwhile. The host makes joules per inference of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any, Callable

#: A window shorter than this, or with fewer changes of the meter, gives no number (METHOD.md, phase 8).
MIN_WINDOW_S = 10.0
MIN_UPDATES = 50
PERIOD_S = 0.05


class Refused(Exception):
    """The meter gives no number that may be trusted; the message says why."""


def measure(meter: dict[str, Any], window_s: float, infer: Callable[[float], dict[str, Any]]) -> dict[str, Any]:
    """Return joules, seconds and meter updates of the three windows, and the inferences of the middle one.

    Args:
        meter: the `[meter]` table of the device file.
        window_s: length of each window.
        infer: runs inferences for that long and returns count and ns.

    Raises:
        Refused: the windows give no number that may be trusted.
    """
    with opened(meter) as (reader, quantity):
        return _measure(reader, quantity, window_s, infer)


@contextmanager
def opened(meter: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    """Give the meter of a `[meter]` table and what it reads, "joules" or "watts".

    Raises:
        Refused: it cannot be read, at first or later.
    """
    settings = dict(meter)
    module = import_module("harness.agent.meters." + settings.pop("kind"))
    try:
        with closing(module.Meter(module.Options(**settings))) as reader:
            yield reader, module.QUANTITY
    except (OSError, ValueError) as error:
        raise Refused(f"the meter cannot be read: {error}; look at [meter] in the device's file") from error


def _measure(reader: Any, quantity: str, window_s: float, infer: Callable[[float], dict[str, Any]]) -> dict[str, Any]:
    if reader.charging():
        raise Refused("the battery is charging, which hides what the device draws; unplug it")
    before = _window(reader, quantity, lambda: time.sleep(window_s))
    answer: dict[str, Any] = {}
    busy = _window(reader, quantity, lambda: answer.update(infer(window_s)))
    after = _window(reader, quantity, lambda: time.sleep(window_s))
    windows = {"idle_before": before, "busy": busy, "idle_after": after}
    if sum(window["updates"] for window in windows.values()) == 0:
        raise Refused("the meter never changed: it is broken or not connected")
    if busy["seconds"] < MIN_WINDOW_S or busy["updates"] < MIN_UPDATES:
        seen = f"{busy['seconds']:.1f} s with {busy['updates']} meter updates"
        raise Refused(f"the window was too short: {seen}; {MIN_WINDOW_S:.0f} s and {MIN_UPDATES} updates are needed")
    if min(window["joules"] for window in windows.values()) < 0:
        raise Refused("the meter counts backwards: its shunt is wired the other way round")
    return {"windows": windows, "inferences": answer["count"], "resolution": reader.resolution}


def _window(reader: Any, quantity: str, during: Callable[[], Any]) -> dict[str, Any]:
    """Sample the meter while `during` runs; return joules, seconds, updates and the watts of its parts."""
    stop, samples = threading.Event(), [(time.monotonic(), reader.read())]
    failures: list[Exception] = []

    def sample() -> None:
        try:
            while not stop.wait(PERIOD_S):
                samples.append((time.monotonic(), reader.read()))
                if reader.charging():
                    raise Refused("the battery began to charge during the window; unplug it")
        except (OSError, ValueError, Refused) as error:
            failures.append(error)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        during()
    finally:
        stop.set()
        thread.join()
    if failures:
        # What was missed in the middle of a window must not be bridged by a guess.
        raise failures[0]
    samples.append((time.monotonic(), reader.read()))
    pairs = list(zip(samples, samples[1:]))
    if quantity == "joules":
        parts = [b[1] - a[1] for a, b in pairs]
    else:
        parts = [(a[1] + b[1]) / 2 * (b[0] - a[0]) for a, b in pairs]
    return {
        "joules": sum(parts),
        "seconds": samples[-1][0] - samples[0][0],
        "updates": sum(a[1] != b[1] for a, b in pairs),
        "watts": _tenths(parts, [b[0] - a[0] for a, b in pairs]),
    }


def _tenths(joules: list[float], seconds: list[float]) -> list[float]:
    """Return the mean power of ten equal runs of samples, none left out: the spread that the interval carries."""
    cuts = [round(i * len(joules) / 10) for i in range(11)]
    parts = [(sum(joules[a:b]), sum(seconds[a:b])) for a, b in zip(cuts, cuts[1:])]
    return [energy / time_s for energy, time_s in parts if time_s > 0]
