"""How a variant is built from its baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from harness.model import InputSpec, Reading, Samples, Task


@dataclass(frozen=True, slots=True)
class Build:
    """What a recipe is given: the parent's file, where the result goes, and the suite's data.

    Attributes:
        parent: the model that the recipe changes: the baseline's file, or in a chain what the step before wrote.
        target: the file to write.
        samples: name of a split -> its images and labels.
        input: how images become the input of a model.
        task: of the suite.
        reading: how a model is read.
        first: the baseline's file with which the chain begins, None where that is `parent`.
        folder: of the suite. Paths among a recipe's options count from it; what these files hold decides, too, whether
            a step is built anew.
    """

    parent: Path
    target: Path
    samples: Callable[[str], Samples]
    input: InputSpec
    task: Task
    reading: Reading = field(default_factory=Reading)
    first: Path | None = None
    folder: Path = Path()

    @property
    def baseline(self) -> Path:
        """The suite's baseline in the format of the parent: what a user compares with."""
        return self.first or self.parent


#: Types of the weights in a model, by which steps of a chain fit each other.
WEIGHTS: Final = ("float32", "float16", "int8", "int4")


class Recipe(Protocol):
    """harness/recipes/NAME.py: how a variant is built from its baseline.

    Attributes:
        FORMATS: of the parents that it takes.
        TOOLS: the distributions that decide what it writes; the ledger keeps their versions.
        Options: the keys of `parameters`.
        TAKES: which of WEIGHTS the weights of its parent may be; a chain in which they are not is refused unbuilt.
            Without it, whatever a step before leaves is tried.
        LEAVES: which of WEIGHTS it writes, "" where they stay as they were; None: it does not say.
        GIVES: the format that it writes, "" for that of its parent.
    """

    FORMATS: tuple[str, ...]
    TOOLS: tuple[str, ...]
    TAKES: tuple[str, ...] = ()
    LEAVES: str | None = None
    GIVES: str = ""
    Options: type[Any]

    def build(self, job: Build, options: Any) -> Mapping[str, Any] | None:
        """Write the variant to `job.target`, and return what was decided meanwhile, for the ledger, or None.

        Raises:
            RecipeError: naming the extra to install when a tool is missing, or why this model cannot be made into it.
        """
