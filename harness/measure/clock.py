"""How long each case of a group takes, and a bound on it.

The cases of a group share one job, whose events come at the end of what they tell of. What passes before an event of
one model is its case's time; all else, such as preparing the device and taking turns, is shared by the cases in equal
parts. So their times add up to the time in which their device was measured on. Waiting for a busy device is no part.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from harness.agent import contract


class Clock:
    """The time of the cases of one group; read and set by several threads.

    Args:
        models: ids of the cases, in the order of the job's models.
        wanted: those that wait for a result: a baseline that is only their partner is part of their time.
        limits_s: id of a case -> how long it may take, s; others are not bounded.
    """

    def __init__(self, models: Sequence[str], wanted: Collection[str], limits_s: Mapping[str, float]) -> None:
        self._models = models
        self._wanted = [name for name in models if name in wanted] or list(models)
        self._limits_s = {name: limits_s[name] for name in self._wanted if name in limits_s}
        self._spent_s = dict.fromkeys(self._wanted, 0.0)
        #: Until when all time has its owner; None while the device is not measured on.
        self._until: float | None = None
        self._changed = threading.Condition()
        self._over = False
        #: Whether a case took too long. Whose model works just now nobody knows before its event comes.
        self.expired = False

    @property
    def cases(self) -> int:
        """How many cases share the time."""
        return len(self._wanted)

    def hear(self, event: contract.Event) -> None:
        """Give the time since the last event to the model that this one is of, else to all."""
        own = isinstance(event, contract.OfModel) and event.model < len(self._models)
        with self._changed:
            self._give([self._models[event.model]] if own and isinstance(event, contract.OfModel) else [])
            self._changed.notify()

    def spent_s(self, case: str) -> float:
        """Return how long a case has taken until now, s."""
        with self._changed:
            return self._spent_s.get(case, 0.0) + self._open_s() / self.cases

    @contextmanager
    def bounded(self, stop: Callable[[], object]) -> Iterator[None]:
        """Count from now to the end; call `stop` from another thread once a case takes longer than it may."""
        self._until = time.monotonic()
        watch = threading.Thread(target=self._watch, args=(stop,), name="time limit", daemon=True)
        if self._limits_s:
            watch.start()
        try:
            yield
        finally:
            with self._changed:
                self._give([])
                self._until, self._over = None, True
                self._changed.notify()
            if self._limits_s:
                watch.join()

    def _watch(self, stop: Callable[[], object]) -> None:
        with self._changed:
            while not self._over and (left_s := self._left_s()) > 0:
                self._changed.wait(left_s)
            if self._over:
                return
            self.expired = True
        stop()

    def _left_s(self) -> float:
        """Return after how long the first case has used up its limit, if nobody says whose model works."""
        left_s = min(limit_s - self._spent_s[name] for name, limit_s in self._limits_s.items())
        return left_s * self.cases - self._open_s()

    def _open_s(self) -> float:
        """Return how much time has no owner yet."""
        return time.monotonic() - self._until if self._until is not None else 0.0

    def _give(self, models: Sequence[str]) -> None:
        # A partner works for all.
        owners = [name for name in models if name in self._spent_s] or self._wanted
        open_s = self._open_s()
        for name in owners:
            self._spent_s[name] += open_s / len(owners)
        if self._until is not None:
            self._until += open_s
