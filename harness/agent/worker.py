"""One process that holds one model: it loads, infers and answers, and does nothing unless the conductor asks.

Requests and answers are JSON lines on standard input and on the descriptor that was standard output; runtimes that
print to standard output are redirected to the log, so they cannot garble an answer.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from array import array
from importlib import import_module
from pathlib import Path
from typing import Any, Callable

from harness.agent import arrays, arrivals, contract, images, memory, operators, parts
from harness.agent.contract import (
    ROUND_QUANTILE,
    STEADY,
    TIMED_INPUTS,
    TRACED_BEFORE,
    TRACED_IN_ALL,
    TRACED_MIN,
    TRACED_NODES,
    VARYING_INPUTS,
)

#: Requests that may fail because of the accelerator asked for, as well as of the model.
_LOADING = ("load", "placement")


class Worker:
    """Answers the conductor's requests for one model of a job."""

    def __init__(self, job: Path, index: int) -> None:
        self._job = contract.job(json.loads((job / contract.JOB_FILE).read_text()))
        self._model = self._job.models[index]
        self._stem = job / f"m{index}"
        sys.path.insert(0, self._model.runtime_path)
        self._runtime = import_module("harness.agent.runtimes." + self._model.runtime)
        import numpy

        self._numpy = numpy
        self.facts = {**self._runtime.facts(), "numpy": arrays.numpy_version(self._model.runtime_path)}
        self.accelerator: str = self._job.accelerator
        self._batch: int = self._job.batch
        self._spec = self._model.input or self._job.input
        self._session: Any = None
        self._bound: list[Any] = []
        self._turn = 0

    def load(self) -> dict[str, Any]:
        """Create the session, timed alone; then make the inputs ready, untimed."""
        started = time.monotonic_ns()
        self._session = self._opened()
        elapsed = time.monotonic_ns() - started
        # What is loaded stays: collecting once here spares every round the search through it.
        gc.collect()
        gc.freeze()
        self._make_ready(TIMED_INPUTS)
        return {"ns": elapsed, "accelerator": self._session.accelerator, "images": len(self._pixels())}

    def placement(self) -> dict[str, Any]:
        """Return what runs the nodes of the model, seen in one inference of a session that is never timed."""
        trace, wanted = str(self._stem) + ".trace", self.accelerator
        self._session = self._opened(trace)
        self._make_ready(1)
        self._session.call(self._bound[0])
        return {"wanted": wanted, "offered": self._runtime.offers(), "nodes": self._session.nodes()}

    def profile(self, duration_s: float) -> dict[str, Any]:
        """Return what each operator takes, seen in sessions that are never timed, or why that is not known."""
        if not getattr(self._runtime, "PROFILES", False):
            return {"absent": f"no times of single operators are read from {self.facts['runtime']}"}
        trace = str(self._stem) + ".trace"
        # How much one inference notes is seen before many are traced, because all of it is kept in memory.
        self._session = self._opened(trace)
        self._make_ready(1)
        self._session.call(self._bound[0])
        nodes = max(sum(self._session.nodes().values()), 1)
        if nodes > TRACED_NODES:
            return {"absent": f"an inference runs {nodes} nodes, and a trace of more than {TRACED_NODES} is too large"}
        most = max(TRACED_IN_ALL // nodes - TRACED_BEFORE, TRACED_MIN)
        self._session, self._bound = None, []
        self._session = self._opened(trace)
        self._make_ready(VARYING_INPUTS if self._model.paths else TIMED_INPUTS)
        typical = max(median(self._timed(0, TRACED_BEFORE)), 1.0)
        wanted = int(min(max(duration_s * 1e9 / typical, TRACED_MIN), most))
        samples = self._timed(0, wanted)
        # Other work only ever adds time. Where the time depends on the image, the slower half are other images.
        most_ns = max(samples) if self._model.paths else median(samples)
        counted = [ns <= most_ns for ns in samples]
        kept = [ns for ns, counts in zip(samples, counted) if counts]
        found: dict[str, Any] = contract.plain(operators.summed(self._session.operators(counted), kept))
        return found

    def first(self) -> dict[str, Any]:
        """Run the very first inference of this process."""
        started = time.monotonic_ns()
        self._session.call(self._bound[0])
        return {"ns": time.monotonic_ns() - started}

    def warm(self, max_s: float) -> dict[str, Any]:
        """Infer until two windows in a row agree within 2 %, at most `max_s`; these samples are kept apart."""
        if self._model.paths:
            self._make_ready(VARYING_INPUTS)
        deadline = time.monotonic_ns() + int(max_s * 1e9)
        taken, before = array("q"), 0.0
        while time.monotonic_ns() < deadline:
            window = self._timed(int(max_s * 1e8), 3)
            taken.extend(window)
            now = median(window)
            if before and abs(now / before - 1) < STEADY:
                return {"count": len(taken), "ns": sum(taken), "steady": True}
            before = now
        return {"count": len(taken), "ns": sum(taken), "steady": False}

    def round(self, duration_s: float, minimum: int, keep: bool, begin: int = 0) -> dict[str, Any]:
        """Infer for `duration_s` and at least `minimum` times; samples to keep go to the model's own file.

        Args:
            duration_s: of the round.
            minimum: fewest inferences.
            keep: whether the samples are kept.
            begin: how many were kept before, in all launches: an image follows the one before it.
        """
        if self._model.paths:
            self._turn = begin
        samples = self._timed(int(duration_s * 1e9), minimum)
        if keep:
            self._keep("latency", samples)
        known = {"count": len(samples), "level_ns": self._level(samples), "ns": sum(samples)}
        return {**known, **({"images": len(self._bound)} if self._model.paths and self._batch == 1 else {})}

    def each(self) -> dict[str, Any]:
        """Infer every image that a timed pass would, holding one at a time: one of them takes the most memory."""
        for row in self._rows(VARYING_INPUTS if self._model.paths else TIMED_INPUTS):
            self._session.call(self._session.bind(next(self._inputs(self._pixels()[row : row + 1]))))
        return {}

    def spin(self, duration_s: float) -> dict[str, Any]:
        """Infer for `duration_s` without keeping samples, for a meter's window; `count` is of images."""
        started = time.monotonic_ns()
        samples = self._timed(int(duration_s * 1e9), 1)
        return {"count": len(samples) * self._batch, "ns": time.monotonic_ns() - started}

    def stream(self, frames: int, period_ns: int) -> dict[str, Any]:
        """Let a block of frames arrive; what became of them goes to the model's own files."""
        found, self._turn = arrivals.stream(self._session.call, self._bound, self._turn, period_ns, frames)
        latencies = found.latencies
        for name, samples in (("latency", latencies), ("frames", found.taken), ("jitter", found.jitter)):
            self._keep(name, samples)
        known = {"count": len(latencies), "level_ns": self._level(latencies), "ns": sum(found.taken[2::3])}
        return {**known, "arrived": frames, "waits": len(found.jitter)}

    def parts(self, duration_s: float, minimum: int) -> dict[str, Any]:
        """Take images from pixels to answers, each part timed; this session is used for nothing else."""
        np, pixels = self._numpy, self._pixels()
        chosen = self._rows(VARYING_INPUTS if self._model.paths else TIMED_INPUTS)
        frames = [np.array(pixels[i : i + 1]) for i in chosen]
        finish = parts.finishing(self._job.task, self._model.answer, self._result)
        duration_ns, session = int(duration_s * 1e9), self._session
        rows = parts.chained(
            lambda frame: session.bind(next(self._inputs(frame))), session.call, finish, frames, duration_ns, minimum
        )
        self._save("parts", np.array(rows, np.int64).reshape(-1, 3))
        return {"count": len(rows) // 3, "ns": sum(rows)}

    def accuracy(self) -> dict[str, Any]:
        """Infer every sample of the split and write the raw outputs, float32, in the split's order."""
        np, pixels = self._numpy, self._pixels()
        part, rows = self._stem.with_suffix(".part"), None
        paths: list[int] = []
        started, done = time.monotonic_ns(), 0
        for begin in range(0, len(pixels), 64):
            for x in self._inputs(pixels[begin : begin + 64]):
                outputs = self._session.call(self._session.bind(x))
                row = np.asarray(self._result(outputs), dtype=np.float32)
                paths.append(self._path(outputs))
                if rows is None:
                    # Maps of a large split are more than a small device can hold: they go to the disk as they come.
                    rows = np.lib.format.open_memmap(part, "w+", np.float32, (len(pixels), *row.shape))
                if row.shape != rows.shape[1:]:
                    raise ValueError(f"output {done} has the shape {row.shape}, the first has {rows.shape[1:]}")
                rows[done] = row
                done += 1
        elapsed = time.monotonic_ns() - started
        if rows is None:
            raise images.Misfit("the data has no samples")
        rows.flush()
        part.replace(self._stem.with_suffix(".outputs.npy"))
        known = {"samples": done, "ns": elapsed, "quantised": self._session.quantised()}
        return {**known, **({"paths": paths} if self._model.paths else {})}

    def memory(self) -> dict[str, Any]:
        """Return this process's memory, in bytes."""
        return dict(memory.read())

    def _keep(self, name: str, samples: array[int]) -> None:
        with self._stem.with_suffix(f".{name}.raw").open("ab") as file:
            samples.tofile(file)

    def _save(self, name: str, values: Any) -> None:
        part = self._stem.with_suffix(".part")
        with part.open("wb") as file:
            self._numpy.save(file, values)
        part.replace(self._stem.with_suffix(f".{name}.npy"))

    def _level(self, samples: array[int]) -> float:
        quantile = max(ROUND_QUANTILE, (2 / 3) / (len(samples) + 1 / 3))
        return float(self._numpy.quantile(samples, quantile, method="median_unbiased"))

    def _make_ready(self, inputs: int) -> None:
        np, pixels = self._numpy, self._pixels()
        self._fit(pixels)
        if self._batch == 1:
            chosen = [pixels[i : i + 1] for i in self._rows(inputs)]
            self._bound = [self._session.bind(x) for one in chosen for x in self._inputs(one)]
            return
        # As many images as without batches, but whole batches; a small split goes round.
        wanted = self._batch * -(-inputs // self._batch)
        singles = list(self._inputs(pixels[np.arange(min(wanted, len(pixels)))]))
        batches = range(0, wanted, self._batch)
        rows = [[singles[i % len(singles)] for i in range(first, first + self._batch)] for first in batches]
        self._bound = [self._session.bind(np.concatenate(row)) for row in rows]

    def _rows(self, most: int) -> list[int]:
        """Return which images are timed: the first ones, or some of all where the time depends on the image."""
        images = len(self._pixels())
        if not self._model.paths:
            return list(range(min(images, most)))
        spaced: list[int] = self._numpy.linspace(0, images - 1, min(images, most)).astype(int).tolist()
        return spaced

    def _pixels(self) -> Any:
        return self._numpy.load(self._spec.path, mmap_mode="r")

    def _fit(self, pixels: Any) -> None:
        sample = images.prepare(pixels[:1], self._spec)
        if sample.shape[0] == 0:
            raise images.Misfit("the data has no samples")
        shape, single = self._session.shape, getattr(self._session, "one_at_a_time", "")
        wrong = images.misfit(shape, sample.shape) or images.unbatched(shape, self._batch, one_at_a_time=single)
        if wrong:
            raise images.Misfit(wrong)

    def _inputs(self, pixels: Any) -> Any:
        """Yield ready inputs of shape (1, ...) in the model's own type."""
        spec, dtype = self._spec, self._session.dtype
        x = images.prepare(pixels, spec)
        if self._numpy.issubdtype(dtype, self._numpy.integer):
            scale, zero_point = self._session.quantization
            if not scale:
                scale, zero_point = self._model.input_scale, int(self._model.input_zero_point)
            x = images.quantize(x, pixels, spec, dtype, scale, zero_point)
        x = x.astype(dtype, copy=False)
        return (x[i : i + 1] for i in range(len(x)))

    def _opened(self, trace: str = "") -> Any:
        constants = {"constants": self._model.constants} if self._model.constants else {}
        return self._runtime.Session(self._model.path, self._job.threads, self.accelerator, trace, **constants)

    def _result(self, outputs: Any) -> Any:
        """Return the output that is judged, as float32."""
        if self._model.output or self._model.labels:
            values = self._session.result(outputs, self._model.output, self._model.labels)
        else:
            values = self._session.result(outputs)
        if not self._model.output_scale:
            return values
        float32 = self._numpy.float32
        return (values - float32(self._model.output_zero_point)) * float32(self._model.output_scale)

    def _path(self, outputs: Any) -> int:
        """Return which way an image took, a bit for each branch."""
        said = [self._session.result(outputs, name).item() for name in self._model.paths or ()]
        return sum(bool(one) << place for place, one in enumerate(said))

    def _timed(self, duration_ns: int, minimum: int) -> array[int]:
        samples, self._turn = timed(self._session.call, self._bound, self._turn, duration_ns, minimum)
        return samples


def timed(
    call: Callable[[Any], Any], inputs: list[Any], turn: int, duration_ns: int, minimum: int
) -> tuple[array[int], int]:
    """Call `call` on `inputs` in turn for `duration_ns` and at least `minimum` times.

    Returns the durations, in ns by the monotonic clock, and the next turn. The loop holds nothing but the call, two
    clock readings and an append; the garbage collector rests meanwhile.

    Args:
        call: runs one inference on a ready input.
        inputs: ready inputs.
        turn: of `inputs` to begin with.
        duration_ns: of the round.
        minimum: fewest inferences.
    """
    clock, samples, size = time.monotonic_ns, array("q"), len(inputs)
    append = samples.append
    gc.disable()
    try:
        end = clock() + duration_ns
        while True:
            x = inputs[turn % size]
            start = clock()
            call(x)
            stop = clock()
            append(stop - start)
            turn += 1
            if stop >= end and len(samples) >= minimum:
                return samples, turn
    finally:
        gc.enable()


def median(samples: array[int]) -> float:
    """Return the median without numpy."""
    ordered, middle = sorted(samples), len(samples) // 2
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def main(arguments: list[str]) -> int:
    """Serve model number `arguments[1]` of the job directory `arguments[0]` until asked to quit."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        worker = Worker(Path(arguments[0]), int(arguments[1]))
    except Exception as error:  # noqa: BLE001  whatever a runtime raises is an answer for the conductor
        _answer(answers, {"error": "runtime", "message": _words(error)})
        return 0
    _answer(answers, {"ready_ns": time.monotonic_ns(), "facts": worker.facts})
    for line in sys.stdin:
        request = json.loads(line)
        verb = request.pop("do")
        if verb == "quit":
            # Tearing a runtime down takes longer than a round; everything that counts is written.
            os._exit(0)
        try:
            _answer(answers, getattr(worker, verb)(**request))
        except Exception as error:  # noqa: BLE001  the same
            kind = _kind(error, "accelerator" if verb in _LOADING and worker.accelerator else verb)
            _answer(answers, {"error": kind, "message": _words(error)})
    return 0


def _kind(error: BaseException, verb: str) -> str:
    """Return what happened to a model, as the host's remedies are sorted; runtimes say in words that memory ran out."""
    if isinstance(error, images.Misfit):
        return "input"
    words = str(error).lower()
    if isinstance(error, MemoryError) or "bad_alloc" in words or ("alloc" in words and "memory" in words):
        return "memory"
    if isinstance(error, OSError):
        return "disk"
    return {"load": "model", "accelerator": "accelerator"}.get(verb, "inference")


def _answer(answers: Any, fields: dict[str, Any]) -> None:
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def _words(error: BaseException) -> str:
    """Return an error in one printable line: what a damaged file made a runtime say may hold anything."""
    said = "".join(letter if letter.isprintable() else " " for letter in f"{type(error).__name__}: {error}")
    return " ".join(said.split())[:600]
