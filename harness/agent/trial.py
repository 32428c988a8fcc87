"""Tries what a job would need, for `edgeward check`: does the meter move, does the runtime start, what does it offer?

The answer is one JSON object on standard output; what does not work is an answer too, with the reason under `refused`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import import_module
from typing import Any

from harness.agent import arrays, contract, energy
from harness.agent.sentinel import kernel_ns


def meter(arguments: list[str]) -> int:
    """Read the meter, whose `[meter]` table is JSON on standard input, for two seconds and print what it did."""
    del arguments
    try:
        with energy.opened(json.load(sys.stdin)) as (reader, quantity):
            answer = tried(reader, quantity)
    except energy.Refused as refused:
        answer = refused.answer()
    json.dump(answer, sys.stdout)
    return 0


def tried(reader: Any, quantity: str, *, load: bool = True) -> dict[str, Any]:
    """Return what a meter did in two seconds; the second half is under load, unless the meter reads another machine.

    Args:
        reader: the open meter.
        quantity: "joules" or "watts".
        load: whether this machine works in the second half.
    """
    if reader.charging():
        return {"charging": True}
    samples = {"rest": _sampled(reader, load=False), "load": _sampled(reader, load=load)}
    answer: dict[str, Any] = {"charging": False, "changes": 0}
    for name, taken in samples.items():
        values = [value for _, value in taken]
        span_s = taken[-1][0] - taken[0][0]
        counted = (values[-1] - values[0]) / span_s if quantity == "joules" else sum(values) / len(values)
        answer[f"{name}_w"] = counted
        answer["changes"] += sum(a != b for a, b in zip(values, values[1:]))
    answer["seconds"] = samples["load"][-1][0] - samples["rest"][0][0]
    return answer


def _sampled(reader: Any, load: bool) -> list[tuple[float, float]]:
    """Return (monotonic s, reading) pairs over half of the trial."""
    taken = [(time.monotonic(), reader.read())]
    ends_at = taken[0][0] + contract.TRIAL_S / 2
    while time.monotonic() < ends_at:
        pause = time.monotonic() + contract.PERIOD_S
        while load and time.monotonic() < pause:
            kernel_ns()
        time.sleep(max(0.0, pause - time.monotonic()))
        taken.append((time.monotonic(), reader.read()))
    return taken


def runtime(arguments: list[str]) -> int:
    """Import the runtime `arguments[0]` from its folder `arguments[1]` and print its facts and accelerators."""
    name, folder = arguments
    # A runtime that prints while it is imported must not garble the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, folder)
    module = import_module("harness.agent.runtimes." + name)
    try:
        answer = {**module.facts(), "numpy": arrays.numpy_version(folder), "offers": module.offers()}
    except Exception as error:  # noqa: BLE001  whatever a runtime raises is the answer
        answer = {"refused": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    with answers:
        json.dump(answer, answers)
    return 0
