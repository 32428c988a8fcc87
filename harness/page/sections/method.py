"""How it was measured, in a paragraph, with the settings of each suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import units
from harness.page import wording
from harness.page.report import Report

ORDER = 110
TITLE = "Method"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("method", "How it was measured") }}
<p class="prose">Every number was measured on the device itself, on its monotonic clock. The device was first brought inside its limits, then runner, models and data were put in place and verified by digest. Fresh processes gave process start, load and first inference. After a warm-up, baseline and variants took turns in short rounds of randomised order, over several launches of their processes, so that drift, throttling and noisy neighbours hit both alike; between rounds a fixed piece of work was timed, and rounds in which the processor was slower than usual are marked. Where a control took part, the baseline’s own file took turns once more, and what it showed says what this device could tell. The interval of a latency ratio is anytime-valid: looking at it while it was measured did not make a false alarm more likely. Memory was read from separate, fresh processes. Accuracy is that of the raw outputs of the device on the whole test split. A percentile is shown only with enough samples for it. A change is called improved or regressed only if its interval excludes “no change” and its point lies beyond the margin; what could not be measured is absent, with the reason, and never zero. <a href="{{ "../" if overview else "" }}method.html">How a number is made</a>, with where each formula comes from, stands beside this file.</p>
{% for suite in suites %}
<h3>{{ suite.title }}</h3>
<dl class="facts">{% for title, text in suite.facts %}<div{% if text|length > 60 %} class="long"{% endif %}><dt>{{ title }}</dt><dd>{{ text }}</dd></div>{% endfor %}</dl>
{% if suite.accept %}
<p class="note">A case passes if</p>
<ul class="plain">{% for line in suite.accept %}<li>{{ line }}</li>{% endfor %}</ul>
{% endif %}
{% endfor %}
"""


def context(report: Report) -> Mapping[str, Any]:
    """Return the suites' settings as people read them."""
    return {"suites": [_suite(name, settings) for name, settings in report.campaign.suites.items()]}


def _suite(name: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    load, data = settings.get("load", {}), settings.get("data", {})
    facts = [
        ("Data", str(data.get("description", ""))),
        ("Split", f"{data.get('split', '')}, {units.count(int(data.get('samples', 0)))} samples"),
        ("Fold", _fold(data.get("folds"))),
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


def _fold(folds: Mapping[str, Any] | None) -> str:
    """Return which fold of a pool was measured and what that leaves open, "" where the data have splits of their own."""
    if not folds:
        return ""
    which = f"{int(folds['fold']) + 1} of {folds['count']}, the models of which learnt from the others"
    return f"{which}; what another training set would have changed is in no interval here: edgeward folds compares all"


def _line(line: Mapping[str, Any]) -> str:
    metric, rule, bound = str(line["metric"]), str(line["rule"]), float(line["bound"])
    name = wording.title(metric)
    if rule == "non_inferior_by":
        return f"{name}: not inferior to the baseline by {units.bound(bound)}"
    ratio = " relative to the baseline" if wording.info(metric).kind == "ratio" else ""
    number = units.times(bound) if ratio else wording.value(metric, bound)
    return f"{name}{ratio}: at {'most' if rule == 'max' else 'least'} {number}"
