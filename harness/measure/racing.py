"""When a candidate drops out of a race: its accuracy is certainly not enough, or it certainly costs more than another.

All take turns in one job, so what is known of one can be held against another at any launch. A candidate whose
accuracy certainly breaks a line of `[accept]` drops out. Of the others, those that certainly keep every line of an
accuracy, and the best so far, exclude whatever costs more than they do, by more than the suite's margin. Latencies are
compared by confidence sequences, which hold at all launches at once; each of the k pairs of a candidate at
1 - 0.05 / k, so that the cheapest one is lost to all others together in one race of twenty at most (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import numpy as np

from harness import compare, registry, stats
from harness.agent import contract
from harness.measure.jobs import Group, Race
from harness.model import Answers, Criterion, Estimate, Omission, Samples, Truth
from harness.results.job_log import JobLog
from harness.units import full_change, gap, human
from harness.vocabulary import METRICS

_ALPHA: Final = 0.05
#: From which ratio on a single launch is believed: what differs between launches of one model is far smaller.
_GROSS: Final = 1.5
#: Of each line: whether it is certainly broken, and how.
Lines = tuple[tuple[bool, str], ...]


def best(group: Group) -> int | None:
    """Return the place of the candidate that is to be beaten, None where that is the baseline or it is not there."""
    wanted = group.race.best if group.race else ""
    return next((i for i, case in enumerate(group.cases) if wanted and case.variant.id == wanted), None)


def judged(group: Group, log: JobLog, samples: Samples) -> dict[int, Lines]:
    """Return the lines on accuracy that each model but the baseline does not certainly keep; none without a baseline.

    Args:
        group: the cases.
        log: what the job said so far, with the answers of each model.
        samples: the split that is judged.
    """
    if group.baseline is None or log.failure(group.baseline) is not None:
        return {}
    alive = [i for i in range(len(group.cases)) if log.failure(i) is None and i != group.baseline]
    return {i: tuple(_judged(group, log, samples, i)) for i in alive}


def excluded(group: Group, log: JobLog, lines: Mapping[int, Lines], decided: Collection[int]) -> dict[int, str]:
    """Return the candidates that drop out now, each with the reason.

    Args:
        group: the cases.
        log: what the job said so far.
        lines: what `judged` returned.
        decided: models of which enough is known already; these may exclude others and are not excluded.
    """
    race, first = group.race, best(group)
    alive = [i for i in lines if log.failure(i) is None]
    candidates = [i for i in alive if i != first and i not in decided]
    out = {i: said[0] for i in candidates if (said := [text for broken, text in lines[i] if broken])}
    if race is None:
        return {}
    # The best so far was judged before; an accuracy that is not known for certain lets nobody exclude another.
    rivals = [i for i in alive if i == first or not lines[i]]
    for index in candidates:
        others = [i for i in rivals if i != index]
        for rival in others if index not in out else ():
            change = _cost(group, race, log, (rival, index), 1 - _ALPHA / len(others))
            if change is not None and change.low > _limit(group, change):
                name = group.cases[rival].variant.id
                out[index] = f"{full_change('ratio', '', change)} the {METRICS[race.ratio].title.lower()} of {name}"
                break
    return out


def settled(group: Group, log: JobLog, index: int) -> bool:
    """Return whether enough is known of a model beside its ratio to the baseline: how it compares with the best.

    Args:
        group: the cases.
        log: what the job said so far.
        index: the model's place in the job.
    """
    first = best(group)
    if first is None or index in (first, group.baseline) or group.race is None or log.failure(first) is not None:
        return True
    if group.race.ratio != "latency_ratio":
        return True
    load = group.suite.load
    change = _latency(log, first, index, 0.95)
    if change is None or change.omits is not Omission.NOTHING:
        return False
    decided = compare.decided(change, neutral=1.0, margin=load.margin)
    return decided or (change.high - change.low) / 2 <= load.precision / 2 * change.point


def _limit(group: Group, change: Estimate) -> float:
    return 1 + group.suite.load.margin if change.omits is Omission.NOTHING else _GROSS


def _judged(group: Group, log: JobLog, samples: Samples, index: int) -> Iterator[tuple[bool, str]]:
    """Yield each line on an accuracy that a model does not certainly keep: whether it certainly breaks it, and how."""
    module = registry.load("metrics", group.suite.task.kind, file=str(group.suite.file), key="task.kind")
    name = f"m{index}.outputs.npy"
    for line in group.suite.accept:
        if not METRICS[line.metric].paired:
            continue
        if name not in log.arrays:
            yield False, f"{line.metric}: the answers are not known"
        elif line.rule == "non_inferior_by":
            yield from _inferior(group, log, samples, index, line, module)
        else:
            yield from _beyond(group, log, samples, index, line, module)


def _inferior(
    group: Group, log: JobLog, samples: Samples, index: int, line: Criterion, module: Any
) -> Iterator[tuple[bool, str]]:
    info = METRICS[line.metric]
    labels = samples.labels if len(samples.labels) or samples.masks is None else samples.masks
    truth = Truth(np.asarray(labels), samples.classes, samples.groups)
    assert group.baseline is not None
    change = module.compare(
        _answers(group, log, group.baseline), _answers(group, log, index), truth, group.suite.task, line.metric
    )
    if change is None:
        yield False, f"{line.metric}: too few cases to compare"
        return
    least, most = (change.low, change.high) if info.lower_is_better else (-change.high, -change.low)
    if most > line.bound:
        shown = full_change(info.kind, info.unit, change)
        yield least > line.bound, f"{line.metric}: {shown} is worse by more than {gap(info.unit, line.bound)}"


def _beyond(
    group: Group, log: JobLog, samples: Samples, index: int, line: Criterion, module: Any
) -> Iterator[tuple[bool, str]]:
    info = METRICS[line.metric]
    found = module.evaluate(_answers(group, log, index), samples, group.suite.task).estimates.get(line.metric)
    if found is None:
        yield False, f"{line.metric}: too few cases"
    elif (found.point > line.bound) if line.rule == "max" else (found.point < line.bound):
        yield True, f"{line.metric}: {human(found.point, info.unit)} is beyond {human(line.bound, info.unit)}"


def _answers(group: Group, log: JobLog, index: int) -> Answers:
    return Answers(log.array(index, "outputs"), group.fit(group.cases[index]).reading)


def _cost(group: Group, race: Race, log: JobLog, pair: tuple[int, int], confidence: float) -> Estimate | None:
    """Return the cost of the second of a pair over that of the first, None where it is not known during a job."""
    rival, index = pair
    if race.ratio == "size_ratio":
        ratio = group.cases[index].variant.size_bytes / max(group.cases[rival].variant.size_bytes, 1)
        return Estimate(ratio, ratio, ratio, 1.0, "exact")
    if race.ratio == "memory_ratio":
        held = [[float(one.after.peak_rss_bytes or 0) for one in log.of(contract.Memory, i)] for i in pair]
        if not all(values and min(values) > 0 for values in held):
            return None
        return stats.mean_ratio(np.array(held[0]), np.array(held[1]), confidence)
    if race.ratio != "latency_ratio" or _apparent(log, rival, index) <= 1 + group.suite.load.margin:
        return None  # no interval excludes what does not even look slower, and an interval takes its time
    return _latency(log, rival, index, confidence)


def _apparent(log: JobLog, rival: int, index: int) -> float:
    """Return the ratio of the usual rounds of two models, 0 where one of them has none."""
    base, own = ([one.round.level_ns for one in log.rounds_of(i)] for i in (rival, index))
    return float(np.median(own) / np.median(base)) if base and own else 0.0


def _latency(log: JobLog, rival: int, index: int, confidence: float) -> Estimate | None:
    base_values, base_rounds, base_keep = log.levels(rival)
    values, own_rounds, keep = log.levels(index)
    if not len(base_values) or not len(values):
        return None
    masks = {"base_keep": base_keep, "keep": keep}
    return stats.ratio_estimate(base_values, base_rounds, values, own_rounds, **masks, confidence=confidence)
