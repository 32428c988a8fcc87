"""What the trainers of this folder share: one loop, one command line, and what is printed of every seed.

    EDGEWARD_MEDMNIST=FOLDER OMP_NUM_THREADS=1 python suites/models/breastmnist.py --seeds 3

trains with the seeds 7, 8 and 9, prints what each gives on the test split, and writes the model of the first one: never
the best of them, which would be chosen by the images that judge it. Data, input and task are the suite's own, so that a
model is fed in training as it is measured. The seeds are fixed; another processor still changes the last digits, and so
the trained weights. Needs `pip install 'edgeward[train]'`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from harness import lab, pixels
from harness.metrics import classification, segmentation
from harness.model import Answers, Reading, Samples, Suite, Variant
from harness.recipes import _training
from harness.recipes._inputs import prepare

HERE = Path(__file__).resolve().parent
FIRST_SEED: Final = 7
#: Images that go through a network at once where nothing is learned.
_BATCH: Final = 64
#: Metrics that are printed where the task has them.
_SAID: Final = ("accuracy", "sensitivity", "specificity", "quadratic_kappa", "dice", "iou", "nsd", "hausdorff_95")

Inputs = npt.NDArray[np.float32]
#: Prepared inputs and their truth, of the train split -> more of them.
More = Callable[[Inputs, npt.NDArray[np.int64]], tuple[Inputs, npt.NDArray[np.int64]]]
#: Trains a network in place, with prepared inputs and their truth.
Fit = Callable[[nn.Module, Inputs, npt.NDArray[np.int64], _training.Schedule], None]


def _fit(network: nn.Module, inputs: Inputs, truth: npt.NDArray[np.int64], schedule: _training.Schedule) -> None:
    _training.fit(network, inputs, truth, schedule, progress=lambda line: print(line, flush=True))


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a baseline is made.

    Attributes:
        suite: name of its suite file.
        make: returns the network, untrained.
        schedule: of the training; the seed of it is set for each training.
        more: images to learn from beside those of the train split, made of them; None for none.
        fit: the training; that of the recipes if not given.
    """

    suite: str
    make: Callable[[], nn.Module]
    schedule: _training.Schedule
    more: More | None = None
    fit: Fit = _fit


def main(baseline: Baseline) -> None:
    """Train with as many seeds as the command line says, and write the model of the first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings, of which the first one is kept")
    parser.add_argument("--skip", type=int, default=0, help="how many of them were done before")
    asked = parser.parse_args()
    suite = lab.read_suite(HERE.parent / f"{baseline.suite}.toml")
    for seed in range(FIRST_SEED + asked.skip, FIRST_SEED + asked.seeds):
        started = time.monotonic()
        network = trained(baseline, suite, seed)
        if seed == FIRST_SEED:
            written(network, suite, _own(suite).path)
        print(f"seed {seed}: {judged(network, suite)} ({time.monotonic() - started:.0f} s)", flush=True)


def written(network: nn.Module, suite: Suite, target: Path) -> None:
    """Write a network as the suite's baseline is fed."""
    _training.export_onnx(network, images(suite, "test")[0].shape[1:], target)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB", flush=True)


def trained(baseline: Baseline, suite: Suite, seed: int) -> nn.Module:
    """Return the network, trained on the train split; the weights of the last epoch, so that nothing is chosen.

    Args:
        baseline: how it is made.
        suite: its suite.
        seed: of the first weights, the order of images and their augmentation.
    """
    torch.manual_seed(seed)
    # Channels behind one another: the same network, trained in two thirds of the time on processors.
    network = baseline.make().to(memory_format=torch.channels_last)
    inputs, samples = images(suite, "train")
    truth = labels(samples)
    if baseline.more is not None:
        inputs, truth = baseline.more(inputs, truth)
    baseline.fit(network, inputs, truth, replace(baseline.schedule, seed=seed))
    return network.to(memory_format=torch.contiguous_format).eval()


def images(suite: Suite, split: str) -> tuple[Inputs, Samples]:
    """Return a split as the baseline takes it, (N, C, H, W), and as it is."""
    samples = lab.read_split(suite, split)
    spec = lab.input_of(suite, _own(suite))
    return prepare(pixels.converted(samples.images, spec), spec), samples


def labels(samples: Samples) -> npt.NDArray[np.int64]:
    """Return the truth, (N,) classes or (N, H, W) masks."""
    return samples.labels if samples.masks is None or len(samples.labels) else samples.masks.astype(np.int64)


def judged(network: nn.Module, suite: Suite) -> str:
    """Return in words what a network is worth on the test split, by the metrics that judge it on a device."""
    inputs, samples = images(suite, "test")
    with torch.inference_mode():
        parts = [network(torch.from_numpy(inputs[at : at + _BATCH])).numpy() for at in range(0, len(inputs), _BATCH)]
    answers = Answers(np.concatenate(parts), Reading(kind="logits"))
    metric = {"classification": classification, "segmentation": segmentation}[suite.task.kind]
    found = dict(metric.evaluate(answers, samples, suite.task).estimates)
    others = [name for name in samples.classes[1:] if name != suite.task.positive] if metric is segmentation else []
    for name in others:
        task = replace(suite.task, positive=name)
        found[f"dice of {name}"] = metric.evaluate(answers, samples, task).estimates["dice"]
    said = [
        f"{name} {found[name].point:.4f} [{found[name].low:.4f}, {found[name].high:.4f}]"
        for name in (*_SAID, *(f"dice of {name}" for name in others))
        if name in found
    ]
    if metric is classification:
        tasks = [replace(suite.task, positive=name) for name in samples.classes]
        each = [metric.evaluate(answers, samples, task).estimates["auroc"].point for task in tasks]
        said.append(f"mean AUROC of one class against the rest {np.mean(each):.4f}")
    return ", ".join(said)


def _own(suite: Suite) -> Variant:
    return next(variant for variant in suite.variants if variant.id == suite.baseline)
