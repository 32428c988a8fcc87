"""The ROC curve with the point at which each model works, and how far its probabilities can be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from harness import registry, units
from harness.model import Answers, Estimate, FloatArray, Run, Task, Truth
from harness.page import charts, panels, wording
from harness.page.report import Entry, Group, Report

ORDER = 81
TITLE = "Operating point and calibration"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("operating", "Operating point and calibration") }}
<p class="lead">Which sensitivity each model could have at which specificity, which of these it has, and whether it is right as often as it says. On the whole test split, on the device.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.roc %}
<figure><h4>ROC curves{% if one.roc.positive %} of {{ one.roc.positive }}{% endif %}{{ parts.synthetic(one.group) }}</h4>
{{ one.roc.chart }}
<figcaption>One panel a model: the further up and to the left, the better. Solid is the model itself, dashed the baseline, dotted chance. The mark is the point at which the model was measured, with the intervals of its sensitivity and specificity; its colour and shape are those of the verdict on AUROC{% if one.roc.several %}; with more than two classes the largest output decides, so it need not lie on the curve{% endif %}. Curves are drawn through at most {{ one.roc.most }} of their points.</figcaption>
{{ parts.numbers(one.roc.titles, one.roc.table, "The numbers of these curves") }}
</figure>
{% endif %}
{% if one.reliability %}
<figure><h4>Stated probability against what came true{{ parts.synthetic(one.group) }}</h4>
{{ one.reliability.chart }}
<figcaption>Images in up to {{ one.reliability.most }} bins of about equally many, by the probability that the model states for its own answer; the height of a mark is the share of them that it answers right, with the 95 % interval. On the dotted diagonal a model is right as often as it says; below it, it is too sure. The calibration error in each title is that of the table of accuracies, which has 15 bins of equal width.</figcaption>
{{ parts.numbers(one.reliability.titles, one.reliability.table, "The numbers of these bins") }}
</figure>
{% endif %}
{% endcall %}
{% endfor %}
"""
#: Of a curve at most about so many corners are drawn, at even steps along it: they are closer than a line is wide.
DRAWN: Final = 200
#: The largest number of bins.
BINS: Final = 10


def context(report: Report) -> Mapping[str, Any] | None:
    """Return the curves and the bins of each group whose task has them and whose models give probabilities."""
    if not report.detailed:
        return None
    figures = []
    for group in report.groups():
        kept = group.settings.get("task", {})
        if not kept:
            continue
        metrics = registry.load("metrics", kept["kind"], file=group.suite, key="task.kind")
        roc, reliability = (getattr(metrics, name, None) for name in ("roc", "reliability"))
        found = {
            "roc": _curves(group, Task.of(kept), roc) if roc else None,
            "reliability": _bins(group, reliability) if reliability else None,
        }
        if any(found.values()):
            figures.append({"group": group, **found})
    return {"figures": figures} if figures else None


def _having(group: Group, metric: str) -> list[tuple[Entry, Run, Answers, Truth]]:
    """Return the runs that have a metric, with the answers and the truth that it was made from."""
    return [
        (entry, run, run.answers, Truth(np.asarray(run.labels), run.classes, run.groups))
        for entry in group.measured
        if (run := entry.run) and metric in run.accuracy and run.answers is not None and run.labels is not None
    ]


def _curves(group: Group, task: Task, roc: Callable[[Answers, Truth, Task], FloatArray | None]) -> Any:
    # A positive class that is none of the run's has no curve; the table of accuracies says what the run was judged by.
    having = [one for one in _having(group, "auroc") if task.positive in ("", *one[1].classes)]
    if not having:
        return None
    rows, marks, table = [], [], []
    for entry, run, answers, truth in having:
        rates = [run.accuracy.get(name) for name in ("sensitivity", "specificity")]
        said = [" ".join(_level(name, run)) for name in ("auroc", "sensitivity", "specificity")]
        rows.append(_row(entry, "auroc", f"AUROC {said[0]}"))
        table.append([entry.variant, *said, _decided(answers, truth)])
        sensitivity, specificity = rates
        if wording.bounded(sensitivity) and wording.bounded(specificity):
            x = {"x": 1 - specificity.point, "x_low": 1 - specificity.high, "x_high": 1 - specificity.low}
            y = {"y": sensitivity.point, "low": sensitivity.low, "high": sensitivity.high}
            hover = f"{entry.variant}: sensitivity {said[1]}, specificity {said[2]}"
            marks.append({"variant": entry.variant, "hover": hover, **{key: 100 * at for key, at in (x | y).items()}})

    def chart() -> Any:
        corners = {entry.variant: roc(answers, truth, task) for entry, _, answers, truth in having}
        drawn = {name: 100 * thinned(curve) for name, curve in corners.items() if curve is not None}
        head = next((entry.variant for entry, *_ in having if entry.is_baseline), "")
        lines = [line for row in rows for line in _lines(str(row["variant"]), drawn, head)]
        draw = panels.panels(rows, lines, marks, x_title="1 − specificity, %", y_title="sensitivity, %")
        said = ". ".join(f"{line[0]}: AUROC {line[1]}, sensitivity {line[2]}, specificity {line[3]}" for line in table)
        return charts.figure(draw, alt=f"ROC curves, {group.title}. {said}")

    undone = charts.instead()
    return {
        "chart": chart() if undone is None else undone, "table": table, "most": units.count(DRAWN),
        "positive": group.positive, "several": any(_known(answers, truth) > 2 for *_, answers, truth in having),
        "titles": ["Variant", *(group.called(name) for name in ("auroc", "sensitivity", "specificity")), "Decided by"],
    }  # fmt: skip


