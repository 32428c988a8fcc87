"""The timed pass: models take turns in short rounds, in random order, over several launches of their processes.

Drift, throttling and noisy neighbours hit every model alike and cancel in the ratio; launches carry the variance that
one process hides (Kalibera and Jones, "Rigorous benchmarking in reasonable time", 2013).
"""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from typing import Any

from harness.agent import contract, npy, survey
from harness.agent.conductor import Conductor
from harness.agent.process import Lost, Process


class TimedPass:
    """Launches, rounds and the sentinel of one job."""

    def __init__(self, conductor: Conductor) -> None:
        self._c = conductor
        self._plan = conductor.plan
        self._sentinel = conductor.sentinel
        self._began = time.monotonic()
        self._paused_s = 0.0
        # Flat int64 rows a model: launch, first sample, last sample + 1, drift of the sentinel in 1e-4.
        self._rows: dict[int, array[int]] = {index: array("q") for index in conductor.alive}
        self._taken = dict.fromkeys(conductor.alive, 0)
        self._waits = dict.fromkeys(conductor.alive, 0)
        self._decided: set[int] = set()

    def run(self) -> None:
        """Launch until the host says stop, or the launches or the time are used up."""
        hold = self._fits()
        self._c.events.say(
            contract.Timed, hold=hold, sentinel_cool_ns=self._sentinel.cool_ns, models=list(self._c.alive)
        )
        deadline = time.monotonic() + self._plan.max_timed_s
        for launch in range(self._plan.max_launches):
            rounds = self._launch(launch, hold)
            self._c.events.say(
                contract.Launch,
                launch=launch, rounds=rounds, conditions=self._c.readings(), paused_s=self._paused_s,
            )  # fmt: skip
            late = time.monotonic() > deadline and launch + 1 >= self._plan.min_launches
            if late or self._c.has_file(contract.STOP_FILE) or not self._playing():
                break
        for index in self._rows:
            write(self._c.folder, index, self._taken[index], self._rows[index])
            if self._plan.period_ns:
                self._write_frames(index)
        self._c.events.say(contract.TimedEnd, paused_s=self._paused_s, sentinel_ns=self._sentinel.spent_ns)

    def _playing(self) -> list[int]:
        self._decided |= {i for i in self._c.alive if self._c.has_file(f"{contract.STOP_FILE}-{i}")}
        return [i for i in self._c.alive if i not in self._decided]

    def _fits(self) -> bool:
        """Return whether all models fit into memory at once, with a fifth to spare."""
        if self._plan.hold != "auto":
            return bool(self._plan.hold)
        available = survey.available()
        peaks = [self._c.peak_bytes.get(self._c.original(i), 0) for i in range(len(self._c.job.models))]
        return available is None or sum(peaks) < contract.HOLD_SHARE * available

    def _launch(self, launch: int, hold: bool) -> list[contract.Round]:
        held: dict[int, Process] = {}
        rounds: list[contract.Round] = []
        try:
            if hold:
                held = self._prepare(self._shuffled())
            for turn in range(self._plan.rounds):
                for index in [i for i in self._shuffled(turn) if i in held or not hold]:
                    rounds += self._guard(index, held, lambda i=index, t=turn: [self._round(i, launch, t, held)])
        finally:
            for process in held.values():
                process.quit()
        return rounds

    def _shuffled(self, turn: int | None = None) -> list[int]:
        """Return the models that play, in random order; in a turn that copies leave out, without them."""
        playing = self._playing()
        own = self._plan.control_rounds or self._plan.rounds
        if turn is not None and turn >= own:
            playing = [i for i in playing if self._c.original(i) == i]
        return self._c.shuffled(playing)

    def _prepare(self, indices: list[int]) -> dict[int, Process]:
        """Start, load and warm each model, one after the other, in the given order."""
        held: dict[int, Process] = {}
        for index in indices:
            self._guard(index, held, lambda i=index: self._ready(i, held))
        return held

    def _ready(self, index: int, held: dict[int, Process]) -> list[contract.Round]:
        held[index] = self._c.start(index)
        held[index].ask("load")
        held[index].ask("first")
        held[index].ask("warm", max_s=self._plan.warmup_s)
        return []

    def _round(self, index: int, launch: int, turn: int, held: dict[int, Process]) -> contract.Round:
        alone: dict[int, Process] = {}
        try:
            if index not in held:
                self._ready(index, alone)
            drift = self._settle()
            process = (held or alone)[index]
            answer = self._measure(process, self._taken[index])
            drift = max(drift, self._sentinel.drift())
        finally:
            for process in alone.values():
                process.quit()
        start = self._taken[index]
        self._taken[index] += answer["count"]
        self._waits[index] += answer.get("waits", 0)
        self._rows[index].extend([launch, start, self._taken[index], int(drift * 1e4)])
        return contract.Round(model=index, turn=turn, drift=round(drift, 4), **answer)

    def _measure(self, process: Process, begin: int) -> dict[str, Any]:
        """Let one model run its round: back to back, or a block of frames that arrive by the clock."""
        plan = self._plan
        if plan.period_ns:
            return process.ask("stream", frames=plan.frames, period_ns=plan.period_ns)
        return process.ask("round", duration_s=plan.round_s, minimum=plan.round_min, keep=True, begin=begin)

    def _settle(self) -> float:
        # The budget comes with time, so that a comparison that is soon decided is not spent waiting.
        come = min((time.monotonic() - self._began) / self._plan.max_timed_s, 1.0)
        left_s = self._plan.pause_budget_s * come - self._paused_s
        drift, paused = self._sentinel.settle(min(max(left_s, 0.0), 1.0))
        self._paused_s += paused
        return drift

    def _guard(self, index: int, held: dict[int, Process], body: Any) -> list[contract.Round]:
        try:
            done: list[contract.Round] = body()
        except Lost as lost:
            self._c.drop(index, "timed", lost)
            if index in held:
                held.pop(index).quit()
            return []
        return done

    def _write_frames(self, index: int) -> None:
        """Give a stream's frames their header, int64 (F, 3): number in its block, waited and inferred, ns."""
        stem = self._c.folder / f"m{index}"
        close(stem, "frames", self._taken[index], 3)
        close(stem, "jitter", self._waits[index], 1)


def write(folder: Path, index: int, taken: int, rows: array[int]) -> None:
    """Give a model's raw samples their header: int64 ns, and int64 (R, 4) rows of launch, start, stop, drift.

    Args:
        folder: of the job.
        index: the model's place in it.
        taken: samples that finished rounds counted.
        rows: flat rows of four: launch, start, stop, drift in 1e-4.
    """
    stem = folder / f"m{index}"
    close(stem, "latency", taken, 1)
    npy.write(stem.with_suffix(".rounds.npy"), "<i8", (len(rows) // 4, 4), rows.tobytes())


def close(stem: Path, name: str, taken: int, columns: int) -> None:
    """Make an array of what a model kept of `taken` rows; one column makes it flat.

    Args:
        stem: of the model's files.
        name: of the array.
        taken: rows that finished rounds counted.
        columns: of a row.
    """
    raw = stem.with_suffix(f".{name}.raw")
    if raw.exists():
        # Only what a finished round counted: a worker killed while writing may have left a piece behind.
        data = raw.read_bytes()[: taken * columns * 8]
        rows = len(data) // (columns * 8)
        npy.write(stem.with_suffix(f".{name}.npy"), "<i8", (rows,) if columns == 1 else (rows, columns), data)
        raw.unlink()
