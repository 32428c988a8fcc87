"""Models x techniques x what each costs and how well it answers, from stored runs: as Markdown and as one HTML file.

A row is the newest result of a case. Its changes are against the baseline of its own campaign, with which it took
turns. A number that is not there says why.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from harness import units
from harness.model import Run
from harness.page import wording
from harness.page.markdown import MISSING, figure, numbered, plain
from harness.page.markdown import table as lines_of
from harness.page.render import dress, encoded, environment
from harness.page.report import Entry, Group, Report
from harness.results import robustness
from harness.vocabulary import UNDER

#: Accuracies that have a column where any row has them.
ACCURACIES: Final = (
    "accuracy",
    "sensitivity",
    "specificity",
    "precision",
    "f1",
    "macro_f1",
    "auroc",
    "dice",
    "iou",
    "hausdorff",
    "corrupted_accuracy",
    "corrupted_dice",
    "attacked_accuracy",
)
#: Costs, each with its ratio to the baseline's.
COSTS: Final = (
    ("latency_p50_s", "latency_ratio"),
    ("peak_memory_bytes", "memory_ratio"),
    ("energy_j", "energy_ratio"),
    ("size_bytes", "size_ratio"),
)
#: Accuracies that are means over conditions -> the kind of these, and the accuracy that they are of.
_UNDER: Final = {
    name: (kind, of)
    for kind, begins in UNDER.items()
    for name in ACCURACIES
    if (of := name.removeprefix(f"{begins}_")) != name
}
_LEGEND: Final = ", ".join(
    f"{wording.GLYPHS[word]} {word}"
    for word in ("improved", "regressed", "better", "worse", "equivalent", "inconclusive", "incomparable")
)


@dataclass(frozen=True, slots=True)
class Row:
    """One case.

    Attributes:
        model: the architecture, where the suite says it, or else the baseline that its variant was made from.
        technique: the recipe, "baseline", or "brought ready-made".
        place: device and runtime.
        measured: the day.
        remark: what must be known of all its numbers, "" if nothing.
        cells: metric -> what stands there; none where its numbers may not be read, which `remark` explains.
    """

    model: str
    technique: str
    variant: str
    place: str
    measured: str
    remark: str
    cells: Mapping[str, wording.Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one suite.

    Attributes:
        titles: metric -> title of its column; metrics that no row has are left out.
        absent: title and reason of each cost, and of each accuracy under conditions, that no row has.
        notes: what must be known of a change -> its number.
        devices: id -> what its file says of it, of the devices of the rows.
    """

    title: str
    synthetic: bool
    titles: Mapping[str, str]
    rows: tuple[Row, ...]
    absent: tuple[tuple[str, str], ...]
    notes: Mapping[str, int]
    devices: Mapping[str, str]


def tables(reports: Iterable[Report], newest: Mapping[str, str], suites: Container[str] = ()) -> tuple[Table, ...]:
    """Return one table a suite.

    Args:
        reports: of the campaigns, in the order in which their rows shall come.
        newest: id of a case -> id of the campaign that its row is of; of others nothing is shown.
        suites: ids of those that are wanted, all where it is empty.
    """
    found: dict[str, list[tuple[Group, Row]]] = {}
    for report in reports:
        for group in report.groups():
            if suites and group.suite not in suites:
                continue
            for entry in group.entries:
                case = _case(entry)
                if newest.get(case, report.campaign.id) == report.campaign.id:
                    found.setdefault(group.suite, []).append((group, _row(report, group, entry)))
    return tuple(_table(pairs) for pairs in found.values())


def markdown(found: Sequence[Table]) -> str:
    """Return the tables as GitHub's Markdown."""
    parts = []
    for table in found:
        synthetic = "Synthetic data: the accuracies say nothing about clinical use.\n\n" if table.synthetic else ""
        head = ["Model", "Technique", "Variant", "Device", *table.titles.values(), "Measured"]
        lines = lines_of(map(plain, head), (_texts(table, row) for row in table.rows))
        notes = numbered(table.notes)
        notes += ["", *(f"{title}: {MISSING}: {plain(reason)}.  " for title, reason in table.absent)]
        notes += [f"{plain(name)}: {plain(said)}.  " for name, said in table.devices.items()]
        parts.append("\n".join([f"## {plain(table.title)}\n\n{synthetic}{lines[0]}", *lines[1:], "", *notes]).rstrip())
    legend = f"Changes are against the baseline, with their intervals: {_LEGEND}."
    return wording.readable("\n\n".join([*parts, legend]) + "\n")


