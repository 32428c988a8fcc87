"""ExecuTorch programs without ExecuTorch: what a file says, what it leaves open, and what a suite makes of it."""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import formats, lab
from harness.agent import pte
from harness.deploy import wheels
from harness.deploy.wheels import Only
from harness.errors import LabError, RecipeError, Unsupported
from harness.lab import ledger
from harness.model import Fit, InputSpec, Load, Samples, Step, Suite, Task, Variant
from harness.ports.runners import Target
from harness.variants.build import build_suite
from tests import labs, small_models

DATA = Path(__file__).parent / "data"
IMAGES, LABELS = small_models.samples(12)
SAMPLES = Samples(IMAGES, LABELS, small_models.CLASSES, "images")
CONVERT = 'convert = ["to_executorch"]\n'


def fit(name: str, **declared: Any) -> Fit:
    variant = Variant("base", "pte", DATA / name, "x", 1, **declared)
    spec, task = InputSpec(scale=1 / 255), Task("classification")
    suite = Suite("s", "S", {}, spec, task, Load(), "base", (variant,), (), file=Path("s.toml"))
    return lab.fit(suite, variant, SAMPLES)


def refused(name: str, **declared: Any) -> str:
    with pytest.raises(LabError) as caught:
        fit(name, **declared)
    assert caught.value.remedy
    return str(caught.value)


def test_a_program_of_the_recipe_says_what_the_onnx_file_said() -> None:
    file = formats.read(DATA / "xnnpack.pte")
    assert list(map(str, file.inputs)) == ["x (float32 [1, 1, 16, 16])"]
    assert list(map(str, file.outputs)) == ["logits (float32 [1, 3])"]
    assert (file.outputs[0].kind, file.outputs[0].maker) == ("logits", "XnnpackBackend")
    assert file.operators == {"XnnpackBackend": 1}
    assert file.parameters is None, "what a backend holds is its own: no number is better than 0"
    assert fit("xnnpack.pte").reading.kind == "logits"


def test_what_a_program_from_elsewhere_leaves_open_is_declared_or_refused_with_the_line() -> None:
    said = refused("foreign.pte")
    assert "does not say what the numbers of its output '0' stand for: it is made by aten::addmm" in said
    assert 'write output = { kind = "logits" }' in said
    assert "under [baseline]" in said
    assert fit("foreign.pte", output={"kind": "logits"}).reading.kind == "logits"


def test_a_program_with_open_sizes_is_refused() -> None:
    said = refused("open.pte", output={"kind": "logits"})
    assert "its sizes are open, and ExecuTorch is run at fixed ones" in said


def test_a_program_for_other_images_is_refused_with_the_line() -> None:
    images = np.zeros((4, 20, 20, 1), np.uint8)
    variant = Variant("base", "pte", DATA / "xnnpack.pte", "x", 1)
    suite = Suite("s", "S", {}, InputSpec(), Task("classification"), Load(), "base", (variant,), (), file=Path("s"))
    with pytest.raises(LabError, match=r"write, .* input = \{ size = \[16, 16\], resize = "):
        lab.fit(suite, variant, Samples(images, LABELS[:4], small_models.CLASSES, "images"))


def test_a_damaged_program_is_called_so_however_it_is_damaged(tmp_path: Path) -> None:
    raw, rng = (DATA / "xnnpack.pte").read_bytes(), np.random.default_rng(3)
    for length in range(8, len(raw), 97):
        with pytest.raises(pte.Damaged):
            pte.read(raw[:length])
    for _ in range(400):
        changed = bytearray(raw)
        for place in rng.integers(8, len(raw), 6):
            changed[place] = rng.integers(256)
        with suppress(pte.Damaged):  # where it is no weight that was changed; nothing else may come out
            pte.read(bytes(changed))
    (tmp_path / "half.pte").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(formats.Unreadable, match=r"half\.pte is no .* or a damaged one: it is 1804 bytes long, and 36"):
        formats.read(tmp_path / "half.pte")


def test_a_file_under_the_wrong_suffix_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    shutil.copyfile(DATA / "xnnpack.pte", tmp_path / "models" / "base.tflite")
    (tmp_path / "models" / "base.pte").write_bytes(b"no program at all")
    models = ["models/base.tflite", "models/base.pte"]
    (tmp_path / "s.toml").write_text(labs.suite_toml(data='source = "phantom"', model=models))
    tflite, program = lab.read_suite(tmp_path / "s.toml").variants
    assert "is an ExecuTorch program; give it the suffix .pte" in tflite.problem
    assert "is no ExecuTorch program (ET12 is not in its first bytes)" in program.problem


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    small_models.good(tmp_path / "suites" / "base.onnx")
    return tmp_path / "suites"


