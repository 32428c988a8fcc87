"""What one job has said so far: its events, typed, and the arrays that were fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from harness import stats
from harness.agent import contract
from harness.model import FloatArray, IntArray
from harness.results.events import Untrue
from harness.results.order import Order
from harness.units import NS_PER_S

E = TypeVar("E", bound=contract.Event)
M = TypeVar("M", bound=contract.OfModel)


@dataclass(frozen=True, slots=True)
class LaunchRound:
    """One timed round and the launch that it belongs to."""

    launch: int
    round: contract.Round


@dataclass(slots=True)
class JobLog:
    """Everything one job has said so far.

    Attributes:
        started_at: when the host began to follow it.
        events: of the device side, in their order.
        arrays: file name -> what was fetched.
        beside: "before" and "after" -> what the device said of its state, asked by the host.
        order: what was asked for and what has come of it.
    """

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    events: list[contract.Event] = field(default_factory=list)
    arrays: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    order: Order = field(default_factory=Order)

    def add(self, event: contract.Event) -> list[contract.Event]:
        """Keep an event and return what is new: nothing if it came before, as after a lost connection it may.

        What cannot be of one model alone is kept as the error of that model, which puts it out of the job.

        Raises:
            Untrue: the event cannot be, and is not about one model alone.
        """
        if event.t_ns <= self.order.at_ns and event in self.events:
            return []
        new = self.order.accepted(event)
        self.events += new
        return new

    @contextmanager
    def guarded(self, model: int, phase: str) -> Iterator[None]:
        """Let what is untrue of a model put that model out of the job, and nothing else.

        Args:
            model: its place in the job.
            phase: what is done.
        """
        try:
            yield
        except Untrue as error:
            self.events.append(replace(error.instead(phase), model=model))

    def all(self, kind: type[E]) -> list[E]:
        """Return the events of exactly one kind."""
        return [event for event in self.events if type(event) is kind]

    def of(self, kind: type[M], model: int) -> list[M]:
        """Return the events of one kind and one model."""
        return [event for event in self.all(kind) if event.model == model]

    def one(self, kind: type[E]) -> E:
        """Return the event of a kind that every finished job has once."""
        return self.all(kind)[0]

    def failure(self, model: int) -> contract.Error | None:
        """Return the event that put a model out of the job, if any."""
        return next(iter(self.of(contract.Error, model)), None)

    def array(self, model: int, name: str) -> Any:
        """Return one array of a model."""
        return self.arrays[f"m{model}.{name}.npy"]

    def rounds_of(self, model: int) -> list[LaunchRound]:
        """Return every timed round of a model, each with its launch."""
        launches = self.all(contract.Launch)
        return [LaunchRound(one.launch, each) for one in launches for each in one.rounds if each.model == model]

    def slowdowns(self) -> FloatArray:
        """Return by how much the device slowed down in each launch, as `stats.launch_slowdowns` has it."""
        # A model whose time depends on the image is slower where its images are.
        models = {one.model for launch in self.all(contract.Launch) for one in launch.rounds if one.images is None}
        found = []
        for model in models:
            own = [(one.launch, one.round.ns / one.round.count) for one in self.rounds_of(model) if one.round.count]
            if own:
                found.append((np.array([n for n, _ in own], np.int64), np.array([pace for _, pace in own])))
        return stats.launch_slowdowns(found)

    def usual_pace(self) -> float:
        """Return the sentinel's usual reading over its first ones; 1 where no model took turns."""
        drifts, _ = self._readings()
        return stats.usual(1 + drifts, contract.DRIFT) if len(drifts) else 1.0

    def marked(self, launches: IntArray, drifts: FloatArray) -> npt.NDArray[np.bool_]:
        """Return around which of a model's rounds the processor was slower than usual.

        Args:
            launches: (R,) launch numbers.
            drifts: (R,) the sentinel's, that go with them.
        """
        all_drifts, all_launches = self._readings()
        if not len(all_drifts):
            return np.asarray(drifts > contract.DRIFT)
        return stats.marked_rounds(drifts, launches, all_drifts, all_launches, above=contract.DRIFT)

    def _readings(self) -> tuple[FloatArray, IntArray]:
        """Return the sentinel around the rounds of all models, and the launch of each; as the arrays have them."""
        rounds = [(one.launch, each.drift) for one in self.all(contract.Launch) for each in one.rounds]
        return _drifts([drift for _, drift in rounds]), np.array([launch for launch, _ in rounds], np.int64)

    def levels(self, model: int) -> tuple[FloatArray, IntArray, Any]:
        """Return what a model's rounds say while the job still runs, as the finished runs will be compared.

        Returns:
            (R,) the level of each round, s; (R, 3) the rounds that go with them; (R,) which are to be compared.
        """
        rounds = self.rounds_of(model)
        values = np.array([one.round.level_ns for one in rounds]) / NS_PER_S
        table = np.array([(one.launch, i, i + 1) for i, one in enumerate(rounds)], np.int64).reshape(-1, 3)
        marked = self.marked(table[:, 0], _drifts([one.round.drift for one in rounds]))
        return values, table, stats.quiet_rounds(marked, table[:, 0])


def _drifts(said: list[float]) -> FloatArray:
    """Return drifts as the arrays keep them, in whole ten thousandths."""
    return np.array([int(drift * 1e4) for drift in said], np.float64) / 1e4
