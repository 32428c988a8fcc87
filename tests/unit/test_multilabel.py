"""Several labels an image against scikit-learn, with labels that nobody knows, by patients, and how often it is wrong.

`pytest -s` prints the figures, which seeds make the same on every machine; `make figures` counts more trials.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, hamming_loss, recall_score, roc_auc_score

from harness import lab
from harness.errors import LabError, MeasurementError
from harness.metrics import multilabel
from harness.model import Answers, FloatArray, Reading, Samples, Suite, Task, Truth
from harness.results import subgroups
from tests.unit.test_noise import bounded

LABELS = ("mass", "effusion", "nodule")
TASK = Task("multilabel")
OF_EFFUSION = Task("multilabel", "effusion", sensitivity_at_specificity=0.8)
TRIALS = int(os.environ.get("EDGEWARD_TRIALS", "60"))


def a_split(n: int = 300, seed: int = 0) -> tuple[Samples, FloatArray, FloatArray]:
    """Return samples of three labels, and the logits of a better and a worse model."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < [0.4, 0.25, 0.15]).astype(np.int64)
    common = rng.normal(size=(n, 3))
    logits = [common + 0.4 * rng.normal(size=(n, 3)) + far * (labels - 0.5) for far in (2.5, 1.8)]
    return Samples(np.zeros((n, 1, 1, 1), np.uint8), labels, LABELS, "synthetic"), logits[0], logits[1]


def given(logits: FloatArray, kind: str = "logits", **reading: Any) -> Answers:
    return Answers(logits.astype(np.float32), Reading(kind=kind, **reading))


def sigmoid(logits: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-logits))


def test_figures_and_their_differences_are_those_of_scikit_learn() -> None:
    samples, before, after = a_split()
    truth, said = samples.labels, [one > 0 for one in (before, after)]
    expected = {
        "exact_match": [accuracy_score(truth, one) for one in said],
        "hamming_accuracy": [1 - hamming_loss(truth, one) for one in said],
        "macro_f1": [f1_score(truth, one, average="macro") for one in said],
        "macro_auroc": [roc_auc_score(truth, one.astype(np.float32), average="macro") for one in (before, after)],
        "auroc": [roc_auc_score(truth[:, 1], one[:, 1].astype(np.float32)) for one in (before, after)],
        "sensitivity": [recall_score(truth[:, 1], one[:, 1]) for one in said],
        "f1": [f1_score(truth[:, 1], one[:, 1]) for one in said],
        "brier": [brier_score_loss(truth[:, 1], sigmoid(one[:, 1])) for one in (before, after)],
    }
    found = multilabel.evaluate(given(before), samples, OF_EFFUSION).estimates
    for metric, (first, second) in expected.items():
        assert found[metric].point == pytest.approx(first, abs=1e-6), metric
        assert found[metric].low < found[metric].point < found[metric].high, metric
        change = multilabel.compare(given(before), given(after), Truth(truth, LABELS), OF_EFFUSION, metric)
        assert change is not None, metric
        assert change.point == pytest.approx(second - first, abs=1e-6), metric
        assert change.low < change.point < change.high, metric
    assert "sensitivity_at_specificity" in found
    assert "accuracy" not in found
    assert set(multilabel.evaluate(given(before), samples, TASK).estimates) == {
        "exact_match", "hamming_accuracy", "macro_f1", "macro_auroc",
    }  # fmt: skip


def test_sigmoids_logits_labels_and_a_models_own_order_say_the_same() -> None:
    samples, logits, _ = a_split(80)
    expected = multilabel.evaluate(given(logits), samples, TASK).estimates
    assert multilabel.evaluate(given(sigmoid(logits), "sigmoid"), samples, TASK).estimates.keys() == expected.keys()
    assert (
        multilabel.evaluate(given(sigmoid(logits), "sigmoid"), samples, TASK).estimates["macro_f1"]
        == (expected["macro_f1"])
    )
    alone = multilabel.evaluate(given((logits > 0).astype(float), "labels"), samples, TASK).estimates
    assert "macro_auroc" not in alone
    assert alone["exact_match"] == expected["exact_match"]
    wider = np.column_stack([logits[:, 2], np.zeros(80), logits[:, :2]])
    own = given(wider, classes=("nodule", "hernia", "mass", "effusion"))
    assert multilabel.evaluate(own, samples, TASK).estimates == expected
    raised = multilabel.evaluate(given(logits, threshold=0.8), samples, OF_EFFUSION).estimates["sensitivity"]
    assert raised.point == pytest.approx(recall_score(samples.labels[:, 1], sigmoid(logits[:, 1]) > 0.8))
    assert multilabel.agreement(given(logits), given(sigmoid(logits), "sigmoid")).point == 1


