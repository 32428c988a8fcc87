"""The model files of a suite -> Variant nouns, each with its digest or the reason why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness import registry
from harness.errors import HarnessError, LabError
from harness.lab import chaining, ledger
from harness.lab.contents import apart, mistaken
from harness.lab.joining import joined
from harness.lab.reading import shown
from harness.lab.tables import BaselineTable, VariantTable
from harness.model import Step, Suite, Variant


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001  they say whether it is an older one
    return ledger.sha256(path)


def measured(path: Path) -> tuple[str, int]:
    """Return sha256 and size in bytes of a file; read once a process as long as it does not change."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns), status.st_size


def brought(suite: Suite, path: Path) -> Variant:
    """Return a model file as one more variant of a suite: fed and read as the baseline is.

    Raises:
        LabError: it cannot be read or is damaged, or the baseline has no file of its format.
    """
    heads = [one for one in suite.variants if one.id == suite.baseline]
    names = {one.id for one in suite.variants}
    name = path.stem if path.stem not in names else f"{path.stem}-{path.suffix.removeprefix('.')}"
    found = Models(suite.file).brought(name, path, parent=suite.baseline)
    if found.problem:
        raise LabError(found.problem, remedy="give the path of a model", file=shown(path))
    if found.format not in {one.format for one in heads}:
        raise LabError(
            f"the baseline of {suite.id} has no .{found.format} file to hold it against",
            remedy=f"add one to baseline.model in {shown(suite.file)}",
            file=shown(path),
        )
    return replace(found, input=heads[0].input, output=heads[0].output, inputs=heads[0].inputs)


def declared(table: BaseModel) -> dict[str, Any]:
    """Return the keys that a table of a model's input or output really has."""
    return {key: value for key, value in table.model_dump().items() if value is not None}


