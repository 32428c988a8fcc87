"""One model of a suite held against its data: what is said when the two do not fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness import registry
from harness.errors import LabError
from harness.formats import Tensor
from harness.lab.reading import shown
from harness.model import Samples, Suite, Variant


class Held:
    """One model of a suite held against its data; `remarks` grows with what should be seen."""

    def __init__(self, suite: Suite, variant: Variant, samples: Samples) -> None:
        self.suite, self.variant, self.samples = suite, variant, samples
        self.name = variant.path.name
        self.metrics = registry.load("metrics", suite.task.kind, file=shown(suite.file), key="task.kind")
        self.key = "baseline" if variant.id == suite.baseline else f"variant[{variant.id}]"
        self.remarks: list[str] = []
        output = dict(variant.output)
        self.declared: dict[str, Any] = {"output": output.pop("name", ""), **output}

    def refusal(self, text: str, *, remedy: str, key: str) -> LabError:
        """Return an error about this model.

        Args:
            text: what is wrong with it, after its file's name.
            remedy: what to do.
            key: of the suite that would say it, behind the model's own.
        """
        return LabError(f"{self.name} {text}", remedy=remedy, file=shown(self.suite.file), key=f"{self.key}.{key}")


def table(key: str) -> str:
    """Return the name of the table of the suite that declares a model."""
    return "baseline" if key == "baseline" else f"[{key.partition('[')[0]}]"


def key_of(name: str) -> str:
    """Return a name as a key of TOML."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(name: str) -> str:
    """Return a text as TOML writes it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def listed(tensors: Sequence[Tensor]) -> str:
    """Return inputs or outputs with their types and shapes, for a message."""
    return ", ".join(map(str, tensors)) or "none"


def words(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