def test_labels_that_nobody_knows_count_for_nothing() -> None:
    samples, logits, _ = a_split()
    rng = np.random.default_rng(9)
    known = rng.random(samples.labels.shape) < 0.7
    part = replace(samples, labels=np.where(known, samples.labels, -1))
    found = multilabel.evaluate(given(logits), part, OF_EFFUSION).estimates
    right = (logits > 0) == samples.labels
    assert found["hamming_accuracy"].point == pytest.approx(right[known].mean())
    whole = known.all(axis=1)
    assert found["exact_match"].point == pytest.approx(right[whole].all(axis=1).mean())
    areas = [roc_auc_score(samples.labels[known[:, i], i], logits[known[:, i], i].astype(np.float32)) for i in range(3)]
    assert found["macro_auroc"].point == pytest.approx(np.mean(areas))
    assert found["auroc"].point == pytest.approx(areas[1])
    f1 = [f1_score(samples.labels[known[:, i], i], logits[known[:, i], i] > 0) for i in range(3)]
    assert found["macro_f1"].point == pytest.approx(np.mean(f1))


def test_each_label_is_given_apart_the_rarest_first() -> None:
    samples, logits, _ = a_split()
    found = subgroups.of(multilabel, given(logits), samples, TASK)
    assert [one.name for one in found] == ["nodule", "effusion", "mass"]
    for one in found:
        at = LABELS.index(one.name)
        assert one.by == "label"
        assert one.images == samples.labels[:, at].sum()
        assert one.estimates["auroc"].point == pytest.approx(
            roc_auc_score(samples.labels[:, at], logits[:, at].astype(np.float32))
        )
        assert set(one.estimates) == {"auroc", "sensitivity", "specificity", "f1"}


@pytest.mark.parametrize("metric", ["exact_match", "hamming_accuracy", "macro_f1", "macro_auroc", "auroc"])
def test_by_patients_the_point_stays_and_the_interval_grows(metric: str) -> None:
    samples, before, after = a_split(100)
    whole, pair = np.repeat(samples.labels, 4, axis=0), [given(np.repeat(one, 4, axis=0)) for one in (before, after)]
    patients = np.repeat(np.arange(100), 4)
    alone = multilabel.compare(pair[0], pair[1], Truth(whole, LABELS), OF_EFFUSION, metric)
    found = multilabel.compare(pair[0], pair[1], Truth(whole, LABELS, patients), OF_EFFUSION, metric)
    assert alone is not None
    assert found is not None
    assert found.point == pytest.approx(alone.point)
    assert found.high - found.low > 1.3 * (alone.high - alone.low)


def test_a_label_without_images_has_no_means_and_what_does_not_fit_is_refused() -> None:
    samples, logits, _ = a_split(60)
    none = replace(samples, labels=samples.labels * np.array([1, 1, 0]))
    found = multilabel.evaluate(given(logits), none, TASK).estimates
    assert set(found) == {"exact_match", "hamming_accuracy"}
    with pytest.raises(MeasurementError, match=r"one output per label, \(N, 3\)"):
        multilabel.evaluate(given(logits[:, :2]), samples, TASK)
    broken = logits.copy()
    broken[4, 1] = np.nan
    with pytest.raises(MeasurementError, match="1 of 60 images gave NaN"):
        multilabel.evaluate(given(broken), samples, TASK)
    assert "exclude each other" in multilabel.unreadable(Reading(kind="probabilities"))


def test_a_label_that_flips_beside_the_threshold_is_a_tie_and_any_other_is_not() -> None:
    host = np.array([[1.0, -1.0], [0.0005, -1.0], [2.0, 2.0]])
    device = np.array([[1.0, -1.0], [-0.0005, -1.0], [2.0, -2.0]])
    assert multilabel.flips(given(host), given(device), 0.001) == (2, 1)


