"""The verdict in one sentence: speed and accuracy joined, and never more said than was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness import compare, units
from harness.model import Validity, Verdict
from harness.page import wording
from harness.page.caveats import caveats
from harness.page.evidence import (
    accepted,
    factor,
    faster,
    grounds,
    inside,
    latency,
    levels,
    limits,
    regressed,
    reservations,
    speed,
)
from harness.page.report import Entry, Group, Report
from harness.vocabulary import METRICS

#: What a reader takes for granted of a diagnostic test: said to be open where the suite sets no limit for it.
_EXPECTED = ("sensitivity", "specificity", "auroc")
#: So many variants are named that are the best somewhere.
_NAMED = 3
Pair = tuple[Entry, Group]


@dataclass(frozen=True, slots=True)
class Headline:
    """One sentence with its tone (good, unsure or bad) and what must be known to read it rightly."""

    sentence: str
    tone: str
    caveats: tuple[str, ...] = ()
    #: Whether any case behind it has numbers that may be read.
    measured: bool = True
    #: The case that it recommends, None for none.
    chosen: Entry | None = None


def _where(group: Group, *, software: bool) -> str:
    place = "this machine" if group.device == "local" else group.device
    return f"On {place}{f' with {group.software}' if software and group.software else ''}"


def _median(entry: Entry) -> float:
    found = wording.cost(entry.run, wording.typical(entry.run, "latency_p50_s")) if entry.run else None
    return float("inf") if found is None else found


def verdict(groups: Sequence[Group]) -> Headline:
    """Return the sentence for groups that compete with one another: those of one device and suite."""
    pairs = [(entry, group) for group in groups for entry in group.entries if not entry.is_baseline]
    several = len(groups) > 1
    winners = [(entry, group) for entry, group in pairs if faster(entry) and accepted(entry, group)]
    if winners:
        # Better evidence first: what is degraded, unexpected or has lost accuracy does not win over what is not.
        entry, group = min(
            winners, key=lambda pair: (bool(regressed(pair[0])), len(reservations(pair[0])), _median(pair[0]))
        )
        return _winner(entry, group, winners, several=several)
    quick = sorted(((e, g) for e, g in pairs if faster(e)), key=lambda pair: _median(pair[0]))
    return _nothing_accepted(*quick[0], several) if quick else _nothing_faster(groups, pairs)


def _winner(entry: Entry, group: Group, winners: Sequence[Pair], *, several: bool) -> Headline:
    held = ", ".join(text for _, text in limits(entry, group))
    lost, doubts = regressed(entry), reservations(entry)
    sentence = f"{_where(group, software=several)}, {entry.variant} {speed(entry, group)}"
    if lost:
        fell = " and ".join(levels(entry, group, one) for one in lost)
        sentence += f", but loses accuracy: {fell}. The suite's own limits hold: {held}"
    else:
        sentence += f" and meets the suite's limits: {held}"
    sentence += f". Read it with care: {' and '.join(doubts)}." if doubts else "."
    weak = entry.outcome is not None and entry.outcome.status == "xpassed"
    weak = weak or entry.comparisons["latency_ratio"].validity is Validity.DEGRADED
    tone = "bad" if lost else "unsure" if weak else "good"
    return Headline(
        sentence,
        tone,
        (grounds(entry), *_unlimited(entry, group), *_rivals(entry, group, winners), *_failing(group.baseline)),
        chosen=None if lost else entry,
    )


def _unlimited(entry: Entry, group: Group) -> tuple[str, ...]:
    """Return a caveat naming the usual accuracies that the suite sets no limit for, with what they did."""
    asked = {judgement.criterion.metric for judgement in (entry.outcome.judgements if entry.outcome else ())}
    open_ = [name for name in _EXPECTED if entry.run and name in entry.run.accuracy and name not in asked]
    if not open_:
        return ()
    names = " and ".join(inside(name) for name in open_)
    seen = [
        levels(entry, group, one) for name in open_ if (one := entry.comparisons.get(name)) and one.change is not None
    ]
    return (f"The suite sets no limit for {names}{': ' if seen else ''}{'; '.join(seen)}.",)


def _absolute(entry: Entry, group: Group) -> tuple[float, float] | None:
    """Return the interval of an entry's latency in the time of its own baseline, for variants of other baselines."""
    change, head = latency(entry), group.baseline
    return None if change is None or head is None else (_median(head) * change.low, _median(head) * change.high)


