"""The sustained pass: each model alone under load for minutes, because heat is the question.

There are no turns here: the models follow one another in random order, and before each the device cools down until
the sentinel and the temperature say so, or a deadline passes. The load is cut into short windows, between which the
temperature is read; nothing else happens there.
"""

from __future__ import annotations

import time
from array import array
from typing import Any

from harness.agent import contract, survey
from harness.agent.conductor import Conductor
from harness.agent.contract import DRIFT
from harness.agent.process import Lost, Process
from harness.agent.timed import write


class SustainedPass:
    """Minutes of load for one model after the other."""

    def __init__(self, conductor: Conductor) -> None:
        self._c = conductor
        self._plan = conductor.plan
        self._waited_s = 0.0

    def run(self) -> None:
        """Load every model; what each gave is in its `sustained` event and its arrays."""
        order = self._c.originals()
        self._c.events.say(contract.Timed, hold=False, sentinel_cool_ns=self._c.sentinel.cool_ns, models=order)
        for place, index in enumerate(order):
            cooling = self._cool()
            self._waited_s += cooling["waited_s"]
            try:
                began, windows = self._load_one(index)
            except Lost as lost:
                self._c.drop(index, "sustained", lost)
                continue
            facts = {"place": place, "of": len(order), **cooling, "began_ns": began, "windows": windows}
            self._c.events.say(contract.Sustained, model=index, **facts, conditions=self._c.readings())
        self._c.events.say(contract.TimedEnd, paused_s=self._waited_s, sentinel_ns=self._c.sentinel.spent_ns)

    def _cool(self) -> dict[str, Any]:
        """Wait until the device is as it was before the job, at most `cooldown_s`."""
        began, pause = time.monotonic(), 0.05
        while True:
            self._c.presence.look()
            drift, now_c = self._c.sentinel.drift(), survey.temperature(self._c.job.thermal_zone)
            warm = self._c.cool_c is not None and now_c is not None and now_c > self._c.cool_c + contract.WARMER_C
            waited = time.monotonic() - began
            if (drift <= DRIFT and not warm) or waited >= self._plan.cooldown_s:
                cooled = drift <= DRIFT and not warm
                return {"cooled": cooled, "waited_s": waited, "start_drift": round(drift, 4), "start_c": now_c}
            time.sleep(min(pause, self._plan.cooldown_s - waited))
            pause = min(pause * 2, 5.0)

    def _load_one(self, index: int) -> tuple[int, list[contract.LoadWindow]]:
        """Return when the load began, ns, and its windows."""
        process = self._c.start(index)
        try:
            process.ask("load")
            process.ask("first")
            began = time.monotonic_ns()
            process.ask("warm", max_s=self._plan.warmup_s)
            windows, rows = self._windows(index, process, began)
        finally:
            process.quit()
        write(self._c.folder, index, rows[-2], rows)
        return began, windows

    def _windows(self, index: int, process: Process, began: int) -> tuple[list[contract.LoadWindow], array[int]]:
        """Return when each window began with the temperature then, and rows as the timed pass writes them."""
        windows: list[contract.LoadWindow] = []
        rows, taken, next_sign = array("q"), 0, contract.SIGN_OF_LIFE_S
        while not windows or time.monotonic_ns() - began < self._plan.sustained_s * 1e9:
            at_ns, at_c = time.monotonic_ns() - began, survey.temperature(self._c.job.thermal_zone)
            if at_ns > next_sign * 1e9:
                self._c.events.say(contract.Sustaining, model=index, at_s=at_ns / 1e9, of_s=self._plan.sustained_s)
                next_sign += contract.SIGN_OF_LIFE_S
            asked = {"duration_s": self._plan.window_s, "minimum": self._plan.round_min}
            answer = process.ask("round", keep=True, **asked)
            windows.append(contract.LoadWindow(at_ns, at_c))
            rows.extend([0, taken, taken + answer["count"], int(self._c.sentinel.drift() * 1e4)])
            taken += answer["count"]
        return windows, rows
