"""Whether the events of a job follow one another as both device sides write them, and ask for no more than was asked.

What is stated here is what harness/agent and harness/native guarantee, however a job ends: their events are written by
one process, by one clock, phase after phase; launches and turns are counted from 0; a model that failed is not heard
again, but for the rounds that it made before in the launch that is written after its error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final

from harness.agent import contract, energy
from harness.results.events import UNTRUE, Untrue

#: What of a job comes once, and what must have come before an event.
_ONCE: Final = (contract.Start, contract.Timed, contract.TimedEnd, contract.Done)
_BEHIND: Final[dict[type[contract.Event], type[contract.Event]]] = {
    contract.Launch: contract.Timed, contract.Sustained: contract.Timed, contract.TimedEnd: contract.Timed,
}  # fmt: skip
#: Sums that are computed twice may differ by so much.
_ROUNDING: Final = 1e-6


@dataclass(slots=True)
class Order:
    """What of a job has come so far.

    Attributes:
        job: what was asked for; None where nobody knows, and then only the events are held against one another.
        samples: how many images the job has; None where nobody knows.
        device: its id, for errors.
        at_ns: when the newest event was written.
    """

    job: contract.Job | None = None
    samples: int | None = None
    device: str = ""
    at_ns: int = 0
    _launches: int = 0
    _seen: Counter[Any] = field(default_factory=Counter)
    _failed: set[int] = field(default_factory=set)
    _players: Sequence[int] | None = None

    def accepted(self, event: contract.Event) -> list[contract.Event]:
        """Return the event, or in its place the errors of the models of which it says what cannot be.

        Raises:
            Untrue: it cannot be, and is not about one model alone.
        """
        found: list[contract.Event] = []
        while True:
            try:
                self._check(event)
            except Untrue as error:
                if error.model is None:
                    raise
                self._failed.add(error.model)
                found.append(error.instead(event.event))
                if isinstance(event, contract.Launch):
                    event = replace(event, rounds=[one for one in event.rounds if one.model != error.model])
                elif not isinstance(event, contract.Done):
                    return found
            else:
                self._take(event)
                return [*found, event]

    def _take(self, event: contract.Event) -> None:
        self._seen[type(event)] += 1
        if isinstance(event, contract.Error):
            self._failed.add(event.model)
        if isinstance(event, contract.OfModel):
            self._seen[type(event), event.model] += 1
        if isinstance(event, contract.Timed):
            self._players = event.models
        self._launches += isinstance(event, contract.Launch)
        self.at_ns = max(self.at_ns, event.t_ns)

    def _check(self, event: contract.Event) -> None:
        model = getattr(event, "model", None)
        self._index("model", [] if model is None else [model])
        if isinstance(event, contract.Error) and event.kind == UNTRUE:
            return  # made by the host, which has no moment of it
        if event.t_ns < self.at_ns:
            raise self._wrong(f"t_ns: the clock stepped back, from {self.at_ns} to {event.t_ns}", model)
        if type(event) is not contract.Start and not self._seen[contract.Start]:
            raise self._wrong(f"event: {event.event} comes before start")
        if isinstance(event, _ONCE) and self._seen[type(event)]:
            raise self._wrong(f"event: {event.event} comes twice")
        before = _BEHIND.get(type(event))
        if before is not None and (not self._seen[before] or self._seen[contract.TimedEnd]):
            raise self._wrong(f"event: {event.event} is not between timed and timed_end", model)
        if isinstance(event, contract.Phase):
            self._phase(event)
        for kind, check in _CHECKS:
            if isinstance(event, kind):
                check(self, event)

    def _phase(self, event: contract.Phase) -> None:
        if event.model in self._failed and not isinstance(event, contract.Profile):
            return
        seen = self._seen[type(event), event.model]
        if event.turn != seen or event.turn >= event.of:
            raise self._wrong(f"turn: {event.turn} of {event.of} where {seen} is due", event.model)
        if self.job is None:
            return
        plan = self.job.plan
        due = {
            contract.Cold: plan.cold_starts, contract.Evicted: plan.evicted_starts, contract.Memory: plan.memory_starts,
            contract.Tool: plan.cold_starts,
        }.get(type(event), 1)  # fmt: skip
        if event.of != due:
            raise self._wrong(f"of: {event.of} where {due} were asked for", event.model)
        if self.job.models[event.model].copy_of is not None:
            raise self._wrong(f"model: {event.model} is a copy, which has no {event.event}", event.model)

    def _accuracy(self, event: contract.Accuracy) -> None:
        if self.samples is not None and event.samples != self.samples:
            raise self._wrong(f"samples: {event.samples} where {self.samples} were brought", event.model)
        if event.paths is not None and len(event.paths) != event.samples:
            raise self._wrong(f"paths: {len(event.paths)} of {event.samples} samples", event.model)
        own = self.job.models[event.model].paths if self.job is not None else None
        if event.paths and own is not None and max(event.paths) >= 1 << len(own):
            raise self._wrong(f"paths: {max(event.paths)} of {len(own)} branches", event.model)

    def _timed(self, event: contract.Timed) -> None:
        self._index("models", event.models)
        if len(set(event.models)) < len(event.models):
            raise self._wrong("models: one stands there twice")

    def _launch(self, event: contract.Launch) -> None:
        if event.launch != self._launches:
            raise self._wrong(f"launch: {event.launch} where {self._launches} is due")
        if self.job is not None and event.launch >= self.job.plan.max_launches:
            raise self._wrong(f"launch: {event.launch} where {self.job.plan.max_launches} were asked for")
        self._index("rounds.model", [one.model for one in event.rounds])
        turns: set[tuple[int, int]] = set()
        for number, one in enumerate(event.rounds):
            if wrong := self._wrong_round(one, turns):
                raise self._wrong(f"rounds.{number}.{wrong}", one.model)
            turns.add((one.model, one.turn))

    def _wrong_round(self, one: contract.Round, turns: set[tuple[int, int]]) -> str:
        """Return what cannot be of a round, "" if it can.

        Args:
            one: the round.
            turns: (model, turn) of those before it in its launch.
        """
        if self._players is not None and one.model not in self._players:
            return f"model: {one.model} takes no part"
        if (one.model, one.turn) in turns:
            return f"turn: {one.turn} comes twice in a launch"
        if one.count and not (one.ns > 0 and one.level_ns > 0):
            return f"ns: {one.count} inferences took no time"
        if one.arrived is None and not 0 < one.level_ns <= one.ns:
            return f"level_ns: {one.level_ns:g} of {one.ns} in all"
        if self.job is None:
            return ""
        plan, model = self.job.plan, self.job.models[one.model]
        own = plan.control_rounds or plan.rounds
        due = plan.rounds if model.copy_of is None else own
        if one.turn >= due:
            return f"turn: {one.turn} where {due} were asked for"
        if (one.arrived or 0) != plan.frames:
            return f"arrived: {one.arrived} where {plan.frames} were asked for"
        if plan.frames and one.count > plan.frames:
            return f"count: {one.count} of {plan.frames} frames"
        if not plan.frames and not one.count:
            return "count: no inference"
        return ""

    def _sustained(self, event: contract.Sustained) -> None:
        at = [one.at_ns for one in event.windows]
        if event.place >= event.of:
            raise self._wrong(f"place: {event.place} of {event.of}", event.model)
        if not at or _falls(at):
            raise self._wrong("windows: none, or not one after the other", event.model)
        if event.began_ns + at[-1] > event.t_ns:
            raise self._wrong("began_ns: its windows reach beyond the event", event.model)

    def _energy(self, event: contract.EnergyPass) -> None:
        energy_pass(event, self.device)

    def _index(self, name: str, models: Iterable[int]) -> None:
        known = len(self.job.models) if self.job is not None else None
        for model in models:
            if known is not None and not 0 <= model < known:
                raise self._wrong(f"{name}: {model} of {known} models")

    def _conditions(self, event: contract.Conditions) -> None:
        if event.when != ("before", "after")[min(self._seen[contract.Conditions], 1)]:
            raise self._wrong(f"when: {event.when:.40} after {self._seen[contract.Conditions]} others")

    def _started(self, event: contract.Cold) -> None:
        times = (event.process_start_ns, event.load_ns, event.first_inference_ns)
        if event.absent is None and None in times:
            raise self._wrong("load_ns: it, process_start_ns or first_inference_ns is missing", event.model)

    def _done(self, event: contract.Done) -> None:
        self._index("alive", event.alive)
        if self.job is None or self._seen[contract.Tool]:
            return
        plan, timed = self.job.plan, self.job.plan.sustained_s or self.job.plan.max_launches
        for index, model in enumerate(self.job.models):
            if index in self._failed or model.copy_of is not None:
                continue
            due: dict[type[contract.Event], int] = {
                contract.Cold: plan.cold_starts, contract.Evicted: plan.evicted_starts,
                contract.Memory: plan.memory_starts, contract.Accuracy: int(plan.accuracy),
                contract.Sustained: int(plan.sustained_s > 0), contract.EnergyPass: int(self.job.meter is not None),
            }  # fmt: skip
            for kind, count in due.items():
                if self._seen[kind, index] != count:
                    raise self._wrong(f"{kind.KIND}: {self._seen[kind, index]} of {count} when it was done", index)
            if timed and not self._seen[contract.TimedEnd]:
                raise self._wrong("timed_end: it is missing when the job was done", index)

    def _wrong(self, text: str, model: int | None = None) -> Untrue:
        return _untrue(text, self.device, model)


def energy_pass(event: contract.EnergyPass, device: str) -> None:
    """Raise Untrue if an energy pass says what cannot be.

    Args:
        event: the pass.
        device: whose it is, for the error.
    """

    def wrong(text: str) -> Untrue:
        return _untrue(text, device, event.model)

    if event.absent is not None:
        return
    windows = event.windows or {}
    if tuple(windows) != contract.WINDOWS or event.inferences is None or event.meter is None:
        raise wrong(f"windows: {', '.join(contract.WINDOWS)} with meter and inferences are due")
    edges = [edge for one in windows.values() for edge in (one.begin_ns, one.end_ns)]
    if _falls(edges) or edges[-1] > event.t_ns or any(one.begin_ns == one.end_ns for one in windows.values()):
        raise wrong("windows: begin_ns and end_ns are not one after the other")
    if event.meter == contract.HOST_METER:
        return
    if event.quantity not in ("joules", "watts") or event.resolution is None:
        raise wrong(f"quantity: {event.quantity}, with the resolution {event.resolution}")
    for name, one in windows.items():
        if said := _wrong_window(one, event.quantity):
            raise wrong(f"windows.{name}.{said}")


def _untrue(text: str, device: str, model: int | None = None) -> Untrue:
    return Untrue(f"its runner says what cannot be ({text})", where=device, model=model)


def _wrong_window(one: contract.EnergyWindow, quantity: str) -> str:
    """Return what cannot be of a window that the device read, "" if it can."""
    at, readings = one.at_ns or [], one.readings or []
    if len(at) < 2 or len(at) != len(readings):
        return f"readings: {len(readings)} at {len(at)} moments"
    if _falls(at):
        return "at_ns: not one after the other"
    if at[0] > one.begin_ns or at[-1] < one.begin_ns:
        return "at_ns: outside of the window"
    if quantity == "watts" and max(map(abs, readings)) > contract.MOST_WATTS:
        return f"readings: {max(readings, key=abs):g} W"
    finest = {"joules": 1e-9 * max(map(abs, readings))}
    for name, due in energy.sums(at, readings, quantity).items():
        said = getattr(one, name)
        if said is None or abs(said - due) > _ROUNDING * abs(due) + finest.get(name, 0.0) + 1e-9:
            return f"{name}: {said} where the readings come to {due:g}"
    return ""


def _falls(numbers: Sequence[int]) -> bool:
    return any(a > b for a, b in pairwise(numbers))


#: What is looked at besides, of each kind.
_CHECKS: Final[tuple[tuple[type[contract.Event], Callable[[Order, Any], None]], ...]] = (
    (contract.Conditions, Order._conditions),
    (contract.Cold, Order._started),
    (contract.Accuracy, Order._accuracy),
    (contract.Timed, Order._timed),
    (contract.Launch, Order._launch),
    (contract.Sustained, Order._sustained),
    (contract.EnergyPass, Order._energy),
    (contract.Done, Order._done),
)
