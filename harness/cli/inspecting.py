"""`edgeward inspect`: what a model file says of itself, and the TOML that declares it, ready to paste."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from harness import formats
from harness.errors import LabError

if TYPE_CHECKING:
    from harness.formats import ModelFile, Tensor
    from harness.model import Samples, Suite

#: Domains of operators that the runtimes here bring themselves.
_KNOWN: Final = ("ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc")
#: Operators of TensorFlow itself in a TFLite file: they need its Flex delegate, which no runtime here has.
_FLEX: Final = "Flex"
#: Formats whose files do not say what their weights and sizes of layers are, and why.
_UNSAID: Final = {"pte": "not known: what a backend holds is its own"}
#: Where nobody says how images were scaled in training.
_SCALE: Final = "0.00392156862745098"


def inspect(path: Path, data: Path | None, runtimes: Sequence[str], *, as_json: bool) -> None:
    """Print what a model file says, as a table or as JSON.

    Args:
        path: the model.
        data: labelled images, an .npz file or a folder, to hold it against; None without.
        runtimes: requirements of those that are asked whether they load it.
        as_json: for programs.
    """
    file = read_model(path)
    held = _held_against(path, file, data) if data is not None else None
    kind = f'kind = "{held["kind"]}"' if held else 'kind = "classification"   # or "segmentation"'
    layout = _layout(file.inputs[0]) if file.inputs else ""
    task = [kind, '# positive = "CLASS"   # the one that sensitivity speaks of']
    toml = "\n".join([*suite_lines(path.stem, str(path), data, layout, task), *_open(file)])
    found: dict[str, Any] = {
        "file": str(path),
        "size_bytes": path.stat().st_size + sum(size for _, size in _parts(path, file) if size is not None),
        **{key: value for key, value in asdict(file).items() if key != "operators"},
        "operators": dict(file.operators),
        "lacking": lacking(file),
        "runtimes": _asked(path, file, runtimes),
        "toml": toml,
    }
    if held is not None:
        found["data"] = held
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    _show(path, file, found)


def read_model(path: Path) -> ModelFile:
    """Return what a model file says of itself; raises LabError for one that is none."""
    format_ = path.suffix.removeprefix(".")
    if not path.is_file():
        raise LabError("there is no such file", remedy="correct the path", file=str(path))
    if not formats.known(format_):
        raise LabError(
            f"files of the format {format_!r} cannot be read here",
            remedy="name an .onnx, .tflite or .pte file",
            file=str(path),
        )
    from harness.lab.contents import mistaken

    if said := mistaken(path, format_):
        raise LabError(said.text, remedy=said.remedy, file=str(path))
    return formats.read(path)


def _parts(path: Path, file: ModelFile) -> list[tuple[str, int | None]]:
    """Return the other files of a model with their sizes, None for one that is not there."""
    found = []
    for name in file.parts:
        part = path.parent / name
        found.append((name, part.stat().st_size if part.is_file() else None))
    return found


def _asked(path: Path, file: ModelFile, runtimes: Sequence[str]) -> dict[str, str]:
    """Return runtime -> why it does not load the file, "" where it does."""
    if not runtimes:
        return {}
    from harness import lab, registry
    from harness.measure.loading import refusal

    found = {}
    for runtime in lab.runtimes(runtimes, file="--runtime"):
        read = registry.runtime_of(runtime).formats
        found[runtime] = refusal(path, file, runtime) if file.format in read else f"it reads {', '.join(read)} files"
    return found


def lacking(file: ModelFile) -> dict[str, str]:
    """Return operator -> why the runtimes here cannot run it."""
    found = {}
    for name in file.operators:
        domain, _, _ = name.rpartition(".")
        if file.format == "onnx" and domain and domain not in _KNOWN:
            found[name] = "an operator of its own, which onnxruntime has only with a library that brings it"
        elif file.format == "tflite" and name.startswith(_FLEX):
            found[name] = "TensorFlow's own operator: it needs the Flex delegate, which no runtime here has"
        elif file.format == "tflite" and not name.isupper():
            found[name] = "an operator of its own, which the interpreters have only with a library that brings it"
    return found


def suite_lines(title: str, model: str, data: Path | None, layout: str, task: Sequence[str]) -> list[str]:
    """Return the lines of a suite of one model and its images.

    Args:
        title: of the suite.
        model: its path, as the suite shall name it.
        data: labelled images; None for those that are named by hand.
        layout: of its input; "" where nobody says it.
        task: the lines of `[task]`.
    """
    source = "folder" if data is not None and data.is_dir() else "npz"
    where = str(data) if data is not None else "data/test.npz"
    return [
        f"title = {json.dumps(title)}",
        *("", "[data]", f'source = "{source}"', f"path = {json.dumps(where)}"),
        *("", "[data.input]", f'layout = "{layout}"' if layout else 'layout = "NCHW"   # the file does not say it'),
        f"scale = {_SCALE}   # the file does not say how images were scaled: as in training",
        *("mean = [0.0]", "std = [1.0]"),
        *("", "[task]", *task),
        *("", "[baseline]", 'id = "baseline"', f"model = {json.dumps(model)}"),
    ]


def _open(file: ModelFile) -> list[str]:
    """Return a comment to answer for what a file leaves open of its outputs."""
    declared = []
    if len(file.outputs) > 1:
        declared.append("name = " + " or ".join(json.dumps(one.name) for one in file.outputs))
    if any(not one.kind for one in file.outputs):
        declared.append('kind = "logits" or "probabilities" or "sigmoid" or "labels"')
    return [f"# output = {{ {', '.join(declared)} }}   # only you know it, where it is needed"] if declared else []


def _layout(tensor: Tensor) -> str:
    """Return the layout that an input's shape shows: the axis of 1 or 3 is the channels'; "" where it shows none."""
    shape = tensor.shape
    if shape is None or len(shape) != 4:
        return ""
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    return "NCHW" if first and not last else "NHWC" if last and not first else ""


def read_data(data: Path) -> Samples:
    """Return the split `test` of an .npz file or a folder.

    Raises:
        LabError: as the data source says.
    """
    from harness import cache_dir, registry

    name = "folder" if data.is_dir() else "npz"
    source = registry.load("data", name, file=str(data), key="data.source")
    found: Samples = source.load(
        source.Options(path=str(data.absolute())), split="test", base=Path(), cache=cache_dir() / "data"
    )
    return found


def suite_of(path: Path, file: ModelFile, samples: Samples) -> Suite:
    """Return a suite of one model and some images, as `fit` takes it.

    Args:
        path: the model.
        file: what it says.
        samples: the images.
    """
    from harness.model import InputSpec, Load, Suite, Task, Variant

    several = "multilabel" if samples.labels.ndim == 2 else "classification"
    kind = "segmentation" if samples.masks is not None and not len(samples.labels) else several
    layout = _layout(file.inputs[0]) if file.inputs else ""
    spec = replace(InputSpec(scale=1 / 255), layout=layout or "NCHW")
    variant = Variant("baseline", file.format, path, "", 0)
    return Suite("suite", "", {}, spec, Task(kind), Load(), "baseline", (variant,), (), file=Path("suite.toml"))


def _held_against(path: Path, file: ModelFile, data: Path) -> dict[str, Any]:
    from harness import lab

    samples = read_data(data)
    suite = suite_of(path, file, samples)
    kind, shape = suite.task.kind, list(samples.images.shape)
    found: dict[str, Any] = {"kind": kind, "images": shape, "classes": list(samples.classes)}
    try:
        fit = lab.fit(suite, suite.variants[0], samples)
    except LabError as error:
        return {**found, "refused": str(error.reason)}
    return {**found, "reading": asdict(fit.reading), "remarks": list(fit.remarks)}


def _show(path: Path, file: ModelFile, found: Mapping[str, Any]) -> None:
    from rich.markup import escape

    from harness.cli.tables import empty, show
    from harness.units import count, human

    table = empty("", "name", "type", "shape", "stands for")
    for role, tensors in (("input", file.inputs), ("output", file.outputs)):
        for one in tensors:
            shape = (
                "any" if one.shape is None else " x ".join("any" if size is None else str(size) for size in one.shape)
            )
            table.add_row(role, escape(one.name), one.type, shape, escape(_stands_for(role, one)))
    show(table)
    facts = [
        ("size", human(found["size_bytes"], "B")),
        ("parameters", count(file.parameters) if file.parameters is not None else _UNSAID[file.format]),
        (
            "multiply-adds",
            count(file.macs) if file.macs is not None else _UNSAID.get(file.format, "not known: sizes are open"),
        ),
        *file.versions.items(),
        *([("classes", ", ".join(file.classes))] if file.classes else []),
        *(
            ("other file", f"{name}, {'missing' if size is None else human(size, 'B')}")
            for name, size in _parts(path, file)
        ),
        ("operators", ", ".join(f"{name} {times}" for name, times in sorted(file.operators.items()))),
        *((f"lacking: {name}", why) for name, why in lacking(file).items()),
        *((name, f"does not load it: {why}" if why else "loads it") for name, why in found["runtimes"].items()),
    ]
    for name, value in facts:
        click.echo(f"{name}: {value}")
    if data := found.get("data"):
        click.echo(f"images: {' x '.join(map(str, data['images']))}, classes: {', '.join(data['classes'])}")
        for remark in data.get("remarks", ()):
            click.echo(f"remark: {remark}")
        if "refused" in data:
            click.echo(f"does not fit yet: {data['refused']}")
        else:
            click.echo(f"fits: its numbers are read as {data['reading']['kind'] or 'they are'}")
    click.echo(f"\n{found['toml']}")


def _stands_for(role: str, one: Tensor) -> str:
    scaled = f"(integer - {one.zero_point}) * {one.scale:.6g}" if one.scale else ""
    if role == "input":
        return scaled
    meaning = one.kind or f"not said (made by {one.maker or 'no operator'})"
    return f"{meaning}, {scaled}" if scaled else meaning
