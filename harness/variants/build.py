"""`edgeward build`: makes the model files that a suite's recipes describe, and writes down how in the ledger."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from harness import cache_dir, lab, pixels, registry, stats, units
from harness.errors import HarnessError, LabError, RecipeError
from harness.lab import ledger
from harness.lab.reading import check, parse
from harness.lab.tables import SuiteTable
from harness.model import Fit, InputSpec, Samples, Suite, Variant
from harness.ports.recipes import Build
from harness.recipes._onnx_tools import whole
from harness.variants import chains
from harness.variants.artefacts import Artefact, Cache, Data, writing
from harness.variants.chains import NOBODY, Builder, Source, Watcher


def build_suite(
    suite_file: Path, *, force: bool = False, only: Sequence[str] = (), watcher: Watcher = NOBODY
) -> list[Path]:
    """Build every variant of a suite that has a recipe, and return the files that were made.

    A file whose ledger entry fits what the suite asks for, and the images that it learnt from, is left alone. Missing
    files of the baseline are made first, by the script that `[baseline] source` names. A step that was built before,
    for whatever variant, is not built again; a variant that cannot be built keeps none of the others from being built.

    Args:
        suite_file: the suite's TOML.
        force: build also what is up to date, and every step of it.
        only: ids of the variants to build; empty for all.
        watcher: is shown each step.

    Raises:
        LabError: the suite is wrong, an id is unknown, or the baseline is missing and has no source.
        RecipeError: a variant could not be built; all that could be are.
    """
    suite = _with_baseline(lab.read_suite(suite_file), watcher)
    _check_only(suite, only)
    wanted = [variant for variant in suite.variants if variant.steps and (not only or variant.id in only)]
    work = _Work(suite, Cache(cache_dir() / "steps", anew=force), watcher)
    for variant in wanted:
        if variant.problem or force or work.learnt_otherwise(variant):
            work.wanted.append(variant)
    return work.done()


class Candidates:
    """Builds variants that are in no suite file, such as those of a search; they stay in the cache.

    Args:
        suite_file: of the suite that they are of; missing files of its baseline are made first.
        watcher: is shown each step.

    Raises:
        LabError: as `build_suite`.
    """

    def __init__(self, suite_file: Path, watcher: Watcher = NOBODY) -> None:
        suite = _with_baseline(lab.read_suite(suite_file), watcher)
        self._work = _Work(suite, Cache(cache_dir() / "steps"), watcher)

    def built(self, variant: Variant) -> Variant:
        """Return a variant with its file; one that was brought ready-made is returned as it is.

        Raises:
            RecipeError: it could not be built; its finished steps are kept.
            LabError: the file that it is to be cannot be used.
        """
        if variant.steps:
            return self._work.candidate(variant)
        if variant.problem:
            raise LabError(variant.problem, file=lab.shown(self._work.suite.file))
        return variant


def _check_only(suite: Suite, only: Sequence[str]) -> None:
    built = sorted({variant.id for variant in suite.variants if variant.steps})
    for name in only:
        if name not in built:
            hint = registry.suggestion(name, built)
            raise LabError(
                f"no variant {name!r} is built from a recipe", remedy=hint, file=lab.shown(suite.file), key="variant"
            )


def _with_baseline(suite: Suite, watcher: Watcher) -> Suite:
    """Return the suite with the files of its baseline in place."""
    missing = [
        variant for variant in suite.variants if variant.id == suite.baseline and variant.problem and not variant.steps
    ]
    if not missing:
        return suite
    file = lab.shown(suite.file)
    source = check(SuiteTable, parse(suite.file), file=file).baseline.source
    if not source:
        raise LabError(missing[0].problem, file=file, key="baseline.model")
    script = suite.file.parent / source
    watcher.say(f"{', '.join(variant.path.name for variant in missing)}: {script.name} …")
    if subprocess.run([sys.executable, str(script)], check=False).returncode:
        raise RecipeError(f"{lab.shown(script)} failed, see above", remedy=f"the baseline of {suite.id} is not built")
    return lab.read_suite(suite.file)


@dataclass(slots=True)
class _Work:
    """Builds the variants of a suite that are `wanted`, one after the other."""

    suite: Suite
    cache: Cache
    watcher: Watcher
    wanted: list[Variant] = field(default_factory=list)
    _sources: dict[Path, Source] = field(default_factory=dict)
    _read: dict[str, Samples] = field(default_factory=dict)

    def done(self) -> list[Path]:
        """Return the files that were made; raises RecipeError once all have been tried, if one could not be."""
        planned = {key for variant in self.wanted for key in chains.keys(variant, _parent(self.suite, variant))}
        builder = self._builder(planned)
        made, failed = [], []
        if self.wanted:
            builder.end([])  # shows what is planned
        for variant in self.wanted:
            try:
                steps = builder.build(variant, self._source(variant))
                self._enter(variant, steps)
            except RecipeError as error:
                self.watcher.say(f"{variant.path.name}: not built, see the end")
                failed.append(error)
                continue
            made.append(variant.path)
            self.watcher.say(f"{variant.path.name}: {variant.path.stat().st_size / 1000:.0f} kB")
            for name, value in (item for one in steps for item in one.made.found.items()):
                self.watcher.say(f"{variant.path.name}: {name} = {json.dumps(value, ensure_ascii=False)}")
        if len(failed) == 1:
            raise failed[0]
        if failed:
            raise RecipeError("\n".join(map(str, failed)))
        return made

    def candidate(self, variant: Variant) -> Variant:
        """Return a variant with its file, left where the cache has it; raises RecipeError if it cannot be built."""
        steps = self._builder(chains.keys(variant, _parent(self.suite, variant))).build(variant, self._source(variant))
        built = steps[-1]
        return replace(variant, path=built.path, sha256=built.made.sha256, size_bytes=built.made.size_bytes, problem="")

    def _builder(self, planned: Iterable[str]) -> Builder:
        return Builder(lab.shown(self.suite.file), self.cache, self.watcher, frozenset(planned))

    def learnt_otherwise(self, variant: Variant) -> bool:
        """Return whether a built file learnt from other images than its recipes would be given today, and say it.

        A split that cannot be read today makes nothing out of date: models are built and measured in different places.
        """
        name = variant.path.name
        learnt = {
            split: digest
            for step in ledger.read(variant.path.parent)[name].steps
            for split, digest in (step.data or {}).items()
            if digest
        }
        unread = ""
        for split, digest in learnt.items():
            try:
                if self._source(variant).data.read_digest(split) == digest:
                    continue
            except LabError as error:
                unread = f"; whether it would learn from other images today cannot be seen: {error}"
                continue
            except RecipeError:
                pass  # its recipes raise it, too
            self.watcher.say(f"{name}: its images of the split {split} are not those that it learnt from")
            return True
        self.watcher.say(f"{name}: up to date{unread}")
        return False

    def _source(self, variant: Variant) -> Source:
        """Return what a variant is built from; its data are read once for all that are built from it."""
        parent = _parent(self.suite, variant)
        if parent.path not in self._sources:
            try:
                splits = _Splits(self.suite, lab.input_of(self.suite, parent), self._read)
                fit = _fit(self.suite, parent, splits)
                splits = replace(splits, input=fit.input)
            except HarnessError as error:
                raise RecipeError(f"{lab.shown(self.suite.file)}: {variant.id}: {error}") from error
            folder = self.suite.file.parent
            given = Build(parent.path, variant.path, splits, fit.input, self.suite.task, fit.reading, folder=folder)
            self._sources[parent.path] = Source(parent, given, Data(splits))
        return self._sources[parent.path]

    def _enter(self, variant: Variant, steps: Sequence[Artefact]) -> None:
        """Put a built file where the suite looks for it, and write into the ledger how it was made."""
        parent, built = _parent(self.suite, variant), steps[-1]
        with writing(variant.path.parent), whole(variant.path) as partial:
            shutil.copyfile(built.path, partial)
        entries = ledger.read(variant.path.parent)
        entries[variant.path.name] = ledger.Entry(
            steps=tuple(one.made for one in steps),
            parent=parent.path.name,
            parent_sha256=parent.sha256,
            key=ledger.key(variant.steps, parent.sha256),
            sha256=built.made.sha256,
            size_bytes=built.made.size_bytes,
        )
        ledger.write(variant.path.parent, entries)


def _fit(suite: Suite, parent: Variant, splits: _Splits) -> Fit:
    """Return how images become the parent's input and how it is read, by its file where that says it.

    Raises:
        LabError: its file does not fit the data.
    """
    try:
        samples = splits.measured()
    except LabError:
        return Fit(splits.input)  # a recipe that learns from data says what is wrong with it; others need none
    return lab.fit(suite, parent, samples)


def _parent(suite: Suite, variant: Variant) -> Variant:
    """Return the baseline's file that the variant is built from: of its own format, or of what it is converted from."""
    wanted = variant.origin or variant.format
    return next(one for one in suite.variants if one.id == suite.baseline and one.format == wanted)


