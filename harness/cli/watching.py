"""`edgeward watch`: what the newest campaigns show, for people and programs; measured again where one is alone."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from harness.cli.settings import Settings
from harness.compare import Finding, watch
from harness.errors import StoreError
from harness.page.markdown import plain, table
from harness.store import VARIABLE, Store
from harness.units import counted, full_change
from harness.vocabulary import METRICS

_WIDTH: Final = 100
_SIGNS: Final = {"real": "!", "unknown": "?", "noise": "~"}
_NOTHING: Final = "Nothing that the newest campaigns show is new."


def watched(settings: Settings, suites: Sequence[str], *, last: int, again: bool) -> list[Finding]:
    """Return what is new.

    Args:
        settings: say where lab and store are.
        suites: files or names; all that were measured where there are none.
        last: how many campaigns are looked at.
        again: whether what one campaign alone shows is measured again first.
    """
    store = settings.open_store()
    found = _found(store, suites, last)
    open_cases = {case for one in found if one.standing == "unknown" for case in one.cases}
    if not again or not open_cases:
        return found
    _measure(settings, store, sorted(open_cases))
    settled = [one for one in _found(store, suites, last) if open_cases.issuperset(one.cases)]
    answered = {case for one in settled for case in one.cases}
    kept = [one for one in found if one.standing != "unknown" or not answered.intersection(one.cases)]
    return sorted([*settled, *kept], key=lambda one: not one.alarm)


def _found(store: Store, suites: Sequence[str], last: int) -> list[Finding]:
    from harness.cli.suites import check_suites
    from harness.page.publish import histories

    campaigns = store.campaigns()
    names = [Path(suite).name.removesuffix(".toml") for suite in suites]
    check_suites(names, campaigns)
    wanted = names or sorted({name for campaign in campaigns for name in campaign.suites})
    if not wanted:
        raise StoreError("nothing has been measured yet", remedy="run `pytest suites --device ID` first")
    cases, lost = histories(store, list(store.measured(wanted)), last=last)
    for text in lost:
        click.echo(f"warning: {text}", err=True)
    return watch(cases)


def _measure(settings: Settings, store: Store, cases: Sequence[str]) -> None:
    """Measure some cases again, each on its own device, as a campaign of its own in the same store."""
    devices = sorted({case.rpartition("@")[2] for case in cases})
    click.echo(f"measuring again: {', '.join(cases)}")
    command = [sys.executable, "-m", "pytest", "-q", *cases, *(f"--device={device}" for device in devices)]
    # Whether these cases pass is not the question, and what could not be measured stays unknown.
    subprocess.run(command, cwd=settings.folder(), env={**os.environ, VARIABLE: store.url}, check=False)


def show(found: Sequence[Finding]) -> None:
    """Print each finding, what was set up otherwise, and at the end how many there are."""
    for one in found:
        for line in (f"{_SIGNS[one.standing]} {headline(one)}", f"  {one.why}", *map(_indented, explanation(one))):
            click.echo(textwrap.fill(line, _WIDTH, subsequent_indent="    "))
    click.echo(summary(found))


def _indented(text: str) -> str:
    return f"  {text}"


def headline(one: Finding) -> str:
    """Return a finding in one line."""
    info = METRICS[one.metric]
    change = full_change(info.kind, info.unit, one.change)
    since = f"since the campaign of {one.new.started_at:%Y-%m-%d %H:%M} UTC ({one.new.id[:8]})"
    return f"{one.standing}: {info.title} {one.verdict.value}: {one.name}: {change} {since}"


def explanation(one: Finding) -> list[str]:
    """Return what was set up otherwise between the last campaign of the old level and the first of the new one."""
    commits = [str(campaign.environment.get("lab_commit", "")) for campaign in (one.old, one.new)]
    between = [f"Commits of the lab: {commits[0]}..{commits[1]}"] if all(commits) and commits[0] != commits[1] else []
    said = [cause.sentence for cause in one.causes]
    return [*between, *(said or ["Nothing that is recorded was set up otherwise."])]


def summary(found: Sequence[Finding]) -> str:
    """Return the last line."""
    if not found:
        return _NOTHING
    alarms = sum(one.alarm for one in found)
    return f"{counted(len(found), 'change')}, of which {alarms} for the worse and real."


def markdown(found: Sequence[Finding]) -> str:
    """Return the findings as GitHub's Markdown."""
    rows = [
        [one.standing, plain(headline(one).partition(": ")[2]), plain(" ".join([f"{one.why}.", *explanation(one)]))]
        for one in found
    ]
    lines = [f"## {plain(summary(found))}", *(["", *table(["Standing", "Change", "Why"], rows)] if rows else [])]
    return "\n".join(lines) + "\n"


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as plain values; `text` is what chat services show of a webhook's message."""
    from harness.store.export import interval, moment

    return {
        "schema": 1,
        "text": "\n".join([summary(found), *map(headline, found)]),
        "alarms": sum(one.alarm for one in found),
        "findings": [
            {
                "standing": one.standing,
                "alarm": one.alarm,
                "cases": list(one.cases),
                "metric": one.metric,
                "verdict": one.verdict.value,
                "change": interval(one.change),
                "why": one.why,
                "old": {"campaign": one.old.id, "started_at": moment(one.old.started_at)},
                "new": {"campaign": one.new.id, "started_at": moment(one.new.started_at)},
                "explanation": explanation(one),
            }
            for one in found
        ],
    }