@pytest.mark.parametrize("metric", ["macro_f1", "hamming_accuracy", "macro_auroc"])
def test_a_run_that_is_worse_by_the_margin_is_hardly_ever_called_non_inferior(metric: str) -> None:
    rng, false, margin, n, shares = np.random.default_rng(61), 0, 0.05, 120, np.array([0.5, 0.3, 0.2])
    trials = TRIALS if metric != "macro_auroc" else TRIALS // 2

    def draw(size: int, far: float, common: FloatArray, labels: npt.NDArray[Any]) -> FloatArray:
        return np.asarray(np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=(size, 3)) + far * (labels - 0.5))

    def worth(far: float) -> float:
        hit, area = norm.cdf(far / 2), norm.cdf(far / np.sqrt(2))
        f1 = 2 * shares * hit / (shares + shares * hit + (1 - shares) * (1 - hit))
        return float({"macro_f1": f1.mean(), "hamming_accuracy": hit, "macro_auroc": area}[metric])

    least, most = 0.0, 3.0
    for _ in range(40):
        middle = (least + most) / 2
        least, most = (middle, most) if worth(middle) < worth(3.0) - margin else (least, middle)
    for _ in range(trials):
        labels = (rng.random((n, 3)) < shares).astype(np.int64)
        common = rng.normal(size=(n, 3))
        before, after = (given(draw(n, far, common, labels)) for far in (3.0, least))
        found = multilabel.compare(before, after, Truth(labels, LABELS), TASK, metric)
        false += found is not None and found.low > -margin
    print(f"\n{metric} of three labels: {false / trials:.1%} falsely non-inferior (claimed: 2.5 %)")
    assert bounded(false, trials)


# Data


def saved(base: Path, labels: npt.NDArray[Any], more: str = "", kind: str = "multilabel") -> Suite:
    np.savez(base / "test.npz", images=np.zeros((len(labels), 4, 4), np.uint8), labels=labels)
    path = base / "s.toml"
    path.write_text(
        f'title = "a"\n[data]\nsource = "npz"\npath = "test.npz"\n{more}\n[data.input]\nlayout = "NCHW"\nscale = 1.0\n'
        f'[task]\nkind = "{kind}"\n[baseline]\nid = "m"\nmodel = "m.onnx"\n'
    )
    return lab.read_suite(path)


def test_labels_are_read_from_arrays_and_unknown_ones_as_the_suite_says(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    found = lab.read_split(saved(tmp_path, labels, 'classes = ["a", "b", "c"]'), "test")
    assert found.labels.tolist() == labels.tolist()
    assert found.classes == ("a", "b", "c")
    unknown = labels.astype(float)
    unknown[1, 2], unknown[2, 0] = np.nan, -1
    with pytest.raises(LabError, match=r"holds 2 labels that are not known .* write missing = .ignore. under \[data\]"):
        lab.read_split(saved(tmp_path, unknown), "test")
    found = lab.read_split(saved(tmp_path, unknown, 'missing = "ignore"'), "test")
    assert found.labels.tolist() == [[0, 1, 1], [1, 0, -1], [-1, 0, 0]]
    with pytest.raises(LabError, match="holds 2 for label 0 of image 1, and labels of several are 0 or 1"):
        lab.read_split(saved(tmp_path, np.array([[0, 1], [2, 0]])), "test")
    with pytest.raises(LabError, match=r"has 3 labels an image, but `classes` in \[data\] names 2"):
        lab.read_split(saved(tmp_path, labels, 'classes = ["a", "b"]'), "test")


def test_one_label_and_several_are_not_mistaken_for_each_other(tmp_path: Path) -> None:
    with pytest.raises(
        LabError, match=r"task\.kind: is 'classification', .* 3 labels an image; write kind = .multilab"
    ):
        lab.read_split(saved(tmp_path, np.array([[0, 1, 1], [1, 0, 0]]), kind="classification"), "test")
    with pytest.raises(LabError, match=r"of which each image has exactly one; .* labels\.argmax\(axis=1\)"):
        lab.read_split(saved(tmp_path, np.eye(3, dtype=int), kind="classification"), "test")
    with pytest.raises(LabError, match=r"task\.kind: is 'multilabel', and the split test has one label an image"):
        lab.read_split(saved(tmp_path, np.array([0, 1, 1])), "test")
