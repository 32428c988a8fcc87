"""`[goal]` and `[[space]]` are read strictly, and become the candidates that a search may try."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import lab
from harness.errors import LabError
from harness.lab.space import Search
from tests.lab_files.written import SUITE

SEARCH = """
[goal]
minimise = "latency"
[[space]]
id = "shared"
recipe = ["share_parameters", "quantize_dynamic"]
parameters = [{ clusters = [16, 64] }, { per_channel = [true, false] }]
[[space]]
id = "low-rank"
recipe = "low_rank"
parameters = { energy = { low = 0.5, high = 0.99 } }
[[space]]
id = "bounded"
recipe = "quantize_int8"
parameters = { bound = { margin = { low = 0.01, high = 0.1, log = true } }, calibration = { low = 100, high = 102 } }
[[space]]
id = "brought"
model = ["models/small.onnx", "models/net.onnx"]
"""


def read(folder: Path, old: str = "", new: str = "") -> Search:
    text = SUITE + SEARCH
    assert old in text
    file = folder / "suites/lesions.toml"
    file.write_text(text.replace(old, new, 1))
    return lab.read_search(file)[1]


def test_lists_and_ranges_become_candidates_with_ids_of_their_values(folder: Path) -> None:
    found = read(folder)
    assert (found.ratio, found.accuracy) == ("latency_ratio", "sensitivity")
    assert [family.size for family in found.families] == [4, None, None, 2]
    shared, low_rank, bounded, brought = found.families
    one = shared.candidate({"1.clusters": 16, "2.per_channel": False})
    assert (one.id, one.recipe) == ("shared-16-false", ["share_parameters", "quantize_dynamic"])
    assert one.parameters == [{"clusters": 16}, {"per_channel": False}]
    assert low_rank.candidate({"energy": 0.74412}).parameters == {"energy": 0.744}
    filled = bounded.candidate({"bound.margin": 0.05, "calibration": 101}).parameters
    assert filled == {"bound": {"margin": 0.05}, "calibration": 101}
    assert {one.whole for one in bounded.free} == {True, False}
    assert [brought.candidate(values).id for values in brought.all()] == ["brought-small", "brought-net"]
    (variant,) = found.variants(one)
    assert [step.recipe for step in variant.steps] == ["share_parameters", "quantize_dynamic"]


def test_a_suite_without_a_search_is_refused_with_the_lines_to_write(folder: Path) -> None:
    with pytest.raises(LabError, match=r"has no \[goal\] and no \[\[space\]\]; write for example\n\[goal\]\nminimise"):
        read(folder, SEARCH, "")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('[goal]\nminimise = "latency"\n', "", r"goal: there is none, and a search needs both; write for example"),
        ('"latency"\n[[space]]', '"speed"\n[[space]]', r"goal\.minimise: input should be 'latency'"),
        ('"latency"\n[[space]]', '"latency"\naccuracy = "latency_ratio"\n[[space]]', r"goal\.accuracy: 'latency"),
        ("sensitivity = { non_inferior_by = 0.03 }", "", r"goal\.accuracy: no line of \[accept\] says"),
        ("clusters = [16, 64]", "clusters = []", r"space\[shared\]\.parameters\[1\]\.clusters: must name each"),
        ("clusters = [16, 64]", "clusters = [16, 16]", r"space\[shared\]\.parameters\[1\]\.clusters: must name each"),
        ("clusters = [16, 64]", "clusters = [16, 1]", r"space\[shared\]\.parameters.*clusters = 1 must be 2 to 65536"),
        ("clusters = [16, 64]", "clustres = [16, 64]", r"space\[shared\].*clustres.*did you mean 'clusters'"),
        ("low = 0.5, high = 0.99", "low = 0.99, high = 0.5", r"space\[low-rank\]\.parameters\.energy: is no range"),
        ("low = 0.5, high = 0.99", "low = 0.5, high = 1.5", r"space\[low-rank\].*energy = 1\.5 must be above"),
        ("low = 0.01, high", "low = -1, high", r"space\[bounded\]\.parameters\.bound\.margin: is no range"),
        ('"low_rank"', '"low_rnk"', r"space\[low-rank\]\.recipe: unknown name 'low_rnk'; did you mean 'low_rank'"),
        ('["share_parameters", "quantize_dynamic"]', '["quantize_dynamic", "share_parameters"]', r"space\[shared\]"),
        ('id = "shared"', 'id = "small"', r"space\[small\]\.id: this id stands twice"),
        ('model = ["models/small.onnx"', 'model = ["models/small.pb"', r"space\[brought\].*'small\.pb' has no format"),
        ('model = ["models/small.onnx"', 'model = ["net.onnx"', r"space\[brought\]: two of its candidates would"),
        ('id = "brought"\nmodel', 'id = "brought"\nrecipe = "float16"\nmodel', r"space\[brought\]: needs either"),
    ],
)  # fmt: skip
def test_a_wrong_search_names_file_key_and_remedy(folder: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(LabError, match=f"suites/lesions.toml: {complaint}"):
        read(folder, old, new)
