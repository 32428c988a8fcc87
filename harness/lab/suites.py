"""suites/*.toml -> Suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from harness import registry
from harness.errors import LabError
from harness.lab import robustness
from harness.lab.models import Models, declared
from harness.lab.reading import check, check_name, parse, shown
from harness.lab.space import Search, required, search_of
from harness.lab.tables import AcceptTable, DataTable, LoadTable, SuiteTable
from harness.model import FRAME_RATE_HZ, Criterion, InputSpec, Load, LocalStep, Robustness, Suite, Task
from harness.vocabulary import METRICS

#: Keys of `[load]` that belong to one scenario. One whose value would be ignored is refused: it would label a number
#: that it has no part in.
_OWN: Final = {"frame_rate_hz": "stream", "batch": "offline"}
_LOAD: Final = Load()


def suite_files(lab: Path) -> list[Path]:
    """Return the suite files of a lab, sorted."""
    return sorted((lab / "suites").glob("*.toml"))


def read_suite(path: Path) -> Suite:
    """Return the suite that a file describes.

    A model file that is missing or not built is no error of the suite: its Variant says so in `problem`.

    Raises:
        LabError: anything else that is wrong, naming file and key.
    """
    return _read(path)[0]


def read_search(path: Path) -> tuple[Suite, Search]:
    """Return the suite that a file describes, and what it says of a search.

    Raises:
        LabError: as `read_suite`, or it says nothing of a search: then with the lines to write.
    """
    suite, found = _read(path)
    return suite, required(found, file=shown(path))


def _read(path: Path) -> tuple[Suite, Search | None]:
    file = shown(path)
    check_name(path, "suite")
    table = check(SuiteTable, parse(path), file=file)
    _check_ids(table, file=file)
    # Every table is read before the models: a wrong key is reported before gigabytes are hashed.
    data, task, load = _data(table, file=file), _task(table, file=file), _load(table.load, file=file)
    spec, tried = _input(table, file=file), robustness.wanted(table.robustness, data, task, file=file)
    accept = _accept(table.accept, task, tried, file=file)
    _check_examples(table, file=file)
    if table.baseline.source and not (path.parent / table.baseline.source).is_file():
        raise LabError("there is no such file", remedy="correct or remove it", file=file, key="baseline.source")
    models = Models(path, declared(table.task.output))
    baseline = models.baseline(table.baseline)
    variants = [noun for variant in table.variant for noun in models.variant(variant, baseline)]
    search = search_of(table, models, baseline, accept, file=file)
    suite = Suite(
        id=path.stem,
        title=table.title,
        data=data,
        input=spec,
        task=task,
        load=load,
        baseline=table.baseline.id,
        variants=(*baseline, *variants),
        accept=accept,
        confidential=table.confidential,
        split=table.data.split,
        overlap=table.data.overlap,
        file=path,
        duty=table.duty.noun() if table.duty else None,
        folds=table.data.noun(),
        robustness=tried,
        local_step=LocalStep(**table.local_step.model_dump()) if table.local_step else None,
        architectures=_architectures(table, file=file),
        examples=table.examples or 0,
    )
    return suite, search


def _architectures(table: SuiteTable, *, file: str) -> Mapping[str, str]:
    """Return model id -> its architecture: its own word, or the baseline's where its recipes keep that."""
    own = table.baseline.architecture
    said = {table.baseline.id: own, **{one.id: one.architecture for one in table.variant}}
    found = {name: architecture for name, architecture in said.items() if architecture}
    for variant in table.variant if own else ():
        chain = [variant.recipe] if isinstance(variant.recipe, str) else variant.recipe or []
        modules = [registry.load("recipes", one, file=file, key=f"variant[{variant.id}].recipe") for one in chain]
        if modules and not any(getattr(one, "ANOTHER", False) for one in modules):
            found.setdefault(variant.id, own)
    return found


def _check_ids(table: SuiteTable, *, file: str) -> None:
    counts = Counter([table.baseline.id, *(variant.id for variant in table.variant)])
    for name, count in counts.items():
        if count > 1:
            raise LabError(
                "this id stands twice", remedy="give each variant its own", file=file, key=f"variant[{name}].id"
            )
    # Ids become file names, and some file systems take a and A for the same.
    folded = {name.lower(): name for name in counts}
    for name in counts:
        if folded[name.lower()] != name:
            raise LabError(
                f"differs from {folded[name.lower()]!r} only in case",
                remedy="rename one",
                file=file,
                key=f"variant[{name}].id",
            )


def _data(table: SuiteTable, *, file: str) -> Mapping[str, Any]:
    own = dict(table.data.model_extra or {})
    module = registry.load("data", table.data.source, file=file, key="data.source")
    registry.options(module, own, file=file, key="data", beside=tuple(DataTable.model_fields))
    return {"source": table.data.source, **own}