@dataclass(frozen=True)
class Models:
    """Reads the models of one suite file; `output` is what its task declares for all of them."""

    file: Path
    output: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The suite file as the user would type it."""
        return shown(self.file)

    @property
    def folder(self) -> Path:
        """Where recipes put what they build."""
        return self.file.parent / "models"

    @cached_property
    def _ledger(self) -> Mapping[str, ledger.Entry]:
        return ledger.read(self.folder)

    def baseline(self, table: BaselineTable) -> list[Variant]:
        """Return the baseline, one noun a format, in the file's order."""
        brought = [
            replace(self.brought(table.id, path, parent="", xfail=""), **self._declared(table))
            for path in self._paths(table.model, key="baseline.model")
        ]
        found = list(brought)
        for recipe in table.convert:
            for one in self._converted(table.id, recipe, brought):
                if one.format in {other.format for other in found}:
                    raise LabError(
                        f"{recipe} gives a .{one.format} file, and there is one",
                        remedy="leave one of them",
                        file=self.name,
                        key="baseline.convert",
                    )
                found.append(replace(one, **self._declared(table)))
        return found

    def _converted(self, name: str, recipe: str, brought: Sequence[Variant]) -> Iterator[Variant]:
        """Yield the baseline in the format that a recipe gives, built from the file of it that the recipe takes."""
        steps = (Step(recipe),)
        chain = chaining.load(name, steps, file=self.name, key="baseline.convert")
        if not getattr(chain[0].module, "GIVES", ""):
            raise LabError(
                f"{recipe} changes the model, not its format: it makes a variant",
                remedy=f'write recipe = "{recipe}" under [[variant]]',
                file=self.name,
                key="baseline.convert",
            )
        for parent, format_ in chaining.parents(chain, brought, file=self.name):
            yield self._built(name, steps, parent, format_)

    def variant(self, table: VariantTable, baseline: Sequence[Variant]) -> list[Variant]:
        """Return one `[[variant]]`, one noun a format.

        Raises:
            LabError: not exactly one of `recipe` and `model`, an unknown recipe or option, steps that do not fit each
                other, or no baseline for them.
        """
        key = f"variant[{table.id}]"
        if (table.recipe is None) == (table.model is None):
            raise LabError(
                "needs either `recipe` or `model`, and not both", remedy="leave one", file=self.name, key=key
            )
        if table.model is not None:
            if table.parameters:
                raise LabError(
                    "only a recipe takes parameters", remedy="remove them", file=self.name, key=f"{key}.parameters"
                )
            brought = self._ready_made(table, table.model, baseline, key)
            return [replace(one, **self._declared(table)) for one in brought]
        # What is built of the baseline is fed and read as that is, where it does not say otherwise.
        built = self._from_steps(table, baseline)
        return [replace(one, **self._declared(table, baseline[0])) for one in built]

    def _declared(self, table: BaselineTable | VariantTable, of: Variant | None = None) -> dict[str, Any]:
        above = of.output if of else self.output
        fed = {**(of.input if of else {}), **declared(table.input)}
        inputs = {**(of.inputs if of else {}), **table.inputs}
        return {"input": fed, "output": {**above, **declared(table.output)}, "inputs": inputs}

    def _ready_made(
        self, table: VariantTable, model: str | list[str], baseline: Sequence[Variant], key: str
    ) -> Iterator[Variant]:
        for path in self._paths(model, key=f"{key}.model"):
            variant = self.brought(table.id, path, parent=baseline[0].id, xfail=table.xfail)
            if variant.format not in {one.format for one in baseline}:
                raise LabError(
                    "no baseline has its format",
                    remedy=f"add a .{variant.format} file to baseline.model",
                    file=self.name,
                    key=f"{key}.model",
                )
            yield variant

    def _from_steps(self, table: VariantTable, baseline: Sequence[Variant]) -> Iterator[Variant]:
        steps = chaining.steps(table, file=self.name)
        chain = chaining.load(table.id, steps, file=self.name)
        # What the baseline was converted to is no start of a chain: its recipes take what was brought.
        brought = [one for one in baseline if not one.steps]
        for parent, format_ in chaining.parents(chain, brought, file=self.name):
            head = next((one for one in baseline if one.format == format_), None)
            if head is None:
                raise LabError(
                    f"{chain[-1].name} gives a .{format_} file, and no baseline has this format to compare it with",
                    remedy=f'write convert = ["{chain[-1].step.recipe}"] under [baseline]',
                    file=self.name,
                    key=chain[-1].key,
                )
            if head.steps == steps:
                raise LabError(
                    f"makes the baseline's own .{format_} file again",
                    remedy="leave this variant out, or give its recipe other parameters",
                    file=self.name,
                    key=chain[-1].key,
                )
            yield replace(self._built(table.id, steps, parent, format_), parent=baseline[0].id, xfail=table.xfail)

    def _built(self, name: str, steps: tuple[Step, ...], parent: Variant, format_: str) -> Variant:
        """Return what steps make of a file of the baseline, where `edgeward build` puts it.

        Args:
            name: its id.
            steps: how it is built.
            parent: from which file.
            format_: that it gets.
        """
        path = self.folder / f"{name}.{format_}"
        problem = self._staleness(path, steps, parent)
        sha256, size = ("", 0) if problem else measured(path)
        return Variant(
            id=name,
            format=format_,
            path=path,
            sha256=sha256,
            size_bytes=size,
            steps=steps,
            problem=problem,
            origin=parent.format if format_ != parent.format else "",
        )

    def _staleness(self, path: Path, steps: Sequence[Step], parent: Variant) -> str:
        """Return why a built file must not be measured, or ""."""
        if parent.problem:
            return f"its baseline cannot be used: {parent.problem}"
        try:
            entry = self._ledger.get(path.name)
        except LabError as error:
            return str(error)
        built = (
            path.is_file()
            and entry is not None
            and entry.key == ledger.key(steps, parent.sha256)
            and entry.sha256 == measured(path)[0]
        )
        return "" if built else f"{shown(path)} is not built for this baseline; run `edgeward build {self.name}`"

    def _paths(self, model: str | list[str], *, key: str) -> list[Path]:
        """Return the files of `model`, of which no two may have the same format."""
        paths = [self.file.parent / text for text in ([model] if isinstance(model, str) else model)]
        formats = [self._format(path, key=key) for path in paths]
        if not paths:
            raise LabError("names no file", remedy="write the path of a model", file=self.name, key=key)
        if len(set(formats)) < len(formats):
            raise LabError("holds two files of one format", remedy="leave one for each format", file=self.name, key=key)
        return paths

    def _format(self, path: Path, *, key: str) -> str:
        known = sorted({one for runtime in registry.runtimes().values() for one in runtime.formats})
        if (suffix := path.suffix.removeprefix(".")) not in known:
            suffixes = ", ".join(f".{one}" for one in known)
            raise LabError(
                f"{path.name!r} has no format that a runtime takes", remedy=f"use {suffixes}", file=self.name, key=key
            )
        return suffix

    def brought(self, name: str, path: Path, *, parent: str, xfail: str = "") -> Variant:
        """Return a model file as it is found; what is wrong with it is its `problem`.

        Args:
            name: its id.
            path: the file.
            parent: the id of its baseline.
            xfail: why it is expected to fail.
        """
        problem, sha256, size, format_ = "", "", 0, path.suffix.removeprefix(".")
        parts: tuple[str, ...] = ()
        try:
            if apart(path, format_):
                path, parts = joined(path)
            sha256, size = measured(path)
        except HarnessError as error:
            problem = str(error.reason)
        except FileNotFoundError:
            problem = f"{shown(path)} does not exist; put the model there or correct its path"
        except OSError as error:
            problem = f"{shown(path)} cannot be read ({error.strerror}); correct its path"
        else:
            if not size:
                problem = f"{shown(path)} is empty; put the whole model there"
            elif said := mistaken(path, format_):
                problem = f"{shown(path)} {said}"
        return Variant(
            id=name,
            format=format_,
            path=path,
            sha256="" if problem else sha256,
            size_bytes=size,
            parent=parent,
            xfail=xfail,
            problem=problem,
            parts=parts,
        )
