"""Chains of recipes: what is refused unbuilt, what is shared, what a killed build leaves, and what the ledger says."""

from __future__ import annotations

import io
import itertools
import json
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from harness import lab
from harness.cli import building
from harness.data import phantom
from harness.errors import LabError, RecipeError
from harness.lab import ledger
from harness.model import Samples, Step, Variant
from harness.page.sections import again
from harness.ports.recipes import Build
from harness.recipes import prune_magnitude, quantize_int4
from harness.store import legacy
from harness.variants import chains
from harness.variants.artefacts import Cache
from harness.variants.build import build_suite
from harness.variants.chains import Watcher
from tests import labs
from tests.pages import stored_runs
from tests.unit.test_build import linear

CHEAP = ("prune_magnitude", "quantize_int8", "quantize_int4")


def variant(name: str, recipe: str, parameters: str = "") -> str:
    return f'[[variant]]\nid = "{name}"\nrecipe = {recipe}\n' + (f"parameters = {parameters}\n" if parameters else "")


#: Two that begin alike, and one that is what they begin with.
CHAINS = (
    variant("sparse-int8", '["prune_magnitude", "quantize_int8"]', "[{ sparsity = 0.25 }, { calibration = 6 }]")
    + variant("sparse-int4", '["prune_magnitude", "quantize_int4"]', "[{ sparsity = 0.25 }, { min_weights = 1 }]")
    + variant("sparse", '"prune_magnitude"', "{ sparsity = 0.25 }")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a suite with a baseline of a thousand weights, and a cache in which nothing is built yet."""
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "suites").mkdir()
    linear(tmp_path / "suites" / "base.onnx", opset=17)
    return tmp_path / "suites"


def suite(folder: Path, variants: str = CHAINS, *, train: int = 12) -> Path:
    data = f'source = "phantom"\ntrain = {train}\ntest = 6'
    (folder / "tiny.toml").write_text(labs.suite_toml(title="Tiny", data=data, more=variants))
    return folder / "tiny.toml"


def built(file: Path, **how: bool) -> list[str]:
    """Build a suite and return what was said of each step: `sparse-int8: prune_magnitude (1 of 2) …`."""
    lines: list[str] = []
    build_suite(file, watcher=Watcher(lines.append), **how)  # type: ignore[arg-type]
    return [line.replace(".onnx: ", ": ") for line in lines if "…" in line or "taken" in line]


def steps(folder: Path) -> list[Path]:
    return sorted((folder.parent / "cache" / "steps").glob("*/*/*.onnx"))


def test_what_two_variants_begin_with_is_built_once_and_lies_in_the_cache(folder: Path) -> None:
    assert built(suite(folder)) == [
        "sparse-int8: prune_magnitude (1 of 2) …",
        "sparse-int8: quantize_int8 (2 of 2) …",
        "sparse-int4: prune_magnitude (1 of 2): taken as it was built before",
        "sparse-int4: quantize_int4 (2 of 2) …",
        "sparse: prune_magnitude: taken as it was built before",
    ]
    names = ["ledger.json", "sparse-int4.onnx", "sparse-int8.onnx", "sparse.onnx"]
    assert sorted(path.name for path in (folder / "models").iterdir()) == names
    assert sorted(path.name for path in steps(folder)) == [
        "base+prune_magnitude+quantize_int4.onnx",
        "base+prune_magnitude+quantize_int8.onnx",
        "base+prune_magnitude.onnx",
    ]
    assert all(not one.problem for one in lab.read_suite(folder / "tiny.toml").variants)
    assert built(folder / "tiny.toml") == []


def test_the_ledger_says_of_each_step_what_it_was_given_and_with_what_it_was_built(folder: Path) -> None:
    built(suite(folder))
    entries = ledger.read(folder / "models")
    pruned, eight = entries["sparse-int8.onnx"].steps
    assert (pruned.parameters, pruned.data) == ({"sparsity": 0.25}, {})
    assert pruned.settings is not None
    assert (pruned.settings["sparsity"], pruned.settings["epochs"]) == (0.25, 0)
    assert (eight.recipe, eight.parameters) == ("quantize_int8", {"calibration": 6})
    assert eight.settings is not None
    assert (eight.settings["calibration"], eight.settings["per_channel"]) == (6, True), "defaults are written out"
    assert eight.data is not None
    assert {name: len(digest) for name, digest in eight.data.items()} == {"train": 64}
    assert eight.tools["numpy"] == np.__version__
    assert len(pruned.code) == len(eight.code) == 64
    assert pruned.sha256 == entries["sparse.onnx"].sha256 == ledger.sha256(folder / "models/sparse.onnx")
    assert eight.sha256 == entries["sparse-int8.onnx"].sha256
    assert json.loads((folder / "models/ledger.json").read_text())["sparse.onnx"]["steps"][0]["size_bytes"] > 0


def test_the_same_inputs_give_the_same_files_bit_for_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_suite(suite(folder))
    first = {name: entry.sha256 for name, entry in ledger.read(folder / "models").items()}
    monkeypatch.setenv("EDGEWARD_CACHE", str(folder.parent / "another"))
    build_suite(folder / "tiny.toml", force=True)
    assert {name: entry.sha256 for name, entry in ledger.read(folder / "models").items()} == first


def test_a_forced_build_takes_nothing_that_was_built_before_and_each_step_once(folder: Path) -> None:
    said = built(suite(folder))
    assert built(folder / "tiny.toml", force=True) == said


def test_other_images_build_again_only_what_learns_from_them(folder: Path) -> None:
    file = suite(folder)
    built(file)
    for path in (folder / "models").iterdir():
        path.unlink()
    assert [line for line in built(suite(folder, train=15)) if "…" in line] == ["sparse-int8: quantize_int8 (2 of 2) …"]
    for path in (folder / "models").iterdir():
        path.unlink()
    assert [line for line in built(suite(folder, train=12)) if "…" in line] == []


def test_what_learnt_from_other_images_is_out_of_date(folder: Path) -> None:
    file = suite(folder)
    build_suite(file)
    lines: list[str] = []
    assert [path.name for path in build_suite(suite(folder, train=15), watcher=Watcher(lines.append))] == [
        "sparse-int8.onnx"
    ]
    assert "sparse-int8.onnx: its images of the split train are not those that it learnt from" in lines
    assert "sparse-int4.onnx: up to date" in lines
    assert build_suite(file) == []
    assert build_suite(suite(folder, train=12)) == [folder / "models" / "sparse-int8.onnx"]


def test_images_that_cannot_be_read_make_nothing_out_of_date(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, file = phantom.load, suite(folder)
    build_suite(file)

    def load(options: phantom.Options, *, split: str, base: Path, cache: Path) -> Samples:
        if split == "train":
            raise OSError("the share is gone")
        return own(options, split=split, base=base, cache=cache)

    monkeypatch.setattr(phantom, "load", load)
    lines: list[str] = []
    assert build_suite(file, watcher=Watcher(lines.append)) == []
    said = "sparse-int8.onnx: up to date; whether it would learn from other images today cannot be seen: "
    assert any(line.startswith(said) and "the share is gone" in line for line in lines)


def test_a_later_step_is_given_the_baseline_beside_what_was_made_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, own = [], {one: one.build for one in (prune_magnitude, quantize_int4)}
    for module, build in own.items():

        def watched(job: Build, options: Any, build: Any = build) -> None:
            seen.append((job.parent.name, job.baseline.name))
            build(job, options)

        monkeypatch.setattr(module, "build", watched)
    build_suite(suite(folder), only=["sparse-int4"])
    assert seen == [("base.onnx", "base.onnx"), ("base+prune_magnitude.onnx", "base.onnx")]


def test_another_source_of_a_recipe_builds_its_step_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(suite(folder))
    (folder / "models/ledger.json").unlink()
    code = chains._code
    monkeypatch.setattr(chains, "_code", lambda name: "0" if name == "quantize_int4" else code(name))
    assert [line for line in built(folder / "tiny.toml") if "…" in line] == ["sparse-int4: quantize_int4 (2 of 2) …"]


def test_a_step_that_was_changed_in_the_cache_is_built_again(folder: Path) -> None:
    built(suite(folder))
    (folder / "models/ledger.json").unlink()
    (pruned,) = [path for path in steps(folder) if path.name == "base+prune_magnitude.onnx"]
    pruned.write_bytes(pruned.read_bytes()[:-1])
    assert [line for line in built(folder / "tiny.toml") if "…" in line] == ["sparse-int8: prune_magnitude (1 of 2) …"]


def test_a_killed_build_loses_no_step_that_was_finished(folder: Path) -> None:
    file = suite(folder)
    program = f"""
        import os, signal
        from pathlib import Path
        from harness.recipes import quantize_int4
        from harness.variants.build import build_suite
        def killed(job, options):
            job.target.write_bytes(b"half a model")
            os.kill(os.getpid(), signal.SIGKILL)
        quantize_int4.build = killed
        build_suite(Path({str(file)!r}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(ledger.read(folder / "models")) == ["sparse-int8.onnx"]
    assert list((folder.parent / "cache/steps").glob(".building-*"))
    assert built(file) == [
        "sparse-int4: prune_magnitude (1 of 2): taken as it was built before",
        "sparse-int4: quantize_int4 (2 of 2) …",
        "sparse: prune_magnitude: taken as it was built before",
    ]
    assert not list((folder.parent / "cache/steps").glob(".building-*"))


def test_a_folder_in_which_somebody_builds_is_left_alone(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with cache.room() as first, cache.room() as second:
        assert first.is_dir()
        assert second != first
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_that_what_is_finished_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_job: object, _options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(quantize_int4, "build", interrupted)
        with pytest.raises(KeyboardInterrupt):
            building.build(suite(folder), force=False, only=())
    assert "stopped: the finished steps are kept, and the same command goes on from there" in capsys.readouterr().out
    assert [line for line in built(folder / "tiny.toml") if "…" in line] == ["sparse-int4: quantize_int4 (2 of 2) …"]


def test_a_step_that_fails_is_the_error_of_its_variants_and_the_others_are_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def fails(_job: object, options: prune_magnitude.Options) -> None:
        tried.append(options.sparsity)
        raise MemoryError

    monkeypatch.setattr(prune_magnitude, "build", fails)
    with pytest.raises(RecipeError) as caught:
        build_suite(suite(folder, CHAINS + variant("int4", '"quantize_int4"', "{ min_weights = 1 }")))
    lines = str(caught.value).splitlines()
    said = "prune_magnitude ran out of memory on base.onnx"
    assert [line.partition("; ")[0].partition("tiny.toml: ")[2] for line in lines] == [
        f"sparse-int8: step 1, prune_magnitude: {said}",
        f"sparse-int4: step 1, prune_magnitude: {said}",
        f"sparse: {said}",
    ]
    assert tried == [0.25]
    assert list(ledger.read(folder / "models")) == ["int4.onnx"]


def test_data_that_cannot_be_read_are_an_error_of_what_learns_from_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = phantom.load

    def load(options: phantom.Options, *, split: str, base: Path, cache: Path) -> Samples:
        if split == "train":
            raise OSError("the share is gone")
        return own(options, split=split, base=base, cache=cache)

    monkeypatch.setattr(phantom, "load", load)
    with pytest.raises(
        RecipeError,
        match=r"step 2, quantize_int8: .*: data: the split train cannot be read \(OSError: the share is gone\)",
    ):
        build_suite(suite(folder))
    assert list(ledger.read(folder / "models")) == ["sparse-int4.onnx", "sparse.onnx"]


@pytest.mark.parametrize(
    ("recipe", "parameters", "complaint"),
    [
        ("[]", "", r"variant\[x\]\.recipe: \[\] is neither a recipe nor a chain of recipes; write recipe = \"NAME\""),
        ('["prune_magnitude", 3]', "", r"variant\[x\]\.recipe: .* is neither a recipe nor a chain"),
        ('["prune_magnitude", "quantise_int8"]', "", r"variant\[x\]\.recipe\[2\]: unknown name .*'quantize_int8'"),
        ('["prune_magnitude", "quantize_int8"]', "{ sparsity = 0.5 }", r"parameters: gives 1 tables to a chain of 2"),
        ('["prune_magnitude", "quantize_int8"]', "[{}]", r"parameters: gives 1 tables .* one table for each recipe"),
        ('"prune_magnitude"', "[{ sparsity = 0.5 }]", r"parameters: one recipe has one table; write parameters = \{"),
        (
            '["prune_magnitude", "quantize_int8"]',
            "[{}, { calibratoin = 3 }]",
            r"variant\[x\]\.parameters\[2\]\.calibratoin: unknown key; did you mean 'calibration'",
        ),
        (
            '["quantize_int8", "prune_filters"]',
            "",
            r"variant\[x\]\.recipe\[2\]: step 2, prune_filters takes weights in float32, and quantize_int8 before it "
            r"leaves them in int8; put it before quantize_int8, or leave it out",
        ),
        (
            '["quantize_int8", "distill"]',
            "[{}, { width = 0.0 }]",
            r"variant\[x\]\.parameters\[2\]: width = 0\.0 must be above 0",
        ),
        ('["distill", "quantize_int4", "quantize_int4"]', "", r"recipe\[3\]: step 3, quantize_int4 takes weights in"),
    ],
)
def test_a_chain_that_cannot_be_built_is_refused_when_it_is_read(
    recipe: str, parameters: str, complaint: str, folder: Path
) -> None:
    with pytest.raises(LabError, match=complaint):
        build_suite(suite(folder, variant("x", recipe, parameters)))
    assert not (folder.parent / "cache").exists()


def test_a_step_that_takes_no_format_that_the_steps_before_it_write_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantize_int4, "FORMATS", ("tflite",))
    with pytest.raises(LabError, match=r"step 2, quantize_int4 takes \.tflite, and the steps before it write \.onnx"):
        lab.read_suite(suite(folder, variant("x", '["prune_magnitude", "quantize_int4"]')))


def test_two_steps_are_taken_for_a_chain_exactly_where_they_can_be_built(folder: Path) -> None:
    taken = set()
    settings = {"prune_magnitude": "{}", "quantize_int8": "{ calibration = 3 }", "quantize_int4": "{ min_weights = 1 }"}
    for first, second in itertools.product(CHEAP, repeat=2):
        file = suite(folder, variant("x", f'["{first}", "{second}"]', f"[{settings[first]}, {settings[second]}]"))
        try:
            lab.read_suite(file)
        except LabError:
            continue
        assert [path.name for path in build_suite(file)] == ["x.onnx"]
        taken.add((first, second))
    assert taken == {("prune_magnitude", second) for second in CHEAP}


def test_a_chain_of_one_is_that_recipe(folder: Path) -> None:
    built(suite(folder))
    again = CHAINS.replace('"prune_magnitude"\nparameters = { sparsity = 0.25 }',
                           '["prune_magnitude"]\nparameters = [{ sparsity = 0.25 }]')  # fmt: skip
    assert again != CHAINS
    assert built(suite(folder, again)) == []


def test_what_a_recipe_decided_stands_in_the_ledger_and_is_shown_however_it_was_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = prune_magnitude.build

    def deciding(job: Build, options: prune_magnitude.Options) -> dict[str, object]:
        own(job, options)
        return {"kept": ("k", 2)}

    monkeypatch.setattr(prune_magnitude, "build", deciding)
    lines: list[str] = []
    build_suite(suite(folder), watcher=Watcher(lines.append))
    assert [line for line in lines if "kept" in line] == [
        f'{name}.onnx: kept = ["k", 2]' for name in ("sparse-int8", "sparse-int4", "sparse")
    ]
    pruned, eight = ledger.read(folder / "models")["sparse-int8.onnx"].steps
    assert (pruned.found, eight.found) == ({"kept": ["k", 2]}, {})


def test_a_ledger_of_single_recipes_is_read_and_stays_valid_when_another_variant_is_added(folder: Path) -> None:
    file = suite(folder, variant("sparse", '"prune_magnitude"', "{ sparsity = 0.25 }"))
    build_suite(file)
    (entry,) = json.loads((folder / "models/ledger.json").read_text()).values()
    (step,) = entry.pop("steps")
    older = {**entry, **{name: step[name] for name in ("recipe", "parameters", "tools")}}
    (folder / "models/ledger.json").write_text(json.dumps({"sparse.onnx": older}))
    assert built(suite(folder)) == [
        "sparse-int8: prune_magnitude (1 of 2): taken as it was built before",
        "sparse-int8: quantize_int8 (2 of 2) …",
        "sparse-int4: prune_magnitude (1 of 2): taken as it was built before",
        "sparse-int4: quantize_int4 (2 of 2) …",
    ]
    (read,) = ledger.read(folder / "models")["sparse.onnx"].steps
    assert (read.recipe, read.parameters, read.settings, read.data) == (
        "prune_magnitude",
        {"sparsity": 0.25},
        None,
        None,
    )


def test_a_chain_is_shown_in_words() -> None:
    chain = Variant("x", "onnx", Path(), "", 0, (Step("prune_filters"), Step("distill"), Step("quantize_int8")))
    assert chain.recipe == "prune_filters, then distill, then quantize_int8"
    assert Variant("x", "onnx", Path(), "", 0).recipe is None
    report = stored_runs.report()
    run = replace(report.runs[1], variant=chain)
    (row,) = again.context(replace(report, runs=(run,)))["models"]
    assert row["recipe"] == "prune_filters, then distill, then quantize_int8"


def test_a_store_of_version_0_1_says_the_one_recipe_of_a_run() -> None:
    kept = {"recipe": "quantize_int8", "parameters": {"calibration": 3}, "format": "onnx"}
    assert legacy.steps(kept) == (Step("quantize_int8", {"calibration": 3}),)
    assert legacy.steps({"recipe": None, "parameters": {}}) == ()


def test_a_terminal_has_a_bar_of_steps_and_a_log_has_lines_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    screen, log = (Console(file=io.StringIO(), force_terminal=terminal, width=100) for terminal in (True, False))
    for console in (screen, log):
        building.build(suite(folder), force=True, only=(), console=console)
    shown, lines = (console.file.getvalue() for console in (screen, log))  # type: ignore[attr-defined]
    assert "3/3" in shown
    assert "sparse-int8.onnx: quantize_int8 (2 of 2) …" in shown
    assert lines.splitlines()[:2] == [
        "sparse-int8.onnx: prune_magnitude (1 of 2) …",
        "sparse-int8.onnx: quantize_int8 (2 of 2) …",
    ]
    assert "\x1b" not in lines
    assert capsys.readouterr().out == "3 built\n3 built\n"
