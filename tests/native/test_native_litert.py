"""LiteRT in the native runner beside the agent: the same .tflite files, outputs, nodes and refusals."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import Unsupported
from harness.runners import native
from tests import small_models as small
from tests import small_tflite, tflite_models
from tests.devices.job_bench import Bench, of
from tests.native.native_bench import OUTPUTS_ONLY, assert_same_bits, checked_bench

MODELS = Path(__file__).parents[2] / "suites" / "models"


@pytest.fixture(scope="module")
def litert(bench: Bench) -> Bench:
    return bench.with_runtime(small.LITERT)


@pytest.fixture(scope="module")
def theirs(agent: Bench) -> Bench:
    return agent.with_runtime(small.LITERT)


def run(bench: Bench, models: Mapping[str, Path], images: Path, **changes: Any) -> tuple[list[Any], list[Any]]:
    """Run a job of .tflite files for their outputs; return one array a model, None for one that failed, and events."""
    layout = changes.pop("layout", "NCHW")
    job = bench.job(*models, **{**OUTPUTS_ONLY, **changes.pop("plan", {})})
    what = json.loads((job / "job.json").read_text())
    for model in what["models"]:
        model["path"] = str(models[model["id"]])
    what["input"] |= {"path": str(images), "layout": layout}
    (job / "job.json").write_text(json.dumps(what | changes))
    events = bench.run(job)
    files = [job / f"m{index}.outputs.npy" for index in range(len(models))]
    return [np.load(file) if file.exists() else None for file in files], events


def images_of(path: Path, size: int = 64) -> Path:
    np.save(path, np.random.default_rng(2).integers(0, 256, (12, size, size, 1), dtype=np.uint8))
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_every_output_of_float_int8_and_int4_models_is_the_agents(
    litert: Bench, theirs: Bench, tmp_path: Path, threads: int
) -> None:
    names = ("resnet18", "resnet18-int8", "resnet18-int4", "smallnet", "smallnet-int8")
    models = {name: MODELS / f"{name}.tflite" for name in names}
    images = images_of(tmp_path / "images.npy")
    ours, events = run(litert, models, images, threads=threads)
    others, said = run(theirs, models, images, threads=threads)
    assert not of(events, "error")
    for own, other in zip(ours, others, strict=True):
        # Several threads add in another order; one does not.
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
        if threads == 1:
            assert_same_bits(own, other)
    assert not np.array_equal(ours[0], ours[1]), "two models that say the same prove nothing"
    quantised = [{e["model"]: e["quantised"] for e in of(one, "accuracy")} for one in (events, said)]
    assert quantised[0] == quantised[1] == {i: "int" in name for i, name in enumerate(names)}
    facts, their = of(events, "cold")[0]["facts"], of(said, "cold")[0]["facts"]
    named = ("runtime", "runtime_version", "accelerator")
    assert [facts[key] for key in named] == [their[key] for key in named]
    assert facts["runtime_version"] == "2.3.0"


def test_an_input_of_int16_is_made_as_the_agent_makes_it(litert: Bench, theirs: Bench, tmp_path: Path) -> None:
    weights = np.random.default_rng(1).normal(0, 1, (256, 3)).astype(np.float32)
    model = {"int16": tflite_models.of_integers(tmp_path / "int16.tflite", weights, np.zeros(3))}
    images = images_of(tmp_path / "images.npy", 16)
    (ours,), _ = run(litert, model, images, layout="NHWC")
    (others,), _ = run(theirs, model, images, layout="NHWC")
    assert_same_bits(ours, others)


@pytest.mark.parametrize("accelerator", ["xnnpack", "gpu"])
def test_what_runs_the_nodes_is_said_as_the_agent_says_it(
    litert: Bench, theirs: Bench, tmp_path: Path, accelerator: str
) -> None:
    models = {name: MODELS / f"{name}.tflite" for name in ("resnet18", "resnet18-int4")}
    images = images_of(tmp_path / "images.npy")
    placed: list[list[Any]] = []
    for bench in (litert, theirs):
        _, events = run(bench, models, images, accelerator=accelerator)
        assert not of(events, "error")
        seen = sorted(of(events, "placement"), key=lambda event: event["model"])
        placed.append([(e["wanted"], e["offered"], e["nodes"]) for e in seen])
    assert placed[0] == placed[1]
    assert len(placed[0]) == 2
    assert placed[0][1][2].keys() == {"xnnpack", "builtin kernels (CPU)"}, "one of them is not all XNNPACK's"


def test_a_whole_job_with_timed_and_memory_passes_goes_through(litert: Bench, tmp_path: Path) -> None:
    images = images_of(tmp_path / "images.npy")
    models = {name: MODELS / f"{name}.tflite" for name in ("smallnet", "resnet18")}
    plan = {"memory_starts": 1, "max_launches": 2, "parts_s": 0.05, "parts_min": 3}
    _, events = run(litert, models, images, plan=plan)
    assert events[-1]["alive"] == [0, 1]
    assert len(of(events, "launch")) == 2
    assert len(of(events, "parts")) == 2
    assert all(e["inferred"]["peak_rss_bytes"] > e["before"]["peak_rss_bytes"] for e in of(events, "memory"))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda whole: whole[: len(whole) // 2],
    "empty": lambda _: b"",
    "noise": lambda whole: whole[:40] + bytes(range(1, 201)) + whole[240:],
}


def test_a_damaged_model_is_refused_as_the_agent_refuses_it_and_disturbs_no_other(
    litert: Bench, theirs: Bench, tmp_path: Path
) -> None:
    whole = (MODELS / "smallnet.tflite").read_bytes()
    models = {"good": MODELS / "smallnet.tflite", "missing": tmp_path / "missing.tflite"}
    for name, damage in DAMAGE.items():
        models[name] = tmp_path / f"{name}.tflite"
        models[name].write_bytes(damage(whole))
    images = images_of(tmp_path / "images.npy")
    blamed = []
    for bench in (litert, theirs):
        _, events = run(bench, models, images)
        assert events[-1]["alive"] == [0]
        blamed.append({e["model"]: (e["phase"], e["kind"]) for e in of(events, "error")})
    assert blamed[0] == blamed[1]
    assert set(blamed[0].values()) == {("cold", "model")}


OPEN = "signatures ({}) do not say that it is meant; export it with the one that is meant alone"
#: Models that neither side measures -> how to write each, the kind of error, and what both say.
REFUSED: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "two inputs": (small_tflite.two_inputs, "input", "the model has 2 inputs; "),
    "open sizes": (
        lambda path: small_tflite.of_shape(path, (-1, 1, -1, -1)), "input",
        "the model's input leaves sizes open, (any, 1, any, any); export it with fixed sizes",
    ),
    "four images": (
        lambda path: small_tflite.of_shape(path, (4, 1, 16, 16)), "input",
        "the model takes (4, 1, 16, 16) but the data gives (1, 1, 16, 16); ",
    ),
    "another signature": (
        lambda path: small_tflite.of_signatures(path, [("train", 1)]), "input", OPEN.format("train"),
    ),
    "another default": (
        lambda path: small_tflite.of_signatures(path, [("serving_default", 1), ("train", 0)]), "input",
        OPEN.format("serving_default, train"),
    ),
    "no default": (
        lambda path: small_tflite.of_signatures(path, [("infer", 0), ("train", 1)]), "input",
        OPEN.format("infer, train"),
    ),
    "Edge TPU": (
        lambda path: small_tflite.of_operator(path, "edgetpu-custom-op"), "model",
        "Encountered unresolved custom op: edgetpu-custom-op",
    ),
    "Flex": (
        lambda path: small_tflite.of_operator(path, "FlexErf"), "model", "Select TensorFlow op(s)",
    ),
}  # fmt: skip
#: Types of inputs of which the native runner makes none, and what it calls them.
UNMADE = {"INT32": "int32", "INT64": "int64", "FLOAT64": "float64", "BOOL": "bool", "STRING": "text",
          "COMPLEX64": "complex64", "UINT32": "uint32"}  # fmt: skip
#: Signatures that say what is meant: the default of several, several of one subgraph, none.
MEANT: tuple[Sequence[tuple[str, int]], ...] = ((("serving_default", 0), ("train", 1)), (("a", 0), ("b", 0)), ())


@pytest.fixture(scope="module")
def checked_litert(litert: Bench, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Give the runner that is compiled with checks: what is refused goes ways that nothing else goes."""
    return checked_bench(litert, tmp_path_factory)