def _lines(variant: str, drawn: Mapping[str, FloatArray], head: str) -> list[charts.Row]:
    """Return the points of the lines of one panel: chance, the baseline where it is another model, and the model."""
    parts: dict[str, Sequence[Sequence[float]]] = {"chance": ((0.0, 0.0), (100.0, 100.0))}
    if head in drawn and head != variant:
        parts["baseline"] = drawn[head].tolist()
    if variant in drawn:
        parts["own"] = drawn[variant].tolist()
    return [
        {"variant": variant, "kind": kind, "x": round(x, 2), "y": round(y, 2), "order": number}
        for kind, points in parts.items()
        for number, (x, y) in enumerate(points)
    ]


def thinned(curve: FloatArray) -> FloatArray:
    """Return about `DRAWN` of the (M, 2) corners of a rising curve from (0, 0) to (1, 1), its ends among them."""
    if len(curve) <= DRAWN:
        return curve
    kept = np.searchsorted(curve.sum(axis=1), np.linspace(0, 2, DRAWN) - 1e-9)
    return np.asarray(curve[np.unique(np.minimum(kept, len(curve) - 1))])


def _known(answers: Answers, truth: Truth) -> int:
    """Return how many classes the data and a model have together."""
    return len({*truth.classes, *answers.reading.classes})


def _decided(answers: Answers, truth: Truth) -> str:
    """Return by which rule an answer became the class."""
    if _known(answers, truth) != 2 or answers.reading.threshold == 0.5:
        return "the largest output"
    return f"a probability of {truth.classes[1]} above {units.significant(answers.reading.threshold)}"


def _bins(group: Group, reliability: Callable[[Answers, Truth, int], Sequence[Any]]) -> Any:
    having = _having(group, "calibration_error")
    if not having:
        return None
    rows, points, table = [], [], []
    for entry, run, answers, truth in having:
        rows.append(_row(entry, "calibration_error", f"error {' '.join(_level('calibration_error', run))}"))
        for one in reliability(answers, truth, BINS):
            right = " ".join(units.level("%", one.right))
            stated = units.level("%", Estimate(one.stated, one.stated, one.stated))[0]
            table.append([entry.variant, units.count(one.images), stated, right])
            numbers = {"x": one.stated, "y": one.right.point, "low": one.right.low, "high": one.right.high}
            hover = f"{entry.variant}: {units.counted(one.images, 'image')}, stated {stated}, right {right}"
            row = {"variant": entry.variant, "hover": hover}
            points.append({**row, **{key: 100 * number for key, number in numbers.items()}})
    chance = [line for row in rows for line in _lines(str(row["variant"]), {}, "")]
    draw = panels.panels(rows, chance, points, x_title="stated probability, %", y_title="answered right, %")
    said = ". ".join(f"{row['variant']}: {row['text']}" for row in rows)
    return {
        "chart": charts.figure(draw, alt=f"Stated probability against the share of right answers, {group.title}. {said}"),
        "table": table, "titles": ["Variant", "Images", "Stated probability", "Answered right"], "most": BINS,
    }  # fmt: skip


def _level(metric: str, run: Run) -> tuple[str, str]:
    value, interval = wording.level(metric, run.accuracy.get(metric))
    return value, f"({interval})" if interval else ""


def _row(entry: Entry, metric: str, text: str) -> charts.Row:
    """Return the title of a panel: the variant, its number, and the verdict of its comparison."""
    found = entry.comparisons.get(metric)
    state = "baseline" if entry.is_baseline else str(found.verdict) if found else "incomparable"
    return {"variant": entry.variant, "text": text, "state": state}
