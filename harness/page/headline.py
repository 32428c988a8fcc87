"""The verdict in one sentence: speed and safety joined, and never more said than was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness import units
from harness.model import Estimate, Validity, Verdict
from harness.page import wording
from harness.page.report import Entry, Group, Report


@dataclass(frozen=True, slots=True)
class Headline:
    """One sentence with its tone (good, unsure or bad) and what must be known to read it rightly."""

    sentence: str
    tone: str
    caveats: tuple[str, ...] = ()


def latency(entry: Entry) -> Estimate | None:
    """Return the latency of an entry relative to its baseline, None without a bounded interval."""
    found = entry.comparisons.get("latency_ratio")
    return found.change if found is not None and wording.bounded(found.change) else None


def faster(entry: Entry) -> bool:
    """Return True if an entry is faster than its baseline beyond doubt and beyond the margin."""
    found = entry.comparisons.get("latency_ratio")
    return entry.usable and found is not None and found.verdict is Verdict.IMPROVED


def safety(entry: Entry) -> list[tuple[bool, str]]:
    """Return each accuracy the suite sets a bound for: whether it holds, and in words."""
    lines = []
    for judgement in entry.outcome.judgements if entry.outcome else ():
        rule, metric = judgement.criterion, judgement.criterion.metric
        if wording.info(metric).kind != "accuracy":
            continue
        name, comparison = wording.info(metric).title, entry.comparisons.get(metric)
        if name.isascii() and not name.isupper():
            name = name[0].lower() + name[1:]
        if rule.rule == "non_inferior_by" and comparison is not None and comparison.change is not None:
            word = "not inferior by" if judgement.passed else "not shown to be non-inferior by"
            # The level comes first: a variant that is not inferior to a poor baseline may still be poor.
            level = entry.run.accuracy.get(metric) if entry.run else None
            own = f"{wording.value(metric, level.point)}, " if level else ""
            point = wording.change(metric, comparison.change.point)
            lines.append((judgement.passed, f"{name} {own}{point} ({word} {units.bound(rule.bound)})"))
        else:
            lines.append((judgement.passed, judgement.message))
    return lines


def safe(entry: Entry) -> bool:
    """Return True if the suite bounds an accuracy, every such bound holds, and the case passed."""
    lines = safety(entry)
    accepted = entry.outcome is not None and entry.outcome.status in ("passed", "xpassed")
    return entry.usable and accepted and bool(lines) and all(held for held, _ in lines)


def speed(entry: Entry, group: Group) -> str:
    """Return how fast an entry is against its baseline, with the interval."""
    change, head = latency(entry), group.baseline
    if change is None or head is None:
        return "no comparison"
    within = f"{units.whole_percent(change.confidence)} interval {units.times_span(change.low, change.high)}"
    control = entry.comparisons["latency_ratio"].control
    if control is not None and wording.bounded(control):
        within += f"; control {units.times_span(control.low, control.high)}"
    return f"{units.times(change.point)} the latency of {head.variant} ({within})"


def _median(entry: Entry) -> float:
    found = wording.cost(entry.run, wording.typical(entry.run, "latency_p50_s")) if entry.run else None
    return float("inf") if found is None else found


def verdict(groups: Sequence[Group]) -> Headline:
    """Return the sentence for groups that compete with one another: those of one device and suite."""
    pairs = [(entry, group) for group in groups for entry in group.entries if not entry.is_baseline]
    winners = [(entry, group) for entry, group in pairs if faster(entry) and safe(entry)]
    several = len(groups) > 1
    if winners:
        entry, group = min(winners, key=lambda pair: _median(pair[0]))
        where = f" (with {group.software})" if several else ""
        held = ", ".join(text for _, text in safety(entry))
        sentence = f"{entry.variant}{where} is the fastest variant that is safe: {speed(entry, group)}, {held}."
        return Headline(sentence, "good", _rivals(entry, group, winners))
    quick = sorted(((e, g) for e, g in pairs if faster(e)), key=lambda pair: _median(pair[0]))
    return _nothing_safe(*quick[0]) if quick else _nothing_faster(groups, [entry for entry, _ in pairs])


def _rivals(entry: Entry, group: Group, winners: Sequence[tuple[Entry, Group]]) -> tuple[str, ...]:
    """Return a caveat naming the safe variants that may be just as fast."""
    best = latency(entry)
    close = []
    for other, _ in (pair for pair in winners if pair[1] is group and pair[0] is not entry):
        change = latency(other)
        if best and change and change.low <= best.high:
            close.append(other.variant)
    if not close:
        return ()
    return (f"Its interval overlaps that of {' and '.join(close)}, also safe: which is faster was not decided.",)


def _nothing_safe(entry: Entry, group: Group) -> Headline:
    lines = safety(entry)
    if not lines:
        sentence = f"{entry.variant} is the fastest variant, {speed(entry, group)}, but the suite bounds no accuracy."
        return Headline(sentence, "unsure", ("Whether it is safe was not judged: set a margin under [accept].",))
    lost = "; ".join(text for held, text in lines if not held)
    why = lost or (entry.outcome.message if entry.outcome else "") or "its case did not pass"
    sentence = f"No variant is both faster and safe: the fastest, {entry.variant}, has {speed(entry, group)}; {why}."
    return Headline(sentence, "bad")


def _nothing_faster(groups: Sequence[Group], entries: Sequence[Entry]) -> Headline:
    measured = [entry for entry in entries if entry.usable]
    heads = [group.baseline for group in groups if group.baseline and group.baseline.usable]
    if not heads:
        if any(entry.run for group in groups for entry in group.entries):
            return Headline("Nothing can be said: the baseline has no valid run to compare with.", "bad")
        return Headline(_unmeasured(groups), "bad")
    if not entries:
        median = wording.value("latency_p50_s", _median(heads[0]))
        return Headline(f"{heads[0].variant} was measured alone: {median} an inference, nothing to compare.", "unsure")
    number = f"none of {units.count(len(measured))} measured variants" if len(measured) > 1 else "no variant measured"
    return Headline(f"Keep {heads[0].variant}: {number} was shown to be faster beyond the suite's margin.", "unsure")


def _unmeasured(groups: Sequence[Group]) -> str:
    outcomes = [entry.outcome for group in groups for entry in group.entries if entry.outcome]
    which = "the only case" if len(outcomes) == 1 else f"all {units.count(len(outcomes))} cases"
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
        return Headline(head.sentence, head.tone, (*head.caveats, *caveats(report))), details
    good = sum(head.tone == "good" for head in found.values())
    tone = "good" if good == len(found) else "unsure" if good else "bad"
    number, of = units.count(good), units.count(len(found))
    sentence = f"A variant that is faster and safe was found in {number} of {of} places (device and suite)."
    return Headline(sentence, tone, caveats(report)), details


def caveats(report: Report) -> tuple[str, ...]:
    """Return what holds for the whole report: quick, degraded, invalid, errors."""
    lines = []
    if report.quick:
        lines.append("Quick campaign: one tenth of the durations, so intervals are wide and verdicts provisional.")
    for validity in (Validity.DEGRADED, Validity.INVALID):
        if names := _names(report, validity):
            use = "not used" if validity is Validity.INVALID else "read with its reasons below"
            what = "Absolute figures degraded" if validity is Validity.DEGRADED else str(validity).capitalize()
            lines.append(f"{what}: {', '.join(dict.fromkeys(names))} – {use}.")
    lines += _controls(report)
    errors = [outcome for outcome in report.outcomes if outcome.status == "error"]
    if errors:
        lines.append(f"Cases that ended in an error: {units.count(len(errors))}; see the summary.")
    return tuple(lines)


def _controls(report: Report) -> list[str]:
    """Return what the controls say of the comparisons of latencies, nothing where none took part."""
    seen = [group.control for group in report.groups() if group.baseline and group.baseline.usable]
    found = [one for one in seen if one is not None and one.change is not None]
    alarms = sum(one.alarm for one in found)
    if alarms:
        return [f"Comparisons of latencies degraded in {units.count(alarms)} of {units.count(len(found))} places: "
                "the control, the baseline's own file, was found changed."]  # fmt: skip
    degraded = any(run.validity is Validity.DEGRADED for run in report.runs)
    if found and degraded and len(found) == len(seen):
        return ["Comparisons of latencies hold: the control, the baseline's own file, was not found changed."]
    return []


def _names(report: Report, validity: Validity) -> list[str]:
    """Return which runs are of a validity: each by its name, or all of a place or of the report in a word."""
    measured = [(group, [entry for entry in group.entries if entry.run]) for group in report.groups()]
    count = sum(len(entries) for _, entries in measured)
    names, found = [], 0
    for group, entries in measured:
        hit = [entry.variant for entry in entries if entry.run and entry.run.validity is validity]
        found += len(hit)
        whole = len(hit) == len(entries) > 1
        names += [f"all on {group.title}"] if whole else [f"{variant} ({group.title})" for variant in hit]
    return [f"all {units.count(count)} runs"] if found == count > 1 and len(measured) > 1 else names
