"""What one case shows: how fast it is, within which limits of accuracy, and with what reservations."""

from __future__ import annotations

from typing import Final

import numpy as np

from harness import units
from harness.model import Comparison, Estimate, Validity, Verdict
from harness.page import wording
from harness.page.report import Entry, Group

_ACCEPTED = ("passed", "xpassed")


def latency(entry: Entry) -> Estimate | None:
    """Return the latency of an entry relative to its baseline, None without a bounded interval."""
    found = entry.comparisons.get("latency_ratio")
    return found.change if found is not None and wording.bounded(found.change) else None


def faster(entry: Entry) -> bool:
    """Return True if an entry is faster than its baseline beyond doubt and beyond the margin."""
    found = entry.comparisons.get("latency_ratio")
    return entry.usable and found is not None and found.verdict is Verdict.IMPROVED


def limits(entry: Entry, group: Group) -> list[tuple[bool, str]]:
    """Return each accuracy the suite sets a limit for: whether it holds, and in words."""
    lines = []
    for judgement in entry.outcome.judgements if entry.outcome else ():
        rule, metric = judgement.criterion, judgement.criterion.metric
        if wording.info(metric).kind != "accuracy":
            continue
        comparison = entry.comparisons.get(metric)
        if rule.rule == "non_inferior_by" and comparison is not None and comparison.change is not None:
            unit = wording.info(metric).unit
            allowed = units.bound(rule.bound) if unit == "%" else units.gap(unit, rule.bound)
            word = f"a loss of up to {allowed} was allowed"
            if not judgement.passed:
                word = f"not shown to lose no more than the {allowed} that were allowed"
            lines.append((judgement.passed, levels(entry, group, comparison, word)))
        else:
            lines.append((judgement.passed, _lowered(judgement.message)))
    return lines


def inside(metric: str) -> str:
    """Return a metric's title inside a sentence: `sensitivity`, `AUROC`."""
    return _lowered(wording.info(metric).title)


def _lowered(text: str) -> str:
    """Return a text that begins with a title for the middle of a sentence; `AUROC` stays as it is."""
    return text[0].lower() + text[1:] if text[1:2].islower() else text


def levels(entry: Entry, group: Group, comparison: Comparison, note: str = "") -> str:
    """Return an accuracy beside the baseline's: `sensitivity (solid) 93.7 % against 93.3 % (−1.2 to +2.0 pp)`.

    Args:
        entry: the case.
        group: of the case, for the baseline.
        comparison: of that accuracy.
        note: what stands beside the interval.
    """
    metric, head = comparison.metric, group.baseline
    name = group.called(metric).replace(wording.info(metric).title, inside(metric), 1)
    # The level comes first: a variant that is not inferior to a poor baseline may still be poor.
    found = [one.run.accuracy.get(metric) if one and one.run else None for one in (entry, head)]
    text = " against ".join(wording.value(metric, one.point) for one in found if one is not None)
    change = wording.full_change(comparison) if len(list(filter(None, found))) < 2 else ""
    described = wording.info(metric)
    spread = units.change_with_interval(described.kind, described.unit, comparison.change)[1]
    aside = [spread or ("" if change else "exactly")]
    aside.insert(0, "worse" if comparison.verdict in (Verdict.WORSE, Verdict.REGRESSED) else "")
    said = "; ".join(part for part in (*aside, note) if part)
    return " ".join(part for part in (name, text, change, f"({said})" if said else "") if part)


def accepted(entry: Entry, group: Group) -> bool:
    """Return True if the suite limits an accuracy, every such limit holds, and the case passed."""
    lines = limits(entry, group)
    passed = entry.outcome is not None and entry.outcome.status in _ACCEPTED
    return entry.usable and passed and bool(lines) and all(held for held, _ in lines)


def regressed(entry: Entry) -> list[Comparison]:
    """Return the accuracies of an entry that were lost beyond their margin, whether the suite asks for them or not."""
    return [
        one
        for one in entry.comparisons.values()
        if one.verdict is Verdict.REGRESSED and wording.info(one.metric).kind == "accuracy" and one.change is not None
    ]


