"""`edgeward build`: makes the model files that a suite's recipes describe, and writes down how in the ledger."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from harness import lab, pixels, registry, stats, units
from harness.errors import HarnessError, LabError, RecipeError
from harness.lab import ledger
from harness.lab.reading import check, parse
from harness.lab.tables import SuiteTable
from harness.model import InputSpec, IntArray, Samples, Suite, Variant
from harness.ports import Build
from harness.variants import trial

Progress = Callable[[str], None]


def build_suite(
    suite_file: Path, *, force: bool = False, only: Sequence[str] = (), progress: Progress = lambda _: None
) -> list[Path]:
    """Build every variant of a suite that has a recipe, and return the files that were made.

    A file whose ledger entry fits what the suite asks for is left alone. Missing files of the baseline are made first,
    by the script that `[baseline] source` names.

    Args:
        suite_file: the suite's TOML.
        force: build also what is up to date.
        only: ids of the variants to build; empty for all.
        progress: called with one line for each step.

    Raises:
        LabError: the suite is wrong, an id is unknown, or the baseline is missing and has no source.
        RecipeError: a recipe failed; what was built before it is kept.
    """
    suite = _with_baseline(lab.read_suite(suite_file), progress)
    _check_only(suite, only)
    made = []
    for variant in suite.variants:
        if variant.recipe is None or (only and variant.id not in only):
            continue
        if not variant.problem and not force:
            progress(f"{variant.path.name}: up to date")
            continue
        progress(f"{variant.path.name}: {variant.recipe} …")
        _build(suite, variant)
        made.append(variant.path)
        progress(f"{variant.path.name}: {variant.path.stat().st_size / 1000:.0f} kB")
    return made


def _check_only(suite: Suite, only: Sequence[str]) -> None:
    built = sorted({variant.id for variant in suite.variants if variant.recipe})
    for name in only:
        if name not in built:
            hint = registry.suggestion(name, built)
            raise LabError(
                f"no variant {name!r} is built from a recipe", remedy=hint, file=lab.shown(suite.file), key="variant"
            )


def _with_baseline(suite: Suite, progress: Progress) -> Suite:
    """Return the suite with the files of its baseline in place."""
    missing = [variant for variant in suite.variants if variant.id == suite.baseline and variant.problem]
    if not missing:
        return suite
    file = lab.shown(suite.file)
    source = check(SuiteTable, parse(suite.file), file=file).baseline.source
    if not source:
        raise LabError(missing[0].problem, file=file, key="baseline.model")
    script = suite.file.parent / source
    progress(f"{', '.join(variant.path.name for variant in missing)}: {script.name} …")
    if subprocess.run([sys.executable, str(script)], check=False).returncode:
        raise RecipeError(f"{lab.shown(script)} failed, see above", remedy=f"the baseline of {suite.id} is not built")
    return lab.read_suite(suite.file)


def _build(suite: Suite, variant: Variant) -> None:
    """Run one recipe and enter its result into the ledger."""
    file = lab.shown(suite.file)
    parent = _parent(suite, variant)
    key = f"variant[{variant.id}]"
    recipe = registry.load("recipes", str(variant.recipe), file=file, key=f"{key}.recipe")
    options = registry.options(recipe, variant.parameters, file=file, key=f"{key}.parameters")
    try:
        splits = _Splits(suite, lab.input_of(suite, parent))
        splits = replace(splits, input=_fed(suite, parent, splits))
        recipe.build(Build(parent.path, variant.path, splits, splits.input, suite.task), options)
        trial.run(variant.path, str(variant.recipe))
    except HarnessError as error:
        raise RecipeError(f"{file}: {variant.id}: {error}") from error
    except Exception as error:
        # The converters have no error tree of their own, and raise whatever went wrong deep inside them.
        reason = (str(error).splitlines() or [""])[0]
        raise RecipeError(
            (f"{file}: {variant.id}: {variant.recipe} failed on {parent.path.name} ({type(error).__name__}: {reason})"),
            remedy="its tool does not take this model: export it in another way, or bring this variant ready-made",
        ) from error
    entries = ledger.read(variant.path.parent)
    entries[variant.path.name] = ledger.Entry(
        recipe=str(variant.recipe),
        parameters=dict(variant.parameters),
        parent=parent.path.name,
        parent_sha256=parent.sha256,
        key=ledger.key(str(variant.recipe), variant.parameters, parent.sha256),
        sha256=ledger.sha256(variant.path),
        size_bytes=variant.path.stat().st_size,
        tools=_versions(recipe.TOOLS),
    )
    ledger.write(variant.path.parent, entries)


def _fed(suite: Suite, parent: Variant, splits: _Splits) -> InputSpec:
    """Return how images become the parent's input, by its file where that says it.

    Raises:
        LabError: its file does not fit the data.
    """
    try:
        samples = splits.measured()
    except LabError:
        return splits.input  # a recipe that learns from data says what is wrong with it; others need none
    return lab.fit(suite, parent, samples).input


def _versions(tools: Sequence[str]) -> dict[str, str]:
    """Return distribution -> version of those of a recipe's tools that are installed: one format may need fewer."""
    found = {}
    for name in tools:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _parent(suite: Suite, variant: Variant) -> Variant:
    """Return the baseline's file of the variant's own format."""
    return next(one for one in suite.variants if one.id == suite.baseline and one.format == variant.format)


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
        return self._converted(_without(samples, left_out))

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


def _without(samples: Samples, left_out: IntArray) -> Samples:
    """Return a split without the images at some indices."""
    keep = np.delete(np.arange(len(samples.images)), left_out)
    return replace(
        samples,
        images=samples.images[keep],
        labels=samples.labels[keep] if len(samples.labels) else samples.labels,
        masks=samples.masks[keep] if samples.masks is not None else None,
        groups=samples.groups[keep] if samples.groups is not None else None,
        description=f"{samples.description}, {len(left_out)} left out",
    )
