"""Steps of training on the device: a program of torch learns from batches, and each step is timed.

One process makes all steps of a launch and prints one JSON object. It runs under the device's own Python with that
Python's own torch (`python3 -I`, without -S). The program is what `torch.jit.save` wrote; it gives a batch's logits.
What a step is: gradients to zero, forward, cross-entropy, backward, and the optimiser's change of the weights.
"""

from __future__ import annotations

import fcntl
import gc
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from harness.agent import contract, energy, limits, memory
from harness.agent.sentinel import kernel_ns

#: Words of torch's RuntimeError where it got no memory on a CPU.
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Refused(Exception):
    """No number may be taken: `kind` is a key of `contract.REMEDIES`, or "torch" or "diverged"."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text
        super().__init__(text)


def main(arguments: list[str]) -> int:
    """Print what this Python has of torch, or make the steps of the job folder `arguments[0]` and print their times."""
    # A library that prints while it is imported must not garble the answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer = _job(Path(arguments[0])) if arguments else {**_facts(_torch()), "kills": limits.kills()}
    except Refused as refused:
        answer = {"refused": refused.kind, "text": refused.text}
    with answers:
        json.dump(answer, answers)
    return 0


def _job(folder: Path) -> dict[str, Any]:
    wanted = contract.LocalStep(**json.loads((folder / contract.STEP_FILE).read_text()))
    with (folder / "lock").open("w") as lock:
        # A command that is repeated over a new connection must not run beside its predecessor.
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return _Launch(wanted, folder).run()
        except MemoryError as error:
            raise Refused("memory", f"out of memory: {error}".rstrip(": ")) from error
        except RuntimeError as error:
            text = " ".join(str(error).split())[-300:]
            raise Refused("memory" if any(one in text for one in _NO_MEMORY) else "inference", text) from error


def _torch() -> Any:
    try:
        import numpy  # noqa: F401 -- torch gives no arrays without it
        import torch
    except Exception as error:  # whatever an import raises is the answer
        raise Refused("torch", " ".join(f"{type(error).__name__}: {error}".split())[:300]) from error
    return torch


def _facts(torch: Any) -> dict[str, Any]:
    version = sys.version_info
    return {"torch": str(torch.__version__), "python": f"{version[0]}.{version[1]}.{version[2]}"}


class _Launch:
    """One process's steps.

    Args:
        wanted: what is asked for.
        folder: of the job, where the weights are left.
    """

    def __init__(self, wanted: contract.LocalStep, folder: Path) -> None:
        torch = self._torch = _torch()
        import numpy

        self._numpy, self._wanted, self._folder = numpy, wanted, folder
        self._kernels = [kernel_ns()]
        self._before = memory.read()
        torch.set_num_threads(wanted.threads)
        try:
            self._program = torch.jit.load(wanted.program)
        except RuntimeError as error:
            text = " ".join(str(error).split())[:300]
            raise Refused("model", f"torch {torch.__version__} cannot load the program: {text}") from error
        weights = dict(self._program.named_parameters())
        for tensor in weights.values():
            tensor.requires_grad_(False)
        self._learns = {name: weights[name].requires_grad_(True) for name in wanted.learns}
        if wanted.start:
            self._begin_with(wanted.start)
        makers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self._optimiser = makers[wanted.optimiser](list(self._learns.values()), lr=wanted.learning_rate)
        self._inputs = torch.from_numpy(numpy.load(wanted.inputs))
        self._labels = torch.from_numpy(numpy.load(wanted.labels))
        self._turn = 0

    def run(self) -> dict[str, Any]:
        """Make all steps and return what they took, what was learnt, and what is left where."""
        wanted = self._wanted
        loaded, before = memory.read(), self._loss()
        losses = [self._step()[1] for _ in range(wanted.warmup)]
        taken = []
        for _ in range(wanted.steps):
            ns, loss = self._step()
            taken.append(ns)
            losses.append(loss)
        peak, after = memory.read(), self._loss()
        self._kernels.append(kernel_ns())
        weights = {name: tensor.detach().numpy() for name, tensor in self._learns.items()}
        self._numpy.savez(self._folder / contract.WEIGHTS_FILE, **weights)
        found = {
            **_facts(self._torch), "ns": taken, "losses": losses, "loss_before": before, "loss_after": after,
            "memory": {"before": self._before, "loaded": loaded, "after": peak}, "kernel_ns": self._kernels,
        }  # fmt: skip
        return {**found, **({"energy": self._energy()} if wanted.meter else {})}

    def _begin_with(self, file: str) -> None:
        with self._torch.no_grad(), self._numpy.load(file) as start:
            for name, tensor in self._learns.items():
                tensor.copy_(self._torch.from_numpy(start[name]))

    def _step(self) -> tuple[int, float]:
        """Make one step and return its time, ns, and its loss, which is looked at behind the clock."""
        x, labels = self._batch()
        forward, entropy, optimiser = self._program, self._torch.nn.functional.cross_entropy, self._optimiser
        gc.disable()
        try:
            started = time.monotonic_ns()
            optimiser.zero_grad(set_to_none=True)
            loss = entropy(forward(x), labels)
            loss.backward()
            optimiser.step()
            ns = time.monotonic_ns() - started
        finally:
            gc.enable()
        value = float(loss.detach())
        if not math.isfinite(value):
            text = f"the training diverged: the loss of step {self._turn} is {value}"
            raise Refused("diverged", f"{text} at a learning rate of {self._wanted.learning_rate:g}")
        return ns, value

    def _batch(self) -> tuple[Any, Any]:
        size = self._wanted.batch
        begin = self._turn * size % len(self._labels)
        self._turn += 1
        return self._inputs[begin : begin + size], self._labels[begin : begin + size]

    def _loss(self) -> float:
        """Return the mean loss of all images that are here, without learning from them."""
        size, total = self._wanted.batch, 0.0
        with self._torch.no_grad():
            for begin in range(0, len(self._labels), size):
                labels = self._labels[begin : begin + size]
                given = self._program(self._inputs[begin : begin + size])
                total += float(self._torch.nn.functional.cross_entropy(given, labels)) * len(labels)
        return total / len(self._labels)

    def _energy(self) -> dict[str, Any]:
        """Return the fields of an energy pass whose inferences are steps."""
        meter = self._wanted.meter or {}
        try:
            answer: dict[str, Any] = contract.plain(energy.measure(meter, self._wanted.energy_s, self._spin))
        except energy.Refused as refused:
            return {"absent": str(refused)}
        return answer

    def _spin(self, duration_s: float) -> dict[str, Any]:
        """Make steps for so long, for a meter's window; `count` is of steps."""
        started, count = time.monotonic_ns(), 0
        while time.monotonic_ns() - started < duration_s * 1e9:
            self._step()
            count += 1
        return {"count": count, "ns": time.monotonic_ns() - started}