#: From the worst that can be said of an accuracy to the best.
_WORST_FIRST: Final = (
    Verdict.REGRESSED, Verdict.WORSE, Verdict.INCONCLUSIVE, Verdict.INCOMPARABLE, Verdict.EQUIVALENT, Verdict.BETTER,
    Verdict.IMPROVED,
)  # fmt: skip
_USUAL: Final = ("sensitivity", "specificity", "auroc", "accuracy", "dice")


def accuracy(entry: Entry, group: Group) -> Comparison | None:
    """Return the comparison of the accuracy about which the worst is said: of those that the suite limits, else usual.

    A usual one that was lost beyond its margin comes before one that the suite limits and that kept well.
    """
    bounded = [str(line["metric"]) for line in group.settings.get("accept", ())]
    lost = [one.metric for one in regressed(entry)]
    wanted = [name for name in bounded if wording.info(name).kind == "accuracy"] or list(_USUAL)
    found = [entry.comparisons[name] for name in dict.fromkeys((*wanted, *lost)) if name in entry.comparisons]
    return min(found, key=lambda one: _WORST_FIRST.index(one.verdict), default=None)


def reservations(entry: Entry) -> list[str]:
    """Return what lessens a case's evidence, in words; nothing for a full, valid measurement that was expected."""
    found, comparison = [], entry.comparisons.get("latency_ratio")
    if entry.run is not None and entry.run.quick:
        found.append("a quick measurement, so provisional")
    if comparison is not None and comparison.validity is Validity.DEGRADED:
        found.append("its comparison is degraded")
    elif entry.run is not None and entry.run.validity is Validity.DEGRADED:
        found.append("its absolute figures are degraded")
    if entry.outcome is not None and entry.outcome.status == "xpassed":
        found.append("it was expected to fail")
    return found


def speed(entry: Entry, group: Group) -> str:
    """Return how fast an entry is against its baseline, with the interval, as a factor of more than one."""
    change, head = latency(entry), group.baseline
    if change is None or head is None:
        return "no comparison"
    if not change.low > 0:
        return f"{units.times(change.point)} the latency of {head.variant}"
    slower = change.point > 1
    ends = (change.low, change.point, change.high)
    low, point, high = ends if slower else tuple(1 / one for one in reversed(ends))
    how = "takes {} times as long as" if slower else "answers {} times as fast as"
    return f"{how.format(factor(point))} {head.variant} ({factors(low, high)})"


def grounds(entry: Entry) -> str:
    """Return why what is said of a case may be believed: validity, images, launches, and what the control showed."""
    run, comparison = entry.run, entry.comparisons.get("latency_ratio")
    if run is None or comparison is None or comparison.change is None:
        return ""
    found = [f"its run is {run.validity.value}"]
    if run.labels is not None and len(run.labels):
        found.append(units.counted(len(run.labels), "image"))
    own = run.measurements.get("latency_s")
    if own is not None and own.rounds is not None and len(own.rounds):
        launches = units.counted(len(np.unique(own.rounds[:, 0])), "launch", "launches")
        found.append(f"{launches} in turns with the baseline")
    if comparison.control is not None and wording.bounded(comparison.control):
        took = units.full_change("ratio", "", comparison.control)
        found.append(f"the control, a copy of the baseline that took turns with it, took {took} as long")
    within = f"Brackets hold intervals of {units.whole_percent(comparison.change.confidence)}."
    return f"Why to believe it: {'; '.join(found)}. {within}"


def factor(value: float) -> str:
    """Return how many times as fast or as small, without a sign: `factor(4.5) == "4.50"`."""
    return f"{value:.2f}" if value < 10 else units.significant(value)


def factors(low: float, high: float) -> str:
    """Return an interval of factors in words."""
    return f"{factor(low)} to {factor(high)}"