def _input(table: SuiteTable, *, file: str) -> InputSpec:
    spec = table.data.input
    if len(spec.mean) != len(spec.std) and 1 not in (len(spec.mean), len(spec.std)):
        raise LabError(
            "mean and std must have as many values as each other, or one",
            remedy="write one value, or one a channel",
            file=file,
            key="data.input",
        )
    return InputSpec(layout=spec.layout, scale=spec.scale, mean=tuple(spec.mean), std=tuple(spec.std))


def _task(table: SuiteTable, *, file: str) -> Task:
    known = registry.names("metrics")
    if table.task.kind not in known:
        raise LabError(
            f"{table.task.kind!r} is not supported",
            remedy=registry.suggestion(table.task.kind, known),
            file=file,
            key="task.kind",
        )
    point = table.task.operating_point
    task = Task(
        table.task.kind,
        table.task.positive,
        table.task.ordinal,
        point.noun() if point else None,
        table.task.surface_tolerance,
        table.task.surface_tolerance_mm,
        table.task.sensitivity_at_specificity,
        table.task.specificity_at_sensitivity,
    )
    taken = getattr(registry.load("metrics", task.kind, file=file, key="task.kind"), "TASK_KEYS", ())
    for one in fields(Task):
        if one.name not in ("kind", "positive", *taken) and getattr(task, one.name) != one.default:
            raise LabError(f"has no part in {task.kind}", remedy="remove it", file=file, key=f"task.{one.name}")
    if point:
        _check_thresholds(table, file=file)
    return task


def _check_thresholds(table: SuiteTable, *, file: str) -> None:
    """Refuse what an operating point leaves no room for: a declared threshold, and a split that is measured."""
    outputs = {"task": table.task.output, "baseline": table.baseline.output}
    outputs |= {f"variant[{one.id}]": one.output for one in table.variant}
    for owner, output in outputs.items():
        if output.threshold is not None:
            raise LabError(
                "the operating point fixes the threshold of every model",
                remedy="remove it, or operating_point from [task]",
                file=file,
                key=f"{owner}.output.threshold",
            )
    if table.data.split in ("validation", "val", "valid"):
        raise LabError(
            "is fixed on the validation split, which is measured here",
            remedy='write split = "test" under [data]',
            file=file,
            key="task.operating_point",
        )


def _check_examples(table: SuiteTable, *, file: str) -> None:
    """Refuse copies of images in the report where they must not be, and where an image has no class to differ in."""
    if table.examples is None:
        return
    if table.confidential:
        said = "keeps copies of images in results and reports, and the suite is confidential"
        raise LabError(said, remedy="remove it", file=file, key="examples")
    if not hasattr(registry.load("metrics", table.task.kind, file=file, key="task.kind"), "called"):
        said = f"is of tasks that give each image one class, and this is {table.task.kind}"
        raise LabError(said, remedy="remove it", file=file, key="examples")


def _load(table: LoadTable, *, file: str) -> Load:
    for key, scenario in _OWN.items():
        if table.scenario != scenario and getattr(table, key) != getattr(_LOAD, key):
            remedy = f'remove it, or write scenario = "{scenario}"'
            raise LabError(f"belongs to the scenario {scenario}", remedy=remedy, file=file, key=f"load.{key}")
    known = registry.accelerators()
    if table.accelerator and table.accelerator not in known:
        alike = [name for name in known if name.lower() == table.accelerator.lower()]
        hint = registry.suggestion(table.accelerator, alike or known)
        raise LabError(
            f"no accelerator is called {table.accelerator!r}", remedy=hint, file=file, key="load.accelerator"
        )
    load = Load(**table.model_dump())
    if load.scenario == "stream" and load.frame_rate_hz is None:
        return replace(load, frame_rate_hz=FRAME_RATE_HZ)
    return load


def _accept(
    lines: Mapping[str, AcceptTable], task: Task, tried: Robustness | None, *, file: str
) -> tuple[Criterion, ...]:
    criteria = []
    for metric, table in lines.items():
        key = f"accept.{metric}"
        if metric not in METRICS:
            raise LabError("unknown metric", remedy=registry.suggestion(metric, METRICS), file=file, key=key)
        needed = METRICS[metric].needs
        if needed and getattr(task, needed) in (None, False):
            raise LabError(
                f"there is none without {needed}", remedy=f"declare {needed} under [task]", file=file, key=key
            )
        robustness.check_accepted(METRICS[metric], tried, task, file=file)
        rules = {rule: bound for rule, bound in table.model_dump().items() if bound is not None}
        allowed = METRICS[metric].rules
        if not rules:
            raise LabError("has no bound", remedy=f"write {{ {allowed[0]} = NUMBER }}", file=file, key=key)
        for rule, bound in rules.items():
            if rule not in allowed:
                raise LabError(
                    f"{metric} takes {' or '.join(allowed)}",
                    remedy="use that bound",
                    file=file,
                    key=f"{key}.{rule}",
                )
            criteria.append(Criterion(metric=metric, rule=rule, bound=bound))
    return tuple(criteria)
