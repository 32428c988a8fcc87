"""The conductor: one detached process that measures every model of a job, one phase after the other.

`job.json` in; `events.jsonl` and arrays out. It needs no connection and decides nothing about statistics: the host may
leave a file `stop` (end the timed pass after this launch) or `stop-INDEX` (that model is decided) in the job directory.
A model that fails is left out from then on and harms no other.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any, Callable

from harness.agent import energy, limits, pagecache, survey
from harness.agent.events import Events
from harness.agent.process import SPENT, Lost, Process
from harness.agent.sentinel import Sentinel
from harness.agent.sustained import SustainedPass
from harness.agent.timed import TimedPass

VERSION = "1"


class Conductor:
    """Runs the phases of one job directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job: dict[str, Any] = json.loads((folder / "job.json").read_text())
        self.plan: dict[str, Any] = self.job["plan"]
        self.events = Events(folder)
        # Before any model runs: what the processor can do while it is cool, and how cool that is.
        self.sentinel = Sentinel()
        self.cool_c = survey.temperature()
        self.order = random.Random(self.job["seed"])
        self.alive = list(range(len(self.job["models"])))
        self.peak_bytes: dict[int, int] = {}
        self.accelerated: dict[int, str] = {}

    def run(self) -> None:
        """Run every phase; the last event is `done`."""
        self.events.say("start", agent=VERSION, pid=os.getpid(), kills=limits.kills(), fingerprint=survey.fingerprint())
        self.events.say("conditions", when="before", **survey.conditions(str(self.folder)))
        if self.job.get("accelerator"):
            self._each("placement", self._placement, 1)
        self._each("cold", self._cold, self.plan["cold_starts"])
        self._each("evicted", self._evicted, self.plan.get("evicted_starts", 0))
        self._each("memory", self._memory, self.plan["memory_starts"])
        if self.plan["accuracy"]:
            self._each("accuracy", self._accuracy, 1)
        if self.plan.get("parts_s"):
            self._each("parts", self._parts, 1)
        if self.plan.get("sustained_s"):
            SustainedPass(self).run()
        elif self.plan["max_launches"]:
            TimedPass(self).run()
        if self.job.get("meter"):
            self._each("energy", self._energy, 1)
        self.events.say("conditions", when="after", **survey.conditions(str(self.folder)))
        self.events.say("done", alive=self.alive, spent=SPENT)

    def start(self, index: int) -> Process:
        """Start the worker of model `index`; raises Lost."""
        return Process(self.folder, index, self.plan["deadline_s"], self.accelerated.get(index, ""))

    def drop(self, index: int, phase: str, lost: Lost) -> None:
        """Leave a model out from now on and say why."""
        self.alive.remove(index)
        self.events.say("error", model=index, phase=phase, kind=lost.kind, message=lost.message)

    def _each(self, phase: str, body: Callable[[int], dict[str, Any]], times: int) -> None:
        """Run `body` `times` times for every model, in random order, so that drift favours none."""
        for turn in range(times):
            for index in self.order.sample(self.alive, len(self.alive)):
                try:
                    self.events.say(phase, model=index, turn=turn, of=times, **body(index))
                except Lost as lost:
                    self.drop(index, phase, lost)

    def _placement(self, index: int) -> dict[str, Any]:
        """Say what really runs the model, in a process of its own: to look costs time, and nothing is timed here."""
        process = self.start(index)
        try:
            seen = process.ask("placement")
        finally:
            process.quit()
        if seen["nodes"].get(seen["wanted"]):
            self.accelerated[index] = seen["wanted"]
        return seen

    def _cold(self, index: int) -> dict[str, Any]:
        return self._started(index, pagecache.warm)

    def _evicted(self, index: int) -> dict[str, Any]:
        return self._started(index, pagecache.evict)

    def _started(self, index: int, prepare: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Load in a fresh process, with the model's file brought into the page cache or out of it just before."""
        process = self.start(index)
        try:
            cache = prepare(self.job["models"][index]["path"])
            if "absent" in cache:
                return cache
            load, first = process.ask("load"), process.ask("first")
            facts = {"process_start_ns": process.start_ns, "load_ns": load["ns"], "first_inference_ns": first["ns"]}
            return {**facts, **cache, "facts": process.facts}
        finally:
            process.quit()

    def _memory(self, index: int) -> dict[str, Any]:
        process = self.start(index)
        try:
            before = process.ask("memory")
            process.ask("load")
            loaded = process.ask("memory")
            process.ask("first")
            inferred = process.ask("memory")
            process.ask("round", duration_s=0, minimum=self.plan["round_min"], keep=False)
            after = process.ask("memory")
        finally:
            process.quit()
        self.peak_bytes[index] = max(self.peak_bytes.get(index, 0), after.get("peak_rss_bytes", 0))
        return {"before": before, "loaded": loaded, "inferred": inferred, "after": after}

    def _accuracy(self, index: int) -> dict[str, Any]:
        process = self.start(index)
        try:
            process.ask("load")
            return process.ask("accuracy")
        finally:
            process.quit()

    def _parts(self, index: int) -> dict[str, Any]:
        process = self.start(index)
        try:
            process.ask("load")
            process.ask("warm", max_s=self.plan["warmup_s"])
            return process.ask("parts", duration_s=self.plan["parts_s"], minimum=self.plan["parts_min"])
        finally:
            process.quit()

    def _energy(self, index: int) -> dict[str, Any]:
        if self.job["meter"]["kind"] == energy.HOST:
            self.events.say("energy_start", model=index)
        process = self.start(index)
        try:
            process.ask("load")
            process.ask("warm", max_s=self.plan["warmup_s"])
            return energy.measure(
                self.job["meter"], self.plan["energy_s"], lambda seconds: process.ask("spin", duration_s=seconds)
            )
        except energy.Refused as refused:
            return {"absent": str(refused)}
        finally:
            process.quit()


def main(arguments: list[str]) -> int:
    """Measure the job directory `arguments[0]`; with `--detach` return at once and go on in a session of its own."""
    folder = Path(arguments[0])
    if "--detach" in arguments[1:] and not _detach(folder):
        return 0
    try:
        (folder / "claim").mkdir()
    except FileExistsError:
        return 0  # Started twice: the answer to the first start was lost with the link.
    # Written before anything that a follower waits for: it tells him whom to watch.
    part = folder / "pid.part"
    part.write_text(str(os.getpid()))
    part.replace(folder / "pid")
    started = time.monotonic()
    Conductor(folder).run()
    sys.stderr.write(f"done in {time.monotonic() - started:.1f} s\n")
    return 0


def _detach(folder: Path) -> bool:
    """Fork into a session of its own with its output in agent.log; return True in the process that goes on."""
    if os.fork():
        return False
    os.setsid()
    log = os.open(folder / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    return True
