"""The suite file of what was found says what the searched one says, with other variants, and replaces nobody's own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from harness.cli import found_suite
from harness.errors import LabError
from harness.lab.tables import VariantTable

SEARCHED = """\
title = 'A "quoted" title with a \\ in it'
confidential = true
[data]
source = "npz"
path = "data/ä b.npz"
input = { scale = 1e-3, mean = [0.5, 1] }
[task]
kind = "classification"
operating_point = { sensitivity = 0.9 }
[baseline]
id = "base"
model = ["a.onnx", "a.tflite"]
inputs = { "my age" = 0.5 }
[goal]
minimise = "latency"
[[space]]
id = "half"
recipe = "float16"
[[variant]]
id = "old"
model = "old.onnx"
[accept]
accuracy = { min = 0.9 }
"""
FOUND = (
    VariantTable(id="half", recipe="float16"),
    VariantTable(
        id="two",
        recipe=["low_rank", "quantize_int8"],
        parameters=[{"energy": 0.9}, {"bound": {"margin": 0.1}}],
    ),
    VariantTable.model_validate({"id": "brought", "model": "b.onnx", "output": {"kind": "logits"}}),
)


def test_all_but_the_search_and_its_variants_is_as_it_was(tmp_path: Path) -> None:
    searched = tmp_path / "s.toml"
    searched.write_text(SEARCHED, "utf-8")
    file = found_suite.write(searched, FOUND, ["where it was found"])
    assert file == tmp_path / "s-best.toml"
    before, after = tomllib.loads(SEARCHED), tomllib.loads(file.read_text("utf-8"))
    assert after["title"] == f"{before['title']}: found by a search"
    same = ("confidential", "data", "task", "baseline", "accept")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert set(after) == {*same, "title", "variant"}
    assert after["variant"] == [
        {"id": "half", "recipe": "float16"},
        {
            "id": "two",
            "recipe": ["low_rank", "quantize_int8"],
            "parameters": [{"energy": 0.9}, {"bound": {"margin": 0.1}}],
        },
        {"id": "brought", "model": "b.onnx", "output": {"kind": "logits"}},
    ]
    assert found_suite.write(searched, FOUND[:1], []) == file


def test_a_file_of_the_same_name_that_somebody_wrote_is_left_alone(tmp_path: Path) -> None:
    searched = tmp_path / "s.toml"
    searched.write_text(SEARCHED, "utf-8")
    (tmp_path / "s-best.toml").write_text("title = 'mine'\n")
    with pytest.raises(LabError, match="is a file of your own, where the search writes what it found; rename it"):
        found_suite.write(searched, FOUND, [])
    assert (tmp_path / "s-best.toml").read_text() == "title = 'mine'\n"
