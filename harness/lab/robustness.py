"""`[robustness]` of a suite file -> what is meant, or a refusal with the line to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness import corruptions, registry
from harness.errors import LabError
from harness.lab.tables import RobustnessTable
from harness.model import Robustness, Task
from harness.vocabulary import UNDER, MetricInfo

_ALL: Final = "medmnist-c"


def wanted(table: RobustnessTable | None, data: Mapping[str, Any], task: Task, *, file: str) -> Robustness | None:
    """Return what a suite asks for beside its images as they are, None where it does not.

    Args:
        table: as it was read.
        data: the keys of `[data]`.
        task: what the models are for.
        file: the suite's file, for errors.

    Raises:
        LabError: a corruption is not known, or it is left open which severities are meant.
    """
    if table is None:
        return None
    if not (table.corruptions or table.attacks or table.occlusion):
        raise LabError(
            "asks for nothing",
            remedy=f'write corruptions = "{_ALL}", attacks = ["fgsm"] or occlusion = 20, or remove the table',
            file=file,
            key="robustness",
        )
    if (table.attacks or table.occlusion) and task.kind != "classification":
        key = "attacks" if table.attacks else "occlusion"
        raise LabError(
            f"is of classifications, and the task is {task.kind}",
            remedy="remove it",
            file=file,
            key=f"robustness.{key}",
        )
    if not _chief(task, file=file):
        raise LabError(
            f"cannot be judged: {task.kind} has no accuracy of each image",
            remedy="remove the table",
            file=file,
            key="robustness",
        )
    for key in ("severities", "attacks", "corruptions"):
        listed = getattr(table, key)
        if isinstance(listed, list) and len(set(listed)) < len(listed):
            raise LabError("names one twice", remedy="name each once", file=file, key=f"robustness.{key}")
    meant = _registry(table, data, file=file)
    return Robustness(
        corruptions=_names(table, meant, file=file),
        registry=meant,
        severities=tuple(sorted(table.severities)),
        margin=table.margin,
        attacks=tuple(table.attacks),
        epsilon=table.epsilon,
        occlusion=table.occlusion,
    )


def _chief(task: Task, *, file: str) -> str:
    return str(getattr(registry.load("metrics", task.kind, file=file, key="task.kind"), "CHIEF", ""))


def _registry(table: RobustnessTable, data: Mapping[str, Any], *, file: str) -> str:
    known = sorted(corruptions.REGISTRIES)
    if table.registry and table.registry not in known:
        remedy = registry.suggestion(table.registry, known)
        raise LabError(
            f"MedMNIST-C has no {table.registry!r} here", remedy=remedy, file=file, key="robustness.registry"
        )
    own = str(data.get("name", "")) if data["source"] == "medmnist" else ""
    found = table.registry or (own if own in known else "")
    if not found and set(table.corruptions) - set(corruptions.OWN):
        raise LabError(
            "is missing: how strong the severities of these corruptions are depends on the kind of image",
            remedy=f'write registry = "{known[0]}" under [robustness], or another one of {", ".join(known[1:])}',
            file=file,
            key="robustness.registry",
        )
    return found


def _names(table: RobustnessTable, meant: str, *, file: str) -> tuple[str, ...]:
    if table.corruptions == _ALL:
        return tuple(corruptions.REGISTRIES[meant])
    offered = corruptions.steps(meant)
    for name in table.corruptions:
        if name not in offered:
            where = f" among those of {meant}" if name in corruptions.KNOWN and meant else ""
            raise LabError(
                f"there is no {name!r}{where}",
                remedy=registry.suggestion(name, offered),
                file=file,
                key="robustness.corruptions",
            )
    return tuple(table.corruptions)


def check_accepted(info: MetricInfo, tried: Robustness | None, task: Task, *, file: str) -> None:
    """Refuse a line of `[accept]` on an accuracy under conditions that the suite does not try.

    Args:
        info: the metric.
        tried: what the suite asks for.
        task: what the models are for.
        file: the suite's file, for errors.

    Raises:
        LabError: it does not ask for that.
    """
    if not info.under:
        return
    asked = tried and (tried.corruptions if info.under == "corruption" else tried.attacks)
    if not asked:
        line = f'corruptions = "{_ALL}"' if info.under == "corruption" else 'attacks = ["fgsm", "pgd"]'
        raise LabError(
            f"there is none without {info.under}s", remedy=f"write {line} under [robustness]", file=file,
            key=f"accept.{info.name}",
        )  # fmt: skip
    chief = _chief(task, file=file)
    if info.name != f"{UNDER[info.under]}_{chief}":
        raise LabError(
            f"is not of {task.kind}",
            remedy=f"write {UNDER[info.under]}_{chief}",
            file=file,
            key=f"accept.{info.name}",
        )
