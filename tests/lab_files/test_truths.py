"""A split that cannot be judged as its suite asks is refused before anything is measured, with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import lab
from harness.errors import LabError
from harness.measure.jobs import load_samples

IMAGES = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)
MASKS = np.tile(np.eye(8, dtype=np.uint8), (12, 1, 1))


@pytest.mark.parametrize(
    ("kind", "arrays", "complaint"),
    [
        (
            "segmentation",
            {"labels": np.arange(12) % 2},
            r"task\.kind: is 'segmentation', .* has labels and no masks; w",
        ),
        (
            "classification",
            {"masks": MASKS},
            r"task\.kind: is 'classification', .* masks and no labels; write kind = .s",
        ),
        ("segmentation", {"masks": 0 * MASKS}, r"task\.positive: no mask of the split test holds the class 'b'"),
        (
            "classification",
            {"labels": np.zeros(12, int)},
            r"task\.positive: no image of the split test is of the class",
        ),
        ("multilabel", {"labels": np.eye(2, dtype=int)[[0] * 12]}, r"task\.positive: no image of the split test is of"),
    ],
)
def test_a_truth_that_does_not_fit_the_task_is_refused(
    kind: str, arrays: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, **arrays)
    (tmp_path / "s.toml").write_text(
        'title = "a"\n[data]\nsource = "npz"\npath = "a.npz"\nclasses = ["a", "b"]\n[data.input]\nlayout = "NCHW"\n'
        f'scale = 1.0\n[task]\nkind = "{kind}"\npositive = "b"\n[baseline]\nid = "m"\nmodel = "m.onnx"\n'
    )
    with pytest.raises(LabError, match=complaint):
        load_samples(lab.read_suite(tmp_path / "s.toml"))


def test_a_file_that_is_no_npz_at_all_is_not_taken_for_python_objects(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("<html>not found</html>")
    (tmp_path / "s.toml").write_text(
        'title = "a"\n[data]\nsource = "npz"\npath = "a.npz"\n[data.input]\nlayout = "NCHW"\nscale = 1.0\n'
        '[task]\nkind = "classification"\n[baseline]\nid = "m"\nmodel = "m.onnx"\n'
    )
    with pytest.raises(LabError, match=r"a\.npz: is no \.npz: it does not begin as one; copy it again"):
        load_samples(lab.read_suite(tmp_path / "s.toml"))