def refused(bench: Bench, models: Mapping[str, Path], images: Path, **changes: Any) -> dict[str, tuple[str, str, str]]:
    """Return model -> phase, kind and message of its error; every model but "good" must have one, and that one none."""
    _, events = run(bench, {"good": small_tflite.good(images.with_name("good.tflite")), **models}, images, **changes)
    assert events[-1]["alive"] == [0]
    names = ["good", *models]
    assert len(of(events, "error")) == len(models)
    return {names[e["model"]]: (e["phase"], e["kind"], e["message"]) for e in of(events, "error")}


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", small.samples()[0])
    return tmp_path / "images.npy"


def test_what_litert_or_the_runner_cannot_run_is_refused_by_name_as_the_agent_refuses_it(
    checked_litert: Bench, theirs: Bench, samples: Path
) -> None:
    models = {name: make(samples.with_name(f"{name}.tflite")) for name, (make, _, _) in REFUSED.items()}
    for bench in (checked_litert, theirs):
        found = refused(bench, models, samples)
        for name, (_, kind, said) in REFUSED.items():
            assert found[name][:2] == ("cold", kind), name
            assert said in found[name][2], name


def test_an_input_of_which_the_runner_makes_none_is_refused_by_its_type(checked_litert: Bench, samples: Path) -> None:
    shape = small_tflite.SHAPE
    models = {kind: small_tflite.of_shape(samples.with_name(f"{kind}.tflite"), shape, kind) for kind in UNMADE}
    found = refused(checked_litert, models, samples)
    for kind, name in UNMADE.items():
        assert found[kind][:2] == ("cold", "input")
        assert found[kind][2].startswith(f"the model's input is {name}, and the native runner makes float32, ")
        assert found[kind][2].endswith("; export it with a float32 input")