def _rivals(entry: Entry, group: Group, winners: Sequence[Pair]) -> tuple[str, ...]:
    """Return caveats naming the accepted variants that are as fast or faster, also those of another runtime."""
    close, ahead = [], []
    mine = _absolute(entry, group)
    for other, place in winners:
        theirs = _absolute(other, place)
        if other is entry or mine is None or theirs is None or theirs[0] > mine[1]:
            continue
        name = other.variant if place is group else f"{other.variant} with {place.software}"
        if theirs[1] >= mine[0]:
            close.append(name)
        else:
            why = ["it loses accuracy"] if regressed(other) else reservations(other)
            ahead.append(f"{name} is faster, but {' and '.join(why)}." if why else f"{name} is faster.")
    if close:
        names = " and ".join(close)
        ahead.insert(
            0, f"Its interval overlaps that of {names}, within the limits too: which is faster was not decided."
        )
    return tuple(ahead)


def _nothing_accepted(entry: Entry, group: Group, several: bool) -> Headline:
    lines, where = limits(entry, group), _where(group, software=several)
    doubts = reservations(entry)
    care = f" Read it with care: {' and '.join(doubts)}." if doubts else ""
    if not lines:
        sentence = f"{where}, {entry.variant} {speed(entry, group)}, but the suite limits no accuracy.{care}"
        lost = [levels(entry, group, one) for one in regressed(entry)]
        if lost:
            return Headline(f"{sentence} It loses: {'; '.join(lost)}.", "bad", _unlimited(entry, group))
        hint = "Whether it is good enough was not judged: set a margin under [accept]."
        return Headline(sentence, "unsure", (hint, *_unlimited(entry, group)))
    broken = "; ".join(text for held, text in lines if not held)
    why = broken or (entry.outcome.message if entry.outcome else "") or "its case did not pass"
    sentence = f"{where}, no variant is both faster and within the suite's limits: the fastest, {entry.variant}, "
    return Headline(
        f"{sentence}{speed(entry, group)}; {why.rstrip('.')}.{care}", "bad", (grounds(entry), *_failing(group.baseline))
    )


def _nothing_faster(groups: Sequence[Group], pairs: Sequence[Pair]) -> Headline:
    heads = [group.baseline for group in groups if group.baseline and group.baseline.usable]
    if not heads:
        if any(entry.run for group in groups for entry in group.entries):
            return Headline("Nothing can be said: the baseline has no valid run to compare with.", "bad")
        return Headline(_unmeasured(groups), "bad", measured=False)
    head = heads[0]
    if not pairs:
        median = wording.value("latency_p50_s", _median(head))
        return Headline(f"{head.variant} was measured alone: {median} an inference, nothing to compare.", "unsure")
    compared = [entry for entry, _ in pairs if entry.usable and latency(entry) is not None]
    if not compared:
        sentence = f"Nothing could be compared with {head.variant}: {'; '.join(_ends(entry for entry, _ in pairs))}."
        return Headline(sentence, "bad", _failing(head))
    number = f"none of {units.count(len(compared))} compared variants" if len(compared) > 1 else "no compared variant"
    if len(compared) == 1:
        number = f"{compared[0].variant}, the only variant compared,"
    shown = "was not shown" if len(compared) == 1 else "was shown"
    left = _ends(entry for entry, _ in pairs if entry not in compared)
    sentence = f"Keep {head.variant}: {number} {shown} to be faster beyond the suite's margin."
    caveats = [f"Not compared: {'; '.join(left)}."] if left else []
    return Headline(sentence, "unsure", (*_smaller(pairs), *caveats, *_failing(head)))


