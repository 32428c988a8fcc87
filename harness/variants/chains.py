"""Builds the steps of variants, each once: variants that begin alike share what they have in common."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pydantic_core import to_jsonable_python

from harness import __version__, registry
from harness.errors import HarnessError, RecipeError
from harness.lab import chaining, ledger
from harness.lab.chaining import Loaded
from harness.model import Variant
from harness.ports.recipes import Build
from harness.variants import trial
from harness.variants.artefacts import Artefact, Cache, Data, key_of, writing

#: Files of this package that decide what a recipe writes: they feed models, train, and judge.
_SHARED: Final = ("recipes/_*.py", "agent/images.py", "metrics/*.py")
#: What of a `Build` does not matter, or is known by what is in it.
_KNOWN_OTHERWISE: Final = ("parent", "target", "samples", "first", "folder")


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the baseline from which chains are built.

    Attributes:
        variant: the file.
        given: what its recipes are given; parent, target and data are each step's own.
        data: the splits as this file is fed them.
    """

    variant: Variant
    given: Build
    data: Data


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who is shown how far a build has come.

    Attributes:
        say: called with one line for each thing that is begun or done.
        count: called with how many steps have come to an end, and how many are planned.
    """

    say: Callable[[str], None] = lambda _: None
    count: Callable[[int, int], None] = lambda _done, _planned: None


#: Characters of a parent's name that its child's begins with: a long chain has a name that fits into a folder, too.
_LONGEST: Final = 120
#: Nothing is shown.
NOBODY: Final = Watcher()


@dataclass(slots=True)
class Builder:
    """Builds the chains of one suite.

    Attributes:
        file: the suite's, for errors.
        kept: the cache of built steps.
        watcher: is shown each step.
        planned: the keys of all steps that will be asked for.
    """

    file: str
    kept: Cache
    watcher: Watcher
    planned: frozenset[str]
    _ended: set[str] = field(default_factory=set)
    _failed: dict[str, HarnessError] = field(default_factory=dict)

    def build(self, variant: Variant, source: Source) -> list[Artefact]:
        """Return the steps of a variant, built now or before; the last one is its file.

        Args:
            variant: what is to be built.
            source: the baseline's file in its format.

        Raises:
            RecipeError: a step failed, or did so for another variant of this suite. Those before it are kept.
        """
        done: list[Artefact] = []
        parent, sha256 = source.variant.path, source.variant.sha256
        chain = chaining.load(variant.id, variant.steps, file=self.file)
        asked = keys(variant, source.variant)
        for number, (one, key) in enumerate(zip(chain, asked, strict=True), 1):
            named = one.step.recipe + (f" ({number} of {len(chain)})" if len(chain) > 1 else "")
            try:
                if key in self._failed:
                    raise self._failed[key]
                with writing(self.kept.folder):
                    artefact = self._step(one, source, (parent, sha256), f"{variant.path.name}: {named}")
            except HarnessError as error:
                self._failed[key] = error
                self.end(asked)
                where = f"{one.name}: " if len(chain) > 1 else ""
                raise RecipeError(f"{self.file}: {variant.id}: {where}{error}") from error
            self.end([key])
            done.append(artefact)
            parent, sha256 = artefact.path, artefact.made.sha256
        return done

    def end(self, steps: Sequence[str]) -> None:
        """Count steps that are done, or that will not be."""
        self._ended.update(steps)
        self.watcher.count(len(self._ended), len(self.planned))

    def _step(self, one: Loaded, source: Source, parent: tuple[Path, str], named: str) -> Artefact:
        """Return one step, taken from the cache or built."""
        made = ledger.Made(
            recipe=one.step.recipe,
            parameters=dict(one.step.parameters),
            tools=_versions(one.module.TOOLS),
            settings=to_jsonable_python(one.options) or {},
            code=_code(one.step.recipe),
        )
        given = {
            item.name: getattr(source.given, item.name)
            for item in dataclasses.fields(source.given)
            if item.name not in _KNOWN_OTHERWISE
        }
        files = _files(one.options, source.given.folder)
        own = [made.recipe, made.settings, made.code, made.tools, _python(), *([files] if files else [])]
        first = None if parent[1] == source.variant.sha256 else source.variant.path
        began = source.variant.sha256 if first else ""
        key = key_of([own, given, parent[0].suffix, parent[1], began])
        before = self.kept.find(key, source.data)
        if before is not None:
            self.watcher.say(f"{named}: taken as it was built before")
            return dataclasses.replace(before, made=dataclasses.replace(before.made, parameters=made.parameters))
        self.watcher.say(f"{named} …")
        with self.kept.room() as room:
            suffix = f".{one.module.GIVES}" if getattr(one.module, "GIVES", "") else parent[0].suffix
            target = room / f"{parent[0].stem[-_LONGEST:]}+{one.step.recipe}{suffix}"
            samples, asked = source.data.recorded()
            job = dataclasses.replace(source.given, parent=parent[0], target=target, samples=samples, first=first)
            found, size = _run(one, job), target.stat().st_size
            written = dataclasses.replace(made, data=asked, sha256=ledger.sha256(target), size_bytes=size, found=found)
            return self.kept.keep(key, target, written)


def keys(variant: Variant, parent: Variant) -> list[str]:
    """Return what each step of a variant is known by: that of two variants is one step where they begin alike."""
    return [ledger.key(variant.steps[:count], parent.sha256) for count in range(1, len(variant.steps) + 1)]


def _run(one: Loaded, job: Build) -> dict[str, Any]:
    """Let a recipe write its file, try that out, and return what the recipe says that it decided.

    Raises:
        HarnessError: it failed, or wrote nothing that runs.
    """
    recipe = one.step.recipe
    try:
        found: dict[str, Any] = to_jsonable_python(one.module.build(job, one.options) or {})
        if not job.target.is_file():
            raise RecipeError(f"{recipe} wrote no file", remedy="correct the recipe: it is to write `job.target`")
        trial.run(job.target, recipe)
    except HarnessError:
        raise
    except MemoryError as error:
        raise RecipeError(
            f"{recipe} ran out of memory on {job.parent.name}{f' ({error})' if str(error) else ''}",
            remedy="build where there is more of it, or with smaller images",
        ) from error
    except Exception as error:
        # The converters have no error tree of their own, and raise whatever went wrong deep inside them.
        reason = (str(error).splitlines() or [""])[0]
        raise RecipeError(
            f"{recipe} failed on {job.parent.name} ({type(error).__name__}: {reason})",
            remedy="its tool does not take this model: export it in another way, or bring this variant ready-made",
        ) from error
    return found


def _files(options: Any, folder: Path) -> dict[str, str]:
    """Return option -> digest of the file that it names.

    Raises:
        RecipeError: it cannot be read.
    """
    found = {}
    for item in dataclasses.fields(options):
        named = getattr(options, item.name)
        if isinstance(named, Path):
            try:
                found[item.name] = ledger.sha256(folder / named)
            except OSError as error:
                raise RecipeError(
                    f"{item.name} = {str(named)!r} cannot be read ({error.strerror})",
                    remedy=f"correct it: the path counts from {folder}",
                ) from error
    return found


def _versions(tools: Sequence[str]) -> dict[str, str]:
    """Return distribution -> version of those of a recipe's tools that are installed: one format may need fewer."""
    found = {}
    for name in tools:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@cache
def _code(recipe: str) -> str:
    """Return the digest of a recipe's source: its own files, and what of this package recipes share."""
    here = Path(registry.__file__).parent
    shared = sorted(path for pattern in _SHARED for path in here.glob(pattern))
    files = {str(path.relative_to(here)): path.read_bytes() for path in shared}
    digest = hashlib.sha256(__version__.encode())
    for name, content in sorted({**files, **registry.sources("recipes", recipe)}.items()):
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def _python() -> list[Any]:
    """Return what else of this machine decides what is computed."""
    return [*sys.version_info[:2], platform.machine()]
