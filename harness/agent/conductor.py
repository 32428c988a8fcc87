"""What all phases of a job share: the job, its events, the models that are still in it, and how their workers start."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from harness.agent import contract, survey
from harness.agent.events import Events
from harness.agent.presence import Presence
from harness.agent.process import Lost, Process
from harness.agent.sentinel import Sentinel


class Conductor:
    """Lets the models of one job directory work, one at a time; the phases ask it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = contract.job(json.loads((folder / contract.JOB_FILE).read_text()))
        self.plan = self.job.plan
        self.events = Events(folder)
        self.presence = Presence(folder, self.job.beat, self.job.host_gone_s)
        # Before any model runs: what the processor can do while it is cool, and how cool that is.
        self.sentinel = Sentinel()
        self.cool_c = survey.temperature(self.job.thermal_zone)
        self.order = random.Random(self.job.seed)
        self.alive = list(range(len(self.job.models)))
        self.peak_bytes: dict[int, int] = {}
        self.accelerated: dict[int, str] = {}

    def start(self, index: int) -> Process:
        """Start the worker of model `index`; raises Lost."""
        seen = self.accelerated.get(self.original(index), "")
        return Process(self.folder, index, self.plan.deadline_s, seen, self.presence)

    def original(self, index: int) -> int:
        """Return the place of a model, or of the one that it is a copy of."""
        copied = self.job.models[index].copy_of
        return index if copied is None else copied

    def originals(self) -> list[int]:
        """Return the models that are still in the job and no copies, in random order, so that drift favours none."""
        return self.shuffled([index for index in self.alive if self.original(index) == index])

    def drop(self, index: int, phase: str, lost: Lost) -> None:
        """Leave a model out from now on and say why.

        Args:
            index: the model's place in the job.
            phase: in which it failed.
            lost: what happened.
        """
        self.alive.remove(index)
        self.events.say(contract.Error, model=index, phase=phase, kind=lost.kind, message=lost.message)

    def readings(self) -> contract.Readings:
        """Return the state of the device now."""
        return contract.Readings(**survey.conditions(str(self.folder), self.job.thermal_zone))

    def shuffled(self, models: list[int]) -> list[int]:
        """Return models in random order, so that drift favours none."""
        return self.order.sample(models, len(models))

    def has_file(self, name: str) -> bool:
        """Return whether the host has left a file of this name in the job directory."""
        return (self.folder / name).exists()


def asked(process: Process, kind: Any, verb: str, **fields: Any) -> Any:
    """Return a worker's answer as a type of the contract.

    Args:
        process: the worker.
        kind: of the contract.
        verb: what is asked.
        fields: what goes with it.
    """
    return kind(**process.ask(verb, **fields))
