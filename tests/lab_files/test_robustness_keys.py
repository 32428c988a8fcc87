"""`[robustness]` of a suite: what is meant by it, and what is refused with the line to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import lab
from harness.errors import LabError
from harness.model import Robustness, Suite
from tests import labs


def suite(folder: Path, table: str, **more: str) -> Suite:
    text = labs.suite_toml(model="models/net.onnx", more=f"[robustness]\n{table}\n", **more)  # type: ignore[arg-type]
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models/net.onnx").write_bytes(b"a model")
    file = folder / "lesions.toml"
    file.write_text(text)
    return lab.read_suite(file)


def test_corruptions_by_name_with_the_severities_of_a_set(tmp_path: Path) -> None:
    table = 'corruptions = ["speckle_noise", "gain"]\nregistry = "breastmnist"\nseverities = [5, 1]\nmargin = 0.05'
    wanted = Robustness(("speckle_noise", "gain"), "breastmnist", (1, 5), 0.05)
    assert suite(tmp_path, table).robustness == wanted


def test_all_that_a_set_of_medmnist_has(tmp_path: Path) -> None:
    data = 'source = "medmnist"\nname = "retinamnist"'
    found = suite(tmp_path, 'corruptions = "medmnist-c"', data=data).robustness
    assert found is not None
    assert (found.registry, len(found.corruptions), found.severities) == ("retinamnist", 8, (1, 3, 5))


def test_a_suite_without_the_table_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "plain.toml").write_text(labs.suite_toml(model="models/net.onnx"))
    assert lab.read_suite(tmp_path / "plain.toml").robustness is None


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("margin = 0.03", 'asks for nothing; write corruptions = "medmnist-c", attacks'),
        ('corruptions = "medmnist-c"', "robustness.registry: is missing: how strong the severities"),
        ('corruptions = ["speckle_noise"]', 'write registry = "breastmnist" under [robustness]'),
        ('corruptions = ["speckel"]\nregistry = "breastmnist"', "there is no 'speckel'; did you mean 'speckle_noise'"),
        ('corruptions = ["shot_noise"]\nregistry = "breastmnist"', "no 'shot_noise' among those of breastmnist"),
        ('corruptions = ["gain", "gain"]', "robustness.corruptions: names one twice"),
        ('corruptions = ["gain"]\nregistry = "brestmnist"', "MedMNIST-C has no 'brestmnist' here"),
        ('corruptions = ["gain"]\nseverities = [6]', "severities"),
        ('attacks = ["cw"]', "attacks"),
        (
            'corruptions = ["gain"]\n[accept]\nattacked_accuracy = { min = 0.5 }',
            'write attacks = ["fgsm", "pgd"] under',
        ),
        ('corruptions = ["gain"]\n[accept]\ncorrupted_dice = { min = 0.5 }', "write corrupted_accuracy"),
    ],
)
def test_what_is_left_open_or_wrong_is_refused(tmp_path: Path, table: str, complaint: str) -> None:
    with pytest.raises(LabError) as caught:
        suite(tmp_path, table)
    assert complaint in str(caught.value)
    assert caught.value.remedy or "severities" in complaint or "attacks" in complaint
