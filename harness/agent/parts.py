"""From image to answer: what the model's user waits for beside the inference, each part timed on its own.

A short pass of its own, in a process of its own: nothing here comes near the timed loop of the inference.
"""

from __future__ import annotations

import gc
import time
from array import array
from typing import Any, Callable


def chained(
    prepare: Callable[[Any], Any], call: Callable[[Any], Any], finish: Callable[[Any], Any], frames: list[Any],
    duration_ns: int, minimum: int,
) -> array[int]:  # fmt: skip
    """Take `frames` in turn through all three parts for `duration_ns`, at least `minimum` times.

    Args:
        prepare: makes an image an input.
        call: runs one inference.
        finish: makes outputs an answer.
        frames: images, taken in turn.
        duration_ns: of the pass.
        minimum: fewest images.

    Returns:
        Flat rows of three, ns by the monotonic clock: preparing, inferring, finishing; their sum is end to end.
    """
    clock, rows, turn = time.monotonic_ns, array("q"), 0
    gc.disable()
    try:
        end = clock() + duration_ns
        while True:
            frame = frames[turn % len(frames)]
            began = clock()
            ready = prepare(frame)
            prepared = clock()
            outputs = call(ready)
            inferred = clock()
            finish(outputs)
            ended = clock()
            rows.extend((prepared - began, inferred - prepared, ended - inferred))
            turn += 1
            if ended >= end and turn >= minimum:
                return rows
    finally:
        gc.enable()


def finishing(kind: str, answer: str, result: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what makes a model's outputs an answer: a label with probabilities, several of them, or a mask.

    Args:
        kind: of the task.
        answer: what the numbers stand for, see `harness.agent.contract.Model`.
        result: returns the output that is judged as float32 without its batch axis.
    """
    import numpy as np

    def label(outputs: Any) -> Any:
        values = np.asarray(result(outputs)).reshape(-1)
        if answer in ("labels", "sigmoid", "probabilities"):
            return int(values.argmax()), values
        powers = np.exp(values - values.max())
        return int(values.argmax()), powers / powers.sum()

    def mask(outputs: Any) -> Any:
        values = result(outputs)
        maps = values[None] if values.ndim == 2 else values
        # One map a class, before or behind the pixels' axes: there are fewer classes than pixels in a row.
        axis = 0 if maps.shape[0] <= maps.shape[-1] else -1
        if maps.shape[axis] == 1:
            return maps.squeeze(axis) > (0.0 if answer == "logits" else 0.5)
        return maps.argmax(axis)

    def several(outputs: Any) -> Any:
        values = np.asarray(result(outputs)).reshape(-1)
        shares = 1 / (1 + np.exp(-values)) if answer == "logits" else values
        return shares > 0.5, shares

    if kind == "multilabel":
        return several
    return mask if kind == "segmentation" else label