def written(folder: Path, more: str = "", **how: Any) -> Path:
    (folder / "s.toml").write_text(labs.suite_toml(data='source = "phantom"\ntrain = 4\ntest = 4', more=more, **how))
    return folder / "s.toml"


PORTABLE = '[[variant]]\nid = "own"\nrecipe = "to_executorch"\nparameters = { backend = "" }\n'


def test_a_baseline_is_converted_and_a_converted_variant_is_held_against_it(folder: Path) -> None:
    chain = '[[variant]]\nid = "pruned"\nrecipe = ["prune_magnitude", "to_executorch"]\n'
    suite = lab.read_suite(written(folder, CONVERT + PORTABLE + chain))
    assert [(one.id, one.format, one.origin, one.parent) for one in suite.variants] == [
        ("base", "onnx", "", ""),
        ("base", "pte", "onnx", ""),
        ("own", "pte", "onnx", "base"),
        ("pruned", "pte", "onnx", "base"),
    ]
    assert suite.variants[1].path == folder / "models" / "base.pte"
    assert suite.variants[1].steps == (Step("to_executorch"),)
    assert "is not built for this baseline; run `edgeward build" in suite.variants[1].problem


def test_a_list_of_both_formats_is_a_baseline_in_both(folder: Path) -> None:
    shutil.copyfile(DATA / "xnnpack.pte", folder / "base.pte")
    suite = lab.read_suite(written(folder, PORTABLE, model=["base.onnx", "base.pte"]))
    assert [(one.id, one.format, one.problem) for one in suite.variants[:2]] == [
        ("base", "onnx", ""),
        ("base", "pte", ""),
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (PORTABLE, r"gives a \.pte file, and no baseline has this format .* write convert = \[\"to_executorch\"\]"),
        (CONVERT + PORTABLE.replace('parameters = { backend = "" }\n', ""), "makes the baseline's own .pte file again"),
        ('convert = ["quantize_int8"]\n', "changes the model, not its format: it makes a variant"),
        ('convert = ["to_executorch", "to_executorch"]\n', r"to_executorch gives a \.pte file, and there is one"),
        (CONVERT + PORTABLE.replace('""', '"vulkan"'), r'backend = "vulkan" must be "xnnpack" or "" for none'),
        (
            CONVERT + '[[variant]]\nid = "v"\nrecipe = ["to_executorch", "prune_magnitude"]\n',
            r"step 2, prune_magnitude takes \.onnx, and the steps before it write \.pte",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_when_it_is_read(more: str, said: str, folder: Path) -> None:
    with pytest.raises(LabError, match=said):
        lab.read_suite(written(folder, more))


def test_without_the_extra_the_build_names_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    monkeypatch.setitem(sys.modules, "executorch.exir", None)
    with pytest.raises(
        RecipeError, match=r"executorch\.exir cannot be imported .*pip install 'edgeward\[executorch\]'"
    ):
        build_suite(written(folder, CONVERT + 'input = { size = [16, 16], resize = "bilinear" }\n'))
    assert not ledger.read(folder / "models")


def test_only_what_a_runtime_needs_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    here = Target(sys.version_info[:2], "x86_64", (2, 36))
    only = Only(("typing-extensions",), ("jinja2/loaders.py", "*.dist-info/*"))
    made = wheels.bundle("jinja2==3.1.6", (), here, device="here", only=only)
    assert {name.partition("/")[0] for name in made.files} == {"jinja2", "typing_extensions.py"}, "no markupsafe"
    assert "jinja2/environment.py" in made.files
    assert "jinja2/loaders.py" not in made.files


def test_a_processor_without_a_wheel_is_refused_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    only = Only(("numpy",))
    with pytest.raises(Unsupported, match=r"there is no wheel of executorch==1\.5\.1 for cp311 on armv7l"):
        wheels.bundle("executorch==1.5.1", (), Target((3, 11), "armv7l", (2, 36)), device="old", only=only)
    with pytest.raises(Unsupported, match=r"it needs torch; set PIP_EXTRA_INDEX_URL=https://download\.pytorch\.org"):
        wheels.bundle(
            f"jinja2=={_version()}", ("torch==2.13.0+cpu",), Target((3, 11), "armv7l", (2, 36)), device="old", only=only
        )


def _version() -> str:
    from importlib.metadata import version

    return version("jinja2")


def test_the_reader_needs_no_executorch() -> None:
    if find_spec("executorch") is None:
        assert "executorch" not in sys.modules
    assert pte.read((DATA / "xnnpack.pte").read_bytes()).methods == ("forward", "edgeward")