def test_several_images_at_once_are_refused_with_what_runs_them(litert: Bench, theirs: Bench, samples: Path) -> None:
    models = {"free": small_tflite.of_shape(samples.with_name("free.tflite"), (-1, 1, 16, 16))}
    for bench in (litert, theirs):
        _, events = run(bench, models, samples, batch=4)
        (error,) = of(events, "error")
        assert error["kind"] == "input"
        assert error["message"].endswith(
            "batch = 4 is asked for and LiteRT is given one image at a time; "
            "take batch out of [load], or measure an .onnx file with a free batch dimension"
        )


def test_a_model_of_any_number_of_images_or_of_several_signatures_runs_as_it_is_meant(
    litert: Bench, theirs: Bench, samples: Path
) -> None:
    models = {"free": small_tflite.of_shape(samples.with_name("free.tflite"), (-1, 1, 16, 16))}
    open_ = small_tflite.of_shape(samples.with_name("open.tflite"), (-1, 1, -1, -1), sizes=small_tflite.SHAPE)
    models["open, with sizes"] = open_
    for i, signatures in enumerate(MEANT):
        models[f"s{i}"] = small_tflite.of_signatures(samples.with_name(f"s{i}.tflite"), signatures)
    ours, events = run(litert, models, samples)
    others, _ = run(theirs, models, samples)
    assert not of(events, "error")
    for own, other in zip(ours, others, strict=True):
        np.testing.assert_array_equal(own.argmax(axis=1), small.samples()[1])
        assert_same_bits(own, other)


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.1.0", "the C interface of ai-edge-litert 2.1.0 is not known here"), ("", "does not say which version")],
)
def test_a_library_of_an_unknown_version_is_never_called(
    litert: Bench, tmp_path: Path, version: str, said: str
) -> None:
    folder = tmp_path / "runtime"
    shutil.copytree(litert.runtime, folder)
    (folder / "version").write_text(version)
    other = dataclasses.replace(litert, runtime=str(folder))
    _, events = run(other, {"good": MODELS / "smallnet.tflite"}, images_of(tmp_path / "images.npy"))
    (error,) = of(events, "error")
    assert error["kind"] == "runtime"
    assert said in error["message"]


def test_a_library_that_lacks_a_function_is_refused_by_that_functions_name(litert: Bench, tmp_path: Path) -> None:
    folder, source = tmp_path / "runtime", tmp_path / "other.c"
    folder.mkdir()
    (folder / "version").write_text("2.9.0")
    source.write_text("int LiteRtCreateEnvironment(void) { return 0; }")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-o", folder / "libLiteRt.so"], check=True)
    other = dataclasses.replace(litert, runtime=str(folder))
    _, events = run(other, {"good": MODELS / "smallnet.tflite"}, images_of(tmp_path / "images.npy"))
    (error,) = of(events, "error")
    assert error["kind"] == "runtime"
    assert "has no LiteRtCreateModelFromBuffer" in error["message"]


def test_a_version_whose_interface_is_not_known_is_refused_before_it_is_pushed(bench: Bench) -> None:
    with pytest.raises(Unsupported, match=r"local: .*C interface of ai-edge-litert==2\.1\.0; name a version from 2\.2"):
        native.runtime(bench.handle, "ai-edge-litert==2.1.0")