def _ends(entries: Iterable[Entry]) -> list[str]:
    """Return how cases that could not be compared ended, those that ended alike together."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if entry.run is None:
            reasons = [str(reason).splitlines()[0] for reason in entry.outcome.reasons[:1]] if entry.outcome else []
            why = f"an error{f' ({reasons[0].rstrip(chr(46))})' if reasons else ''}"
        elif not entry.usable:
            why = f"an invalid run ({'; '.join(map(str, entry.run.reasons)) or 'no reason was recorded'})"
        else:
            found_ratio = entry.comparisons.get("latency_ratio")
            why = f"no latency to compare ({found_ratio.reason if found_ratio else 'none was measured'})"
        found.setdefault(why, []).append(entry.variant)
    return [f"{', '.join(names)}: {why}" for why, names in found.items()]


def _smaller(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield what is gained without speed: a variant within the limits, no slower, and smaller on disk or in memory."""
    for entry, group in pairs:
        ratio = latency(entry)
        margin = compare.margin(METRICS["latency_ratio"], group.settings) if group.settings.get("load") else 0.0
        if ratio is None or ratio.high > 1 + margin or not accepted(entry, group) or regressed(entry):
            continue
        gains = []
        for metric, word in (("size_ratio", "smaller on disk"), ("memory_ratio", "smaller in memory")):
            found = entry.comparisons.get(metric)
            if found is not None and found.verdict is Verdict.IMPROVED and found.change and found.change.point > 0:
                gains.append(f"{factor(1 / found.change.point)} times {word}")
        if gains:
            yield f"{entry.variant} is as fast, within the suite's limits and {' and '.join(gains)}."


def _failing(head: Entry | None) -> tuple[str, ...]:
    """Return a caveat where the baseline itself breaks the suite's limits."""
    if head is None or head.outcome is None:
        return ()
    broken = [one.message for one in head.outcome.judgements if not one.passed]
    return (
        (f"The baseline {head.variant} itself does not meet the suite's limits: {'; '.join(broken)}.",)
        if broken
        else ()
    )


def _unmeasured(groups: Sequence[Group]) -> str:
    outcomes = [entry.outcome for group in groups for entry in group.entries if entry.outcome]
    few = {1: "the only case", 2: "both cases"}
    which = few.get(len(outcomes), f"all {units.count(len(outcomes))} cases")
    reasons = [str(reason) for outcome in outcomes for reason in outcome.reasons]
    first = reasons[0].splitlines()[0] if reasons else "no case ran"
    return f"Nothing was measured: {which} ended in an error. {first.rstrip('.')}."


def overall(report: Report) -> tuple[Headline, tuple[tuple[str, Headline], ...]]:
    """Return the report's sentence, and one a place where there are several devices, suites or runtimes."""
    groups = report.groups()
    places: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        places.setdefault((group.suite, group.device), []).append(group)
    if not places:
        return Headline("Nothing was measured: no case was asked for.", "bad"), ()
    found = {place: verdict(members) for place, members in places.items()}
    details = tuple((group.title, verdict([group])) for group in groups) if len(groups) > 1 else ()
    if len(found) == 1:
        head = next(iter(found.values()))
        return Headline(head.sentence, head.tone, (*head.caveats, *caveats(report)), head.measured), details
    return _of_places(list(found.values()), caveats(report)), details


def _of_places(found: Sequence[Headline], around: tuple[str, ...]) -> Headline:
    """Return the sentence over several places (device and suite)."""
    good, answered = sum(one.tone == "good" for one in found), sum(one.measured for one in found)
    of = units.count(len(found))
    if not answered:
        return Headline(
            f"Nothing was measured in {of} places (device and suite): {_first(found)}", "bad", around, False
        )
    tone = "good" if good == len(found) else "unsure" if good else "bad"
    sentence = f"A variant that is faster and meets the suite's limits was found in {units.count(good)} of {of} places "
    chosen = Counter(one.chosen.variant for one in found if one.tone == "good" and one.chosen is not None)
    each = [f"{variant} in {units.count(number)}" for variant, number in chosen.most_common(_NAMED)]
    if len(chosen) > _NAMED:
        each.append("others in the rest")
    sentence += f"(device and suite){': ' if each else ''}{', '.join(each)}."
    if answered < len(found):
        sentence += f" In {units.count(len(found) - answered)} of them nothing was measured."
    return Headline(sentence, tone, around)


def _first(found: Sequence[Headline]) -> str:
    """Return what happened in the first of places where nothing was measured, without saying so once more."""
    return found[0].sentence.removeprefix("Nothing was measured: ")
