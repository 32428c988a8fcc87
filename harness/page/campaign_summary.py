"""A campaign on one page of Markdown: the sentence, a row a case, what failed, and where the whole report is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness import units
from harness.compare import since
from harness.model import Validity
from harness.page import wording
from harness.page.cells import cells as cells_of
from harness.page.headline import overall
from harness.page.markdown import figure, numbered, plain, table
from harness.page.render import titles
from harness.page.report import Entry, Group, Report

_LATENCY: Final = "latency_p50_s"
_LEGEND: Final = "Changes are against the baseline of the same device and runtime; intervals stand in brackets."


def markdown(report: Report, html: Path) -> str:
    """Return the summary of a campaign as GitHub's Markdown.

    Args:
        report: what was measured, compared and judged.
        html: the file of the whole report.
    """
    head, _ = overall(report)
    lines = [f"## {plain(titles(report))}", "", f"**{plain(head.sentence)}**", ""]
    if report.synthetic:
        lines += [f"- {plain(report.synthetic)}: the accuracies say nothing about clinical use."]
    lines += [f"- {plain(caveat)}" for caveat in head.caveats]
    if changed := since(report.earlier, report.campaign.id):
        lines.append(f"- {plain(changed.sentence)}")
    suites: dict[str, list[Group]] = {}
    for group in report.groups():
        suites.setdefault(group.suite, []).append(group)
    for suite, groups in suites.items():
        title = str(groups[0].settings.get("title") or suite) if len(suites) > 1 else ""
        lines += ["", *([f"### {plain(title)}", ""] if title else []), *_table(groups)]
    lines += ["", *_broken(report), f"Report: {plain(str(html.absolute()))}"]
    return wording.readable("\n".join(lines) + "\n")


def _table(groups: list[Group]) -> list[str]:
    """Return the lines of one suite, and the notes of its changes."""
    accepted = [str(line["metric"]) for line in groups[0].settings.get("accept", ())]
    bounded = [name for name in dict.fromkeys(accepted) if wording.info(name).kind == "accuracy"]
    pairs = [(group, entry) for group in groups for entry in group.entries]
    cells = [
        {cell.metric: cell for cell in cells_of(entry, bounded, group) if cell.metric in (_LATENCY, *bounded)}
        for group, entry in pairs
    ]
    notes = wording.numbered(cell for row in cells for cell in row.values())
    head = ["Device", "Variant", "Outcome", wording.title(_LATENCY), *map(groups[0].called, bounded), "Validity"]
    rows = [
        [
            plain(group.title),
            f"{plain(entry.variant)}{' (baseline)' if entry.is_baseline else ''}",
            _outcome(entry),
            *(figure(row.get(name), notes, in_words=True) for name in (_LATENCY, *bounded)),
            _validity(entry),
        ]
        for (group, entry), row in zip(pairs, cells, strict=True)
    ]
    lines = [*table(map(plain, head), rows), "", _LEGEND]
    return [*lines, "", *numbered(notes)] if notes else lines


def _outcome(entry: Entry) -> str:
    if entry.outcome is None:
        return "not judged"
    return _said(entry.outcome.status)


def _validity(entry: Entry) -> str:
    if entry.run is None:
        return units.ABSENT
    words = f"{wording.GLYPHS[entry.run.validity]} {entry.run.validity}{' (quick)' if entry.run.quick else ''}"
    reasons = entry.run.reasons if entry.run.validity is not Validity.VALID else ()
    return "<br>".join([words, *(plain(str(reason)) for reason in reasons)])


def _broken(report: Report) -> list[str]:
    """Return the cases that failed or ended in an error, each with its messages, and an empty line."""
    lines = []
    for outcome in report.outcomes:
        if outcome.status in ("failed", "error"):
            lines.append(f"- {_said(outcome.status)}: **{plain(outcome.case)}**")
            lines += [f"  - {plain(str(reason))}" for reason in outcome.reasons]
    return ["### Failures and errors", "", *lines, ""] if lines else []


def _said(status: str) -> str:
    return f"{wording.GLYPHS[status]} {wording.OUTCOMES[status]}"