def html(found: Sequence[Table], *, overrides: Path | None = None) -> bytes:
    """Return the tables as one UTF-8 file that needs no network and runs no script but its own.

    Args:
        found: what `tables` returned.
        overrides: a folder whose templates (and page.css) stand in for those of the same name.
    """
    known = environment([], overrides)
    text = known.get_template("table.html").render(**dress(known), tables=found, legend=_LEGEND, absent=units.ABSENT)
    return encoded(text)


def _case(entry: Entry) -> str:
    if entry.outcome is not None:
        return entry.outcome.case
    return entry.run.case.id if entry.run else ""


def _row(report: Report, group: Group, entry: Entry) -> Row:
    head = group.baseline
    return Row(
        model=group.settings.get("architectures", {}).get(entry.variant) or (head.variant if head else units.ABSENT),
        technique=_technique(entry),
        variant=entry.variant,
        place=group.title,
        measured=f"{report.campaign.started_at:%Y-%m-%d}",
        remark=_remark(report, entry),
        cells=_cells(entry, group) if entry.usable else {},
    )


def _technique(entry: Entry) -> str:
    if entry.is_baseline:
        return "baseline"
    if entry.run is None:
        return units.ABSENT
    return entry.run.variant.recipe or "brought ready-made"


def _remark(report: Report, entry: Entry) -> str:
    run = entry.run
    if run is None:
        return f"no result: {entry.outcome.message}" if entry.outcome else "no result"
    if not entry.usable:
        return f"invalid: {'; '.join(map(str, run.reasons)) or 'no reason was recorded'}"
    words = ["quick"] if run.quick or report.campaign.quick else []
    words += [str(run.validity)] if run.validity != "valid" else []
    return ", ".join(words)


def _cells(entry: Entry, group: Group) -> dict[str, wording.Cell]:
    assert entry.run is not None
    run, found = entry.run, {}
    for metric in ACCURACIES:
        estimate, title = run.accuracy.get(metric), group.called(metric)
        if metric == "sensitivity":  # two names of the same share, and papers use both
            title = title.replace("Sensitivity", "Sensitivity = recall")
        if estimate is None:
            found[metric] = wording.Cell(metric, title, MISSING, reason=_absence(run, group, metric))
        else:
            cell = wording.Cell(metric, title, *wording.level(metric, estimate))
            found[metric] = wording.changed(cell, entry.comparisons.get(metric))
    for metric, ratio in COSTS:
        typical = wording.typical(run, metric)
        shown, why = wording.value(typical, wording.cost(run, typical)), wording.absence(run, typical)
        within = wording.paths(run) if typical != metric else ""
        cell = wording.Cell(metric, wording.title(metric), MISSING if why else shown, within, reason=why)
        found[metric] = cell if why else wording.changed(cell, entry.comparisons.get(ratio))
    return found


def _absence(run: Run, group: Group, metric: str) -> str:
    """Return why a run has no such accuracy."""
    kind, _ = _UNDER.get(metric, ("", ""))
    if not kind:
        return wording.absence(run, metric)
    asked = group.settings.get("robustness")
    if asked is None or not asked.get(f"{kind}s", True):
        return "the suite does not ask for it ([robustness])"
    return "; ".join(map(str, robustness.absences(run, kind))) or f"no {kind} of this run is stored"


def _table(pairs: Sequence[tuple[Group, Row]]) -> Table:
    group, rows = pairs[0][0], [row for _, row in pairs]
    titles: dict[str, str] = {}
    absent = []
    for metric in (*ACCURACIES, *(name for name, _ in COSTS)):
        cells = [row.cells[metric] for row in rows if metric in row.cells]
        reasons = list(dict.fromkeys(cell.reason for cell in cells if cell.reason))
        if cells and not all(cell.reason for cell in cells):
            titles[metric] = cells[0].title
        elif cells and (metric not in ACCURACIES or _UNDER.get(metric, ("", ""))[1] in titles):
            absent.append((cells[0].title, "; ".join(reasons)))
    named = str(group.settings.get("title") or group.suite)
    kept = tuple(replace(row, cells={name: row.cells[name] for name in titles if name in row.cells}) for row in rows)
    notes = wording.numbered(cell for row in kept for cell in row.cells.values())
    said: dict[str, str] = {}
    for one, _ in pairs:
        said |= {one.device: text} if (text := one.settings.get("devices", {}).get(one.device)) else {}
    return Table(named, group.synthetic, titles, kept, tuple(absent), notes, said)


def _texts(table: Table, row: Row) -> list[str]:
    measured = f"{row.measured}, {row.remark}" if row.remark else row.measured
    cells = [figure(row.cells.get(name), table.notes) for name in table.titles]
    return [*map(plain, (row.model, row.technique, row.variant, row.place)), *cells, plain(measured)]
