"""What must be known to read a whole report rightly: quick, degraded, invalid, errors, controls."""

from __future__ import annotations

from harness import units
from harness.model import Validity
from harness.page.report import Report


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
    lines += [f"Measured again: {'; '.join(report.again)}."] if report.again else []
    lines += report.jobs
    taken = [f"{one.case} ({units.moment(one.taken_over)})" for one in report.outcomes if one.taken_over]
    if taken:
        lines.append(f"Taken over when the campaign was resumed, with the time of the measurement: {', '.join(taken)}.")
    errors = [outcome for outcome in report.outcomes if outcome.status == "error"]
    if errors:
        where = "the table of every place" if report.divided else "the summary"
        lines.append(f"Cases that ended in an error: {units.count(len(errors))}; see {where}.")
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