@dataclass(frozen=True, slots=True)
class _Splits:
    """Reads a split of the suite's data when a recipe asks for it: no image or patient of it is measured, too.

    Its images have the size and the colours that `input` says.
    """

    suite: Suite
    input: InputSpec
    read: dict[str, Samples] = field(default_factory=dict)

    def __call__(self, split: str) -> Samples:
        """Return one split.

        Raises:
            LabError: there is no such split.
            RecipeError: it is what is measured, or images of it are measured too and `[data] overlap` does not leave
                them out.
        """
        if split == self.suite.split:
            raise RecipeError(
                f"the split {split} is what is measured, and a recipe must not learn from it",
                remedy="correct `split` in [data]",
            )
        samples = self._read(split)
        measured = self.measured()
        common = stats.overlap(samples.images, measured.images)
        patients = stats.common_groups(samples.groups, samples.group_names, measured.groups, measured.group_names)
        left_out = np.union1d(common.first, patients)
        if not len(left_out):
            return self._converted(samples)
        if len(left_out) == len(samples.images):
            raise RecipeError(
                f"every image of the split {split} is of the split {self.suite.split} too, which is what is measured",
                remedy=f"give {split} images of its own under [data]",
            )
        if self.suite.overlap == "refuse":
            said = [f"are (nearly) in {self.suite.split} too: {common}"] if len(common.first) else []
            if len(patients):
                said.append(f"are of patients who are in {self.suite.split} too")
            counts = [units.count(len(one)) for one in (common.first, patients) if len(one)]
            every = units.count(len(samples.images))
            raise RecipeError(
                "; ".join(
                    f"{count} of {every} images of the split {split} {what}"
                    for count, what in zip(counts, said, strict=True)
                ),
                remedy='remove them, or write overlap = "leave_out" under [data]: the recipe then does not see them',
            )
        return self._converted(samples.without(left_out))

    def measured(self) -> Samples:
        """Return the split that is measured, as it is."""
        return self._read(self.suite.split)

    def _converted(self, samples: Samples) -> Samples:
        return replace(samples, images=pixels.converted(samples.images, self.input))

    def _read(self, split: str) -> Samples:
        if split in self.read:
            return self.read[split]
        samples = lab.read_split(self.suite, split)
        self.read[split] = samples
        return samples
