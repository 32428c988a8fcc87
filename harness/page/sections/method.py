"""How it was measured, in a paragraph, with the settings of each suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import units
from harness.page import wording
from harness.page.report import Report

ORDER = 110
TITLE = "Method"


def context(report: Report) -> Mapping[str, Any]:
    """Return the suites' settings as people read them."""
    return {"suites": [_suite(name, settings) for name, settings in report.campaign.suites.items()]}


def _suite(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    load, data = settings.get("load", {}), settings.get("data", {})
    facts = [
        ("Data", str(data.get("description", ""))),
        ("Split", f"{data.get('split', '')}, {units.count(int(data.get('samples', 0)))} samples"),
        ("Classes", ", ".join(str(one) for one in data.get("classes", ()))),
        ("Positive class", str(settings.get("task", {}).get("positive", ""))),
        ("Scenario", str(load.get("scenario", "")).replace("_", " ")),
        ("Threads, batch", f"{load.get('threads', units.ABSENT)}, {load.get('batch', units.ABSENT)}"),
    ]
    for key, title in (("precision", "Stops at a half-width of"), ("margin", "Changes that do not matter")):
        if load.get(key) is not None:
            facts.append((title, units.human(float(load[key]), "%")))
    if load.get("max_duration_s") is not None:
        facts.append(("Longest timed pass", units.human(float(load["max_duration_s"]), "s")))
    accept = [_line(line) for line in settings.get("accept", ())]
    return {"name": name, "title": settings.get("title", name), "facts": [f for f in facts if f[1]], "accept": accept}


def _line(line: Mapping[str, Any]) -> str:
    metric, rule, bound = str(line["metric"]), str(line["rule"]), float(line["bound"])
    name = wording.title(metric)
    if rule == "non_inferior_by":
        return f"{name}: not inferior to the baseline by {units.bound(bound)}"
    ratio = " relative to the baseline" if wording.info(metric).kind == "ratio" else ""
    number = units.times(bound) if ratio else wording.value(metric, bound)
    return f"{name}{ratio}: at {'most' if rule == 'max' else 'least'} {number}"
