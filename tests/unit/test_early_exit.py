"""`early_exit`: which images leave, what the three files answer, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from devices.virtual.requirements import lacking, require
from harness import formats
from harness.agent import contract
from harness.errors import RecipeError
from harness.model import InputSpec, Reading, Samples, Task
from harness.ports.recipes import Build
from harness.recipes import _training, early_exit, prune_magnitude
from harness.recipes._inputs import prepare
from harness.results import events, runs
from harness.results.job_log import JobLog
from harness.vocabulary import PATHS

SPEC = InputSpec(layout="NCHW", scale=1 / 255, mean=(0.5,), std=(0.25,))

if not lacking("extra:train=torch"):
    import torch
    from torch import nn


def mixed(split: str) -> Samples:
    """Return 120 images of 16x16: half are dark (0) or bright (1), the others brighter above (0) or below (1)."""
    rng = np.random.default_rng(["train", "validation", "test"].index(split))
    labels = np.arange(120, dtype=np.int64) % 2
    images = rng.normal(130, 8, (120, 16, 16, 1))
    for image, label, easy in zip(images, labels, np.arange(120) % 4 < 2, strict=True):
        if easy:
            image += 90 if label else -90
        else:
            image[8 * label : 8 * label + 8] += 40
    return Samples(np.clip(images, 0, 255).astype(np.uint8), labels, ("dark", "bright"), "made here", synthetic=True)


def fed(split: str) -> npt.NDArray[np.float32]:
    return prepare(mixed(split).images, SPEC)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("extra:train=torch")
    torch.manual_seed(3)
    filters = [nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1)]
    network = nn.Sequential(*filters, nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    schedule = _training.Schedule(epochs=25, learning_rate=1e-2, batch=24, augment=False)
    _training.fit(network, fed("train"), mixed("train").labels, schedule)
    path = tmp_path_factory.mktemp("parent") / "parent.onnx"
    _training.export_onnx(network, (1, 16, 16), path)
    return path


def job(parent: Path, target: Path) -> Build:
    return Build(parent, target, mixed, SPEC, Task("classification", "bright"), Reading(kind="logits"))


def run(file: Path, split: str = "validation") -> list[npt.NDArray[Any]]:
    """Return every output of a file, (N, ...) each, of single images."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: image[None]}) for image in fed(split)]
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def built(parent: Path, folder: Path, exit_: Any, **options: Any) -> tuple[Path, dict[str, Any]]:
    target = folder / f"{exit_}.onnx"
    asked = early_exit.Options(exit=exit_, margin=0.02, node="/1/Relu", **options)
    return target, dict(early_exit.build(job(parent, target), asked))


def test_easy_images_leave_early_and_the_others_get_the_answer_of_the_whole_network(
    parent: Path, tmp_path: Path
) -> None:
    cascade, found = built(parent, tmp_path, "cascade")
    first, _ = built(parent, tmp_path, "first")
    last, _ = built(parent, tmp_path, "last")
    answers, sure = run(cascade)
    whole, (alone,) = run(parent)[0], run(first)
    left = sure[:, 0]
    np.testing.assert_allclose(answers[left], alone[left], atol=1e-4)
    np.testing.assert_allclose(answers[~left], whole[~left], atol=1e-4)
    forced, never = run(last)
    np.testing.assert_allclose(forced, whole, atol=1e-4)
    assert not never.any()
    assert left.mean() == pytest.approx(found["left_early"], abs=1e-4)
    assert 0.4 < left.mean() < 0.9, "all easy images leave, and some others stay"
    labels = mixed("test").labels
    assert np.mean(run(cascade, "test")[0].argmax(1) == labels) > 0.9
    assert np.mean(run(first, "test")[0].argmax(1) == labels) < 0.9


def test_the_threshold_is_chosen_on_images_that_are_not_measured(parent: Path, tmp_path: Path) -> None:
    read: list[str] = []

    def samples(split: str) -> Samples:
        read.append(split)
        return mixed(split)

    options = early_exit.Options(node="/1/Relu", margin=0.02)
    found = dict(early_exit.build(replace(job(parent, tmp_path / "x.onnx"), samples=samples), options))
    assert set(read) == {"train", "validation"}
    assert (found["split"], found["images"]) == ("validation", 120)
    assert found["parent"] - found["cascade"] <= 0.02
    assert 0 < found["threshold"] < 1


