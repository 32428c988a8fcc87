"""`edgeward init`: a lab of one's own, from the templates in harness/cli/scaffold/."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.errors import LabError
from harness.registry import suggestion

TEMPLATES: Final = Path(__file__).parent / "scaffold"
#: Template -> where it goes. A dot file among the templates would be at work in this repository.
FILES: Final = {
    "devices/local.toml": "devices/local.toml",
    "suites/mymodel.toml": "suites/mymodel.toml",
    "gitignore": ".gitignore",
    "README.md": "README.md",
}
_SUITE: Final = "suites/mymodel.toml"
FOLDERS: Final = ("suites/models", "suites/data", "reports")


def lay_out(folder: Path, *, model: Path | None = None, data: Path | None = None, positive: str = "") -> Iterator[str]:
    """Make a lab and yield one line for each file, then what to do next; what is there already stays as it is.

    Args:
        folder: of the lab.
        model: copied into it and declared; None for a suite to edit.
        data: its labelled images, which stay where they are; given with a model and not without.
        positive: the class that sensitivity speaks of.

    Raises:
        LabError: the folder holds suites already or cannot be written to, or model and data do not go together.
    """
    if (model is None) != (data is None):
        raise LabError("--model and --data go together", remedy="give both, or neither", file=str(folder))
    suites = sorted((folder / "suites").glob("*.toml"))
    if suites:
        raise LabError(
            f"is a lab already, with {suites[0].name}",
            remedy="name another folder, or edit that file",
            file=str(folder),
        )
    # Read before anything is written: what does not fit leaves no folder behind.
    own = _suite_of(folder, model, data, positive) if model is not None and data is not None else None
    try:
        for place in FOLDERS:
            (folder / place).mkdir(parents=True, exist_ok=True)
        for source, target in FILES.items():
            if own is None or target != _SUITE:
                yield write(folder / target, (TEMPLATES / source).read_text("utf-8"))
        if own is not None and model is not None:
            for name in (model.name, *own.parts):
                yield _copied(model.parent / name, folder / "suites/models" / name)
            yield write(folder / f"suites/{own.name}.toml", own.text)
    except OSError as error:
        raise LabError(
            f"cannot be written ({error.strerror})", remedy="name another folder", file=str(folder)
        ) from error
    yield ""
    if own is not None:
        yield from own.remarks
        yield f"Look at [data.input] in {folder / f'suites/{own.name}.toml'}, which no file says, and run in {folder}:"
        yield "  pytest suites --device local"
        return
    yield f"Now put your model and your labelled images into {folder / 'suites'}, edit the three lines marked EDIT in"
    yield f"{folder / 'suites/mymodel.toml'}, and run in {folder}:  pytest suites --device local"


@dataclass(frozen=True, slots=True)
class _Suite:
    """A suite that is written for a model: its name, its text, files of weights beside it, and what should be seen."""

    name: str
    text: str
    parts: tuple[str, ...]
    remarks: tuple[str, ...]


def _suite_of(folder: Path, model: Path, data: Path, positive: str) -> _Suite:
    """Return the suite of one model and its images, which fits them or says what only a person knows."""
    from harness import lab
    from harness.cli.inspecting import read_data, read_model, suite_lines, suite_of
    from harness.lab.joining import joined

    file, samples = read_model(model), read_data(data)
    if file.parts:
        joined(model)  # refuses what is not there, or lies outside of the model's folder
    suite = suite_of(model, file, samples)
    fit = lab.fit(suite, suite.variants[0], samples)
    classes = samples.classes
    if positive and positive not in classes:
        raise LabError(f"{positive!r} is no class of the data", remedy=suggestion(positive, classes), file=str(data))
    if not positive and (len(classes) == 2 or suite.task.kind == "segmentation"):
        raise LabError(
            f"the data has the classes {', '.join(classes)}",
            remedy=" or ".join(f"give --positive {shlex.quote(name)}" for name in classes),
            file=str(data),
        )
    # A path from the suite, as all paths in it.
    where = Path(os.path.relpath(data.absolute(), (folder / "suites").absolute()))
    name = re.sub(r"[^A-Za-z0-9._+-]", "-", model.stem).lstrip("._+-") or "model"
    remarks = tuple(f"remark: {remark}" for remark in fit.remarks)
    task = [f'kind = "{suite.task.kind}"', *([f"positive = {json.dumps(positive)}"] if positive else [])]
    lines = suite_lines(name, f"models/{model.name}", where, fit.input.layout, task)
    if fit.reading.output:
        lines.append(f"output = {{ name = {json.dumps(fit.reading.output)} }}")
    return _Suite(name, "\n".join([*lines, ""]), file.parts, remarks)


def _copied(source: Path, target: Path) -> str:
    if target.exists():
        return f"kept    {target}"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return f"copied  {target}"


def write(path: Path, text: str) -> str:
    """Write a file that is not there yet, with its folder, and return the line that says what became of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return f"kept    {path}"
    return f"written {path}"
