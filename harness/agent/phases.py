"""Runs a job: one detached process that measures every model, one phase after the other.

`job.json` in; `events.jsonl` and arrays out, as harness/agent/contract.py states them. It needs no connection and
decides nothing about statistics: the host may leave a file `stop` (end the timed pass after this launch) or
`stop-INDEX` (that model is decided) in the job directory. A model that fails is left out from then on and harms no
other.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable

from harness.agent import contract, energy, limits, pagecache, survey
from harness.agent.conductor import Conductor, asked
from harness.agent.process import SPENT, Lost
from harness.agent.sustained import SustainedPass
from harness.agent.timed import TimedPass


class Phases:
    """The phases of one job."""

    def __init__(self, conductor: Conductor) -> None:
        self._c = conductor
        self._job, self._plan = conductor.job, conductor.plan

    def run(self) -> None:
        """Run every phase; the last event is `done`."""
        c, plan = self._c, self._plan
        c.events.say(
            contract.Start,
            agent=contract.VERSION, pid=os.getpid(), kills=limits.kills(), fingerprint=survey.fingerprint(),
        )  # fmt: skip
        self._conditions("before")
        if self._job.accelerator:
            self._each(contract.Placement, self._placement, 1)
        self._each(contract.Cold, self._cold, plan.cold_starts)
        self._each(contract.Evicted, self._evicted, plan.evicted_starts)
        self._each(contract.Memory, self._memory, plan.memory_starts)
        if plan.accuracy:
            self._each(contract.Accuracy, self._accuracy, 1)
        if plan.parts_s:
            self._each(contract.Parts, self._parts, 1)
        if plan.sustained_s:
            SustainedPass(c).run()
        elif plan.max_launches:
            TimedPass(c).run()
        if self._job.meter:
            self._each(contract.EnergyPass, self._energy, 1)
        self._conditions("after")
        if plan.profile_s:
            # Behind everything that is measured, so that nothing of it can be in a number.
            self._each(contract.Profile, self._profile, 1)
        c.events.say(contract.Done, alive=c.alive, spent=dict(SPENT))

    def _conditions(self, when: str) -> None:
        self._c.events.say(contract.Conditions, when=when, **survey.conditions(str(self._c.folder)))

    def _each(self, kind: type[contract.Phase], body: Callable[[int], dict[str, Any]], times: int) -> None:
        """Run `body` `times` times for every model but a copy, in random order, so that drift favours none."""
        for turn in range(times):
            for index in self._c.originals():
                try:
                    self._c.events.say(kind, model=index, turn=turn, of=times, **body(index))
                except Lost as lost:
                    self._c.drop(index, kind.KIND, lost)

    def _placement(self, index: int) -> dict[str, Any]:
        """Say what really runs the model, in a process of its own: to look costs time, and nothing is timed here."""
        process = self._c.start(index)
        try:
            seen = process.ask("placement")
        finally:
            process.quit()
        if seen["nodes"].get(seen["wanted"]):
            self._c.accelerated[index] = seen["wanted"]
        return seen

    def _cold(self, index: int) -> dict[str, Any]:
        return self._started(index, pagecache.warm)

    def _evicted(self, index: int) -> dict[str, Any]:
        return self._started(index, pagecache.evict)

    def _started(self, index: int, prepare: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Load in a fresh process, with the model's file brought into the page cache or out of it just before."""
        process = self._c.start(index)
        try:
            cache = prepare(self._job.models[index].path)
            if "absent" in cache:
                return cache
            load, first = process.ask("load"), process.ask("first")
            facts = {"process_start_ns": process.start_ns, "load_ns": load["ns"], "first_inference_ns": first["ns"]}
            return {**facts, **cache, "facts": process.facts}
        finally:
            process.quit()

    def _memory(self, index: int) -> dict[str, Any]:
        process = self._c.start(index)
        try:
            before = asked(process, contract.MemoryReading, "memory")
            process.ask("load")
            loaded = asked(process, contract.MemoryReading, "memory")
            process.ask("first")
            inferred = asked(process, contract.MemoryReading, "memory")
            if self._job.models[index].paths:
                process.ask("each")
            process.ask("round", duration_s=0, minimum=self._plan.round_min, keep=False)
            after = asked(process, contract.MemoryReading, "memory")
        finally:
            process.quit()
        self._c.peak_bytes[index] = max(self._c.peak_bytes.get(index, 0), after.peak_rss_bytes or 0)
        return {"before": before, "loaded": loaded, "inferred": inferred, "after": after}

    def _accuracy(self, index: int) -> dict[str, Any]:
        process = self._c.start(index)
        try:
            images = process.ask("load")["images"]
            process.be_patient(contract.PATIENCE * images * process.ask("first")["ns"] / 1e9)
            return process.ask("accuracy")
        finally:
            process.quit()

    def _parts(self, index: int) -> dict[str, Any]:
        process = self._c.start(index)
        try:
            process.ask("load")
            process.ask("warm", max_s=self._plan.warmup_s)
            return process.ask("parts", duration_s=self._plan.parts_s, minimum=self._plan.parts_min)
        finally:
            process.quit()

    def _energy(self, index: int) -> dict[str, Any]:
        meter = self._job.meter or {}
        if meter["kind"] == contract.HOST_METER:
            self._c.events.say(contract.EnergyStart, model=index)
        process = self._c.start(index)
        try:
            process.ask("load")
            process.ask("warm", max_s=self._plan.warmup_s)
            return energy.measure(meter, self._plan.energy_s, lambda seconds: process.ask("spin", duration_s=seconds))
        except energy.Refused as refused:
            return {"absent": str(refused)}
        finally:
            process.quit()

    def _profile(self, index: int) -> dict[str, Any]:
        """Say what each operator takes, in a process of its own; what fails here takes no number from the model."""
        try:
            process = self._c.start(index)
            try:
                return process.ask("profile", duration_s=self._plan.profile_s)
            finally:
                process.quit()
        except Lost as lost:
            return {"absent": f"the traced inferences failed: {lost.message}"}


def main(arguments: list[str]) -> int:
    """Measure the job directory `arguments[0]`; with `--detach` return at once and go on in a session of its own."""
    folder = Path(arguments[0])
    if "--detach" in arguments[1:] and not _detach(folder):
        return 0
    try:
        (folder / contract.CLAIM_FOLDER).mkdir()
    except FileExistsError:
        return 0  # Started twice: the answer to the first start was lost with the link.
    # Written before anything that a follower waits for: it names the process to watch.
    part = folder / "pid.part"
    part.write_text(str(os.getpid()))
    part.replace(folder / contract.PID_FILE)
    started = time.monotonic()
    Phases(Conductor(folder)).run()
    sys.stderr.write(f"done in {time.monotonic() - started:.1f} s\n")
    return 0


def _detach(folder: Path) -> bool:
    """Fork into a session of its own with its output in agent.log; return True in the process that goes on."""
    if os.fork():
        return False
    os.setsid()
    log = os.open(folder / contract.LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    return True
