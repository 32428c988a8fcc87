"""An operating point from suite to store: fixed on the validation split, used unchanged for every model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from harness import lab
from harness.errors import HarnessError, LabError
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Run
from harness.store import Store
from tests import labs
from tests import small_models as small

pytestmark = pytest.mark.usefixtures("no_jobs")
CLASSES = ("well", "ill")


def brightness(path: Path, slope: float) -> None:
    """Write a model whose one output is a probability that grows with the mean of the image."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "slope"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["logits"]),
    ]
    small.save(path, nodes, [small.entrance_of()], {"slope": np.array([[slope]], np.float32)})


def images(levels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images of some brightness, each with a pattern of its own: none is like another one."""
    patterns = rng.normal(0, 25, (len(levels), small.SIZE, small.SIZE))
    return np.clip(levels[:, np.newaxis, np.newaxis] + patterns, 0, 255).astype(np.uint8)


def a_lab(folder: Path, workdir: Path, *, same: bool = False) -> Path:
    """Write a lab whose ill images are brighter, around a level that one half of the probability does not part."""
    rng = np.random.default_rng(3)
    labels = np.arange(60) % 2
    test, val = (images(rng.normal(100 + 30 * labels, 20), rng) for _ in range(2))
    suites = folder / "suites"
    for name, slope in (("base", 4.0), ("weaker", 3.0)):
        brightness(suites / "models" / f"{name}.onnx", slope)
    np.savez(
        suites / "data.npz",
        test_images=test,
        test_labels=labels,
        val_images=test if same else val,
        val_labels=labels,
        test_site=np.arange(60) % 3,
        val_site=np.zeros(60, np.int64),
    )
    text = labs.suite_toml(
        data=labs.npz(classes=CLASSES) + '\nsubgroup = "site"',
        normal="",
        positive="ill",
        load="max_duration_s = 1",
        model="models/base.onnx",
        more=labs.variant("weaker", model="models/weaker.onnx"),
    )
    text = text.replace('positive = "ill"', 'positive = "ill"\noperating_point = { sensitivity = 0.9 }')
    (suites / "small.toml").write_text(text)
    small.write_device(folder, "here", workdir=workdir)
    return suites / "small.toml"


def measured(folder: Path, suite: Path) -> tuple[dict[str, Run], list[HarnessError | None], list[str]]:
    cases = lab.cases(lab.read_suite(suite), lab.select(folder, ["here"]))
    store = Store(f"sqlite:///{folder}/results.sqlite")
    said: list[str] = []
    campaign = CampaignRunner(cases, store, Settings("pytest", lambda _, text: said.append(text), quick=True))
    errors = [campaign.future(case).result(180).error for case in cases]
    campaign.stop()
    found = {run.case.variant: run for run in store.runs()}
    store.close()
    return found, errors, said


def shares(pixels: np.ndarray, slope: float) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-slope * pixels.mean(axis=(1, 2)) / 255)))


def test_the_baseline_fixes_the_threshold_on_the_validation_split_for_every_model(
    tmp_path: Path, device_workdir: Path
) -> None:
    runs, errors, said = measured(tmp_path, a_lab(tmp_path, device_workdir))
    assert errors == [None, None]
    kept = np.load(tmp_path / "suites/data.npz")
    ill = np.sort(shares(kept["val_images"], 4.0)[kept["val_labels"] == 1])
    thresholds = {run.notes["output"]["threshold"] for run in runs.values()}
    (threshold,) = thresholds
    # 27 of the 30 ill images lie above it, and the 28th does not.
    assert ill[2] < threshold < ill[3]
    pixels, truth = kept["test_images"], kept["test_labels"] == 1
    for name, slope in (("base", 4.0), ("weaker", 3.0)):
        called = shares(pixels, slope) > threshold
        assert runs[name].accuracy["sensitivity"].point == pytest.approx(called[truth].mean())
        assert runs[name].accuracy["specificity"].point == pytest.approx((~called[~truth]).mean())
        apart = runs[name].subgroups
        assert [(one.by, one.name, one.images) for one in apart] == [("site", site, 20) for site in "012"]
        for number, one in enumerate(apart):
            own = truth & (kept["test_site"] == number)
            assert one.estimates["sensitivity"].point == pytest.approx(called[own].mean())
    remark = f"the threshold of every model is {threshold:.4g}, fixed by base on the split validation"
    assert any(remark in line for line in said)
    assert any(remark in one for one in runs["base"].notes["remarks"])


def test_a_threshold_is_never_fixed_on_what_is_measured(tmp_path: Path, device_workdir: Path) -> None:
    runs, errors, _ = measured(tmp_path, a_lab(tmp_path, device_workdir, same=True))
    assert runs == {}
    for error in errors:
        assert isinstance(error, LabError)
        assert "60 of 60 images of the split validation, or their patients, are (nearly) in test too" in str(error)
        assert 'overlap = "leave_out" under [data]' in str(error)