def test_same_inputs_and_seed_give_the_same_file(parent: Path, tmp_path: Path) -> None:
    one, two = (built(parent, tmp_path / name, "cascade")[0] for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_without_a_node_the_exit_is_where_a_mean_image_costs_least(parent: Path, tmp_path: Path) -> None:
    found = dict(early_exit.build(job(parent, tmp_path / "x.onnx"), early_exit.Options(margin=0.02)))
    assert set(found["exits"]) == {"/1/Relu", "/3/Relu", "/5/Relu"}
    assert found["multiplications_of_mean_image"] < 1


def test_a_file_with_a_branch_says_what_it_answers_and_which_way_an_image_went(parent: Path, tmp_path: Path) -> None:
    cascade, _ = built(parent, tmp_path, "cascade")
    file = formats.read(cascade)
    (answer,) = file.outputs
    assert (answer.name, answer.kind, file.paths) == ("logits", "logits", ("exit/is_sure",))
    assert file.operators["Conv"] == 3
    assert (file.macs or 0) > (formats.read(parent).macs or 0)


def test_what_has_no_meaning_is_refused_with_the_reason(parent: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.onnx"
    with pytest.raises(RecipeError, match=r"no.* behind a node 'conv9'.*/1/Relu \(\d+%\), /3/Relu"):
        early_exit.build(job(parent, target), early_exit.Options(node="conv9"))
    with pytest.raises(RecipeError, match="answers with sigmoid, and an early exit needs a number for each class"):
        early_exit.build(replace(job(parent, target), reading=Reading(kind="sigmoid")), early_exit.Options())
    wrong = replace(mixed("train"), labels=1 - mixed("train").labels)
    confused = replace(job(parent, target), samples=lambda split: wrong if split == "train" else mixed(split))
    with pytest.raises(RecipeError, match=r"no image .* can leave parent.onnx early.*widen `margin`"):
        early_exit.build(confused, early_exit.Options(node="/1/Relu", margin=0.0))
    cascade, _ = built(parent, tmp_path, "cascade")
    with pytest.raises(RecipeError, match=r"has a branch .*If.* last in the chain"):
        prune_magnitude.build(job(cascade, target), prune_magnitude.Options())
    assert not target.exists()


def test_the_device_says_which_way_each_image_went_and_times_them_in_order(parent: Path, tmp_path: Path) -> None:
    cascade, _ = built(parent, tmp_path, "cascade")
    np.save(tmp_path / "images.npy", mixed("test").images)
    packages = str(Path(onnxruntime.__file__).parents[1])
    models = [
        contract.Model("whole", str(parent), "onnxruntime", packages),
        contract.Model("cascade", str(cascade), "onnxruntime", packages, output="logits", paths=["exit/is_sure"]),
    ]
    plan = contract.Plan(1, 1, True, 2, 2, 120.0, warmup_s=0.05, round_s=0.01, round_min=5, rounds=3, max_timed_s=60.0)
    images = contract.Input(str(tmp_path / "images.npy"), "NCHW", 1 / 255, [0.5], [0.25])
    job = contract.Job(1, models, 1, images, plan)
    (tmp_path / contract.JOB_FILE).write_text(json.dumps(contract.plain(job)))
    agent = Path(contract.__file__).with_name("__main__.py")
    subprocess.run([sys.executable, "-I", str(agent), "run", str(tmp_path)], check=True, timeout=300)
    lines = (tmp_path / contract.EVENTS_FILE).read_bytes().splitlines()
    log = JobLog(events=[events.parse(line, device="here") for line in lines])
    assert log.one(contract.Done).alive == [0, 1]
    ways = run(cascade, "test")[1][:, 0].astype(int).tolist()
    assert runs._ways(1, log) == ways
    assert runs._paths(0, log) == {}
    kept = runs._paths(1, log)[PATHS]
    assert kept["timed"] == ways, "a split of 120 images is timed wholly"
    assert kept["shares"] == pytest.approx({"0": 1 - np.mean(ways), "1": np.mean(ways)})
    counts = [one.round.count for one in log.rounds_of(1)]
    assert len(np.load(tmp_path / "m1.latency.npy")) == sum(counts)
    assert {one.round.images for one in log.rounds_of(1)} == {120}
    assert {one.round.images for one in log.rounds_of(0)} == {None}
