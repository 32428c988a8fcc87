"""suites/ is read strictly: what is wrong is named with its file, its key and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import lab
from harness.errors import LabError
from harness.lab import ledger
from harness.model import Criterion, Duty
from tests.lab_files.written import SUITE, build, suite


def test_a_suite_file_becomes_a_suite(folder: Path) -> None:
    read = suite(folder)
    assert (read.id, read.title, read.baseline, read.split) == ("lesions", "Lesions", "net-fp32", "test")
    assert read.data == {"source": "npz", "path": "data/test.npz"}
    assert (read.input.layout, read.input.mean, read.input.std) == ("NCHW", (0.5,), (0.25,))
    assert (read.load.threads, read.load.precision) == (2, 0.02)
    assert read.accept == (Criterion("sensitivity", "non_inferior_by", 0.03), Criterion("latency_p90_s", "max", 0.033))
    shape = [(one.id, one.format, one.parent, one.recipe) for one in read.variants]
    assert shape == [
        ("net-fp32", "onnx", "", None),
        ("net-fp32", "tflite", "", None),
        ("net-int8", "onnx", "net-fp32", "quantize_int8"),
        ("net-int8", "tflite", "net-fp32", "quantize_int8"),
        ("small", "onnx", "net-fp32", None),
    ]
    assert read.variants[0].sha256 == ledger.sha256(folder / "suites/models/net.onnx")
    assert read.variants[0].size_bytes == len(b"a model: net.onnx")
    assert read.variants[-1].xfail == "slow here"


def test_a_variant_has_the_architecture_of_its_baseline_only_where_its_recipes_keep_that(folder: Path) -> None:
    own = 'id = "net-fp32"\narchitecture = "ResNet-18"'
    assert suite(folder, 'id = "net-fp32"', own).architectures == {"net-fp32": "ResNet-18", "net-int8": "ResNet-18"}
    distilled = 'id = "student"\nrecipe = "distill"'
    changed = SUITE.replace('id = "net-fp32"', own).replace('id = "net-int8"\nrecipe = "quantize_int8"', distilled)
    (folder / "suites/lesions.toml").write_text(changed)
    assert lab.read_suite(folder / "suites/lesions.toml").architectures == {"net-fp32": "ResNet-18"}
    assert suite(folder, 'id = "small"', 'id = "small"\narchitecture = "U-Net"').architectures == {"small": "U-Net"}


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("title", "titel", r"titel: unknown key; did you mean 'title'\?"),
        ('source = "npz"', 'source = "npy"', r"data\.source: unknown name 'npy'; did you mean 'npz'"),
        ("path =", "pth =", r"data\.pth: unknown key; did you mean 'path'"),
        ('path = "data/test.npz"', 'splt = "val"', r"data\.splt: unknown key; did you mean 'split'"),
        ('"NCHW"', '"NCWH"', r"data\.input\.layout: input should be 'NCHW' or 'NHWC'"),
        ("scale = 0.00392156862745098\n", "", r"data\.input\.scale: this key is required"),
        ("source = ", "sorce = ", r"data\.source: this key is required; did you mean it by 'sorce'"),
        ("std = [0.25]", "std = [0]", r"data\.input\.std\[1\]: .*greater than 0"),
        ("std = [0.25]", "std = [1, 1, 1]\nmeen = [1]", r"data\.input\.meen: unknown key; did you mean 'mean'"),
        ("mean = [0.5]\nstd = [0.25]", "mean = [1, 2]\nstd = [1, 1, 1]", r"data\.input: mean and std must have"),
        ('"classification"', '"clasification"', r"task\.kind: 'clasification' is not supported; did you mean 'classif"),
        ("sensitivity =", "quadratic_kappa =", r"accept\.quadratic_kappa: there is none without ordinal; declare ord"),
        (
            '"classification"',
            '"segmentation"\nordinal = true',
            r"task\.ordinal: has no part in segmentation; rem",
        ),
        ('positive = "solid"', "operating_point = {}", r"task\.operating_point: one rate is needed; write { sensit"),
        (
            'positive = "solid"',
            "operating_point = { sensitivity = 1.5 }",
            r".*_point\.sensitivity: .*less than 1",
        ),
        (
            'positive = "solid"',
            "operating_point = { sensitivity = 0.9 }\noutput = { threshold = 0.4 }",
            r"task\.output\.threshold: the operating point fixes the threshold of every model; remove it",
        ),
        (
            "sensitivity =",
            "sensitivity_at_specificity =",
            r"accept\.sensitivity_at_specificity: there is none without sensitivity_at_specificity",
        ),
        ('positive = "solid"', "surface_tolerance = 2.0", r"task\.surface_tolerance: has no part in classification"),
        ("threads = 2", "threads = 0", r"load\.threads: .*greater than or equal to 1"),
        ("threads = 2", "treads = 2", r"load\.treads: unknown key; did you mean 'threads'"),
        ("threads = 2", "precision = nan", r"load\.precision: .*finite"),
        ("threads = 2", 'scenario = "burst"', r"load\.scenario: input should be 'single_stream'"),
        ("threads = 2", "batch = 8", r"load\.batch: belongs to the scenario offline"),
        ("threads = 2", 'accelerator = "npu"', r"load\.accelerator: no accelerator"),
        ('"models/net.tflite"', '"models/b.onnx"', r"baseline\.model: holds two files of one format"),
        (
            '"models/net.tflite"',
            '"models/net.pt"',
            r"baseline\.model: 'net\.pt' has no format .* use \.onnx, \.pte, \.tflite",
        ),
        ('["models/net.onnx", "models/net.tflite"]', "5", r"baseline\.model: input should be a valid string, not 5"),
        ('["models/net.onnx", "models/net.tflite"]', "[]", r"baseline\.model: names no file"),
        ('id = "net-fp32"', 'id = "net-fp32"\nsource = "models/net.py"', r"baseline\.source: there is no such file"),
        ('"net-int8"', '"small"', r"variant\[small\]\.id: this id stands twice"),
        ('"net-int8"', '"Small"', r"variant\[Small\]\.id: differs from 'small' only in case"),
        ('"net-int8"', '"net int8"', r"variant\[net int8\]\.id: 'net int8' cannot be an id"),
        ('"net-int8"', '"a::b"', r"variant\[a::b\]\.id: .* cannot be an id"),
        ('"net-int8"', '"../escape"', r"variant\[\.\./escape\]\.id: .* cannot be an id"),
        (
            'recipe = "quantize_int8"',
            'recipe = "quantise_int8"',
            r"variant\[net-int8\]\.recipe: unknown name .*'quantize_",
        ),
        ('recipe = "quantize_int8"', "", r"variant\[net-int8\]: needs either `recipe` or `model`"),
        ('recipe = "quantize_int8"', 'recipe = "quantize_int8"\nmodel = "models/net.onnx"', r".*and not both"),
        (
            'recipe = "quantize_int8"',
            'recipe = "quantize_int8"\nparameters = { zz = 1 }',
            r".*parameters\.zz: unknown key",
        ),
        ('xfail = "slow here"', "parameters = { a = 1 }", r"variant\[small\]\.parameters: only a recipe takes"),
        ('xfail = "slow here"', 'fail = "x"', r"variant\[small\]\.fail: unknown key; did you mean 'xfail'"),
        (
            'model = ["models/net.onnx", "models/net.tflite"]',
            'model = "models/net.tflite"',
            r".*no baseline has its form",
        ),
        ("sensitivity =", "sensitvity =", r"accept\.sensitvity: unknown metric; did you mean 'sensitivity'"),
        ("latency_p90_s = { max", "latency_p90_s = { min", r"accept\.latency_p90_s\.min: latency_p90_s takes max"),
        ("{ max = 0.033 }", "{}", r"accept\.latency_p90_s: has no bound; write \{ max = NUMBER \}"),
        ("{ max = 0.033 }", "{ maximum = 1 }", r"accept\.latency_p90_s\.maximum: unknown key; did you mean 'max'"),
        (
            "{ max = 0.033 }",
            "{ max = '33 ms' }",
            r"accept\.latency_p90_s\.max: input should be a valid number, not '33 ms'",
        ),
    ],
)
def test_a_wrong_suite_names_file_key_and_remedy(folder: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(LabError, match=rf"^suites/lesions\.toml: {complaint}") as caught:
        suite(folder, old, new)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "kind", "complaint"),
    [
        ("examples = 4\nconfidential = true", "classification", "keeps copies of images in results and reports, and"),
        (
            "examples = 4",
            "segmentation",
            "is of tasks that give each image one class, and this is segmentation; remove",
        ),
        ("examples = 4", "multilabel", "is of tasks that give each image one class, and this is multilabel; remove"),
        ("examples = 0", "classification", "Input should be greater than or equal to 1"),
        ("examples = 13", "classification", "Input should be less than or equal to 12"),
    ],
)
def test_examples_are_refused_where_images_must_not_be_kept_or_have_no_class(
    folder: Path, more: str, kind: str, complaint: str
) -> None:
    assert suite(folder).examples == 0
    assert suite(folder, "confidential = false", "examples = 12").examples == 12
    text = SUITE.replace("confidential = false", more).replace('"classification"', f'"{kind}"')
    (folder / "suites/lesions.toml").write_text(text)
    with pytest.raises(LabError, match=rf"^suites/lesions\.toml: examples: {complaint}"):
        lab.read_suite(folder / "suites/lesions.toml")


def test_a_missing_model_is_a_problem_of_its_variant_alone(folder: Path) -> None:
    (folder / "suites/models/small.onnx").unlink()
    problems = {(one.id, one.format): one.problem for one in suite(folder).variants}
    assert problems["small", "onnx"].startswith("suites/models/small.onnx does not exist; put the model there")
    assert problems["net-fp32", "onnx"] == ""
    (folder / "suites/models/small.onnx").write_bytes(b"")
    assert "is empty" in suite(folder).variants[-1].problem


def test_a_built_variant_is_used_as_long_as_nothing_it_was_built_from_changes(folder: Path) -> None:
    models = folder / "suites/models"
    todo = "suites/models/net-int8.onnx is not built for this baseline; run `edgeward build suites/lesions.toml`"
    assert suite(folder).variants[2].problem == todo
    build(folder)
    assert suite(folder).variants[2].problem == ""
    assert suite(folder).variants[2].sha256 == ledger.sha256(models / "net-int8.onnx")

    (models / "net-int8.onnx").write_bytes(b"edited")
    assert suite(folder).variants[2].problem == todo
    build(folder)
    (models / "net.onnx").write_bytes(b"trained again")
    assert suite(folder).variants[2].problem == todo
    build(folder)
    (models / "net-int8.onnx").unlink()
    assert suite(folder).variants[2].problem == todo
    (models / "net.onnx").unlink()
    assert "its baseline cannot be used: suites/models/net.onnx does not exist" in suite(folder).variants[2].problem
    (models / "net.onnx").write_bytes(b"back")
    (models / "ledger.json").write_text("[]")
    assert "not a ledger" in suite(folder).variants[2].problem


@pytest.mark.parametrize(
    ("table", "duty"),
    [
        ("frames_per_second = 30", Duty(30, "30 frames a second")),
        ("exam_every_min = 10\nexam_frames = 1800", Duty(3, "an exam of 1800 frames every 10 min")),
    ],
)
def test_a_duty_is_so_many_inferences_a_second(folder: Path, table: str, duty: Duty) -> None:
    assert suite(folder, "[load]", f"[duty]\n{table}\n[load]").duty == duty
    assert suite(folder).duty is None


@pytest.mark.parametrize("table", ["", "exam_every_min = 10", "frames_per_second = 30\nexam_frames = 9"])
def test_a_duty_that_is_half_or_two_is_refused(folder: Path, table: str) -> None:
    with pytest.raises(LabError, match="duty: one duty is needed; write frames_per_second, or exam_every_min and"):
        suite(folder, "[load]", f"[duty]\n{table}\n[load]")
