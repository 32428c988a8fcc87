"""Where the time of an inference goes: the share of each type of operator, where the runtime says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from harness import units
from harness.model import Run
from harness.page import charts, wording
from harness.page.report import Entry, Group, Report
from harness.results import profile
from harness.results.profile import Operator, Profile

ORDER = 66
TITLE = "Operators"
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("profile", "Where the time of an inference goes") }}
<p class="lead">Shares of the time in operators, seen in traced inferences behind everything that was measured. Tracing takes time itself, so the shares are to be read and not the times: no figure elsewhere on this page comes from here.</p>
{% for one in figures %}
{% call parts.place(one.group) %}
{% if one.rows %}
{% if one.chart %}<figure>{{ one.chart }}<figcaption>Mean of the faster half of the traced inferences, because other work only adds time; of all where the time depends on the image. Drawn are the types that take the most in this place, all others in one. Short operators come out too short: the runtime notes whole microseconds, rounded down. Where a traced inference takes less than the measured median (below 1×), the device was faster then than while it was measured.</figcaption></figure>{% endif %}
<div class="scroll" tabindex="0" role="region" aria-label="Operators of the variants{% if several %}, {{ one.group.title }}{% endif %}">
<table><caption><span>Traced inferences</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col" class="text">Takes the most</th><th scope="col">Share</th><th scope="col">Nodes</th><th scope="col">Inferences that count</th><th scope="col">One traced inference</th><th scope="col">of it in no operator</th><th scope="col">To the measured median</th></tr></thead>
<tbody>{% for row in one.rows %}<tr{% if row.entry.is_baseline %} class="baseline"{% endif %}><th scope="row">{{ row.entry.variant }}</th><td class="text">{{ row.most }}</td>{% for text in row.texts %}<td>{{ text }}</td>{% endfor %}</tr>{% endfor %}</tbody></table></div>
{% for row in one.rows %}
{{ parts.numbers(["Operator", "Run by", "Nodes", "Share", "Traced time"], row.operators, "Operators of " ~ row.entry.variant) }}
{{ parts.numbers(["Slowest nodes", "Operator", "Run by", "Share", "Traced time"], row.slowest, "Slowest nodes of " ~ row.entry.variant) }}
{% endfor %}
{% if one.beside %}<p class="note">What another processor or an accelerator goes on with after its operator was handed over is not in that operator's time: {{ one.beside|join(", ") }}.</p>{% endif %}
{% endif %}
{% for variant, why in one.absent %}<p class="note">No profile, {{ variant }}: {{ why }}.</p>{% endfor %}
{% endcall %}
{% endfor %}
"""
#: So many types of a place have a colour of their own; the last colour is of all others.
OWN: Final = charts.PARTS - 1
OTHERS: Final = "all others"
#: Providers that compute while the processor waits for them.
_WAITED_FOR: Final = frozenset({"CPUExecutionProvider", "XnnpackExecutionProvider", "DnnlExecutionProvider"})


def context(report: Report) -> Mapping[str, Any] | None:
    """Return a chart and tables for each group that was asked for its profile."""
    if not report.detailed:
        return None
    figures = []
    for group in report.groups():
        found = [(entry, entry.run, profile.of(entry.run)) for entry in group.measured if entry.run]
        seen = [(entry, run, one) for entry, run, one in found if isinstance(one, Profile)]
        absent = [(entry.variant, one) for entry, _, one in found if isinstance(one, str)]
        if seen or absent:
            beside = {each.provider for _, _, one in seen for each in one.operators if each.provider} - _WAITED_FOR
            figures.append(
                {"group": group, "rows": [_row(*one) for one in seen], "chart": _chart(seen, group) if seen else ""}
                | {"absent": absent, "beside": sorted(beside)}
            )
    return {"figures": figures} if figures else None


def _row(entry: Entry, run: Run, seen: Profile) -> Mapping[str, Any]:
    first = max(seen.operators, key=lambda one: one.time_s if one.type else 0.0)
    between = max(1 - seen.nodes_s / seen.inference_s, 0.0)
    texts = [
        units.whole_percent(seen.share(first.time_s)), units.count(seen.nodes), units.count(seen.inferences),
        units.human(seen.inference_s, "s"), units.whole_percent(between), _slower(run, seen),
    ]  # fmt: skip
    operators = [
        (_named(one), one.provider, units.count(one.nodes), *_times(one.time_s, seen)) for one in seen.operators
    ]
    slowest = [(one.name, one.type, one.provider, *_times(one.time_s, seen)) for one in seen.slowest]
    return {"entry": entry, "most": _named(first), "texts": texts, "operators": operators, "slowest": slowest}


def _times(time_s: float, seen: Profile) -> tuple[str, str]:
    return units.human(seen.share(time_s), "%"), units.human(time_s, "s")


def _named(one: Operator) -> str:
    return one.type or OTHERS


def _slower(run: Run, seen: Profile) -> str:
    """Return how long a traced inference took over the measured one, where both are of the same thing."""
    typical = wording.cost(run, wording.typical(run, "latency_p50_s"))
    # A latency of a stream counts from the arrival of a frame.
    if not typical or run.case.scenario == "stream":
        return units.ABSENT
    return units.times(seen.inference_s / (run.case.batch or 1) / typical)


def _chart(seen: Sequence[tuple[Entry, Run, Profile]], group: Group) -> Any:
    undone = charts.instead()
    if undone is not None:
        return undone
    whole: dict[str, float] = {}
    for _, _, one in seen:
        for each in one.operators:
            if each.type:
                whole[each.type] = whole.get(each.type, 0.0) + one.share(each.time_s)
    own = sorted(whole, key=lambda name: -whole[name])[:OWN]
    rows, pieces, said = [], [], []
    for entry, _, one in seen:
        shares = dict.fromkeys((*own, OTHERS), 0.0)
        for each in one.operators:
            shares[each.type if each.type in shares else OTHERS] += one.share(each.time_s)
        most = max(own, key=lambda name: shares[name])
        rows.append({"variant": entry.variant, "text": f"{most} {units.whole_percent(shares[most])}"})
        for order, (name, share) in enumerate(shares.items()):
            hover = f"{entry.variant}: {name} {units.human(share, '%')}"
            piece = {"variant": entry.variant, "part": name, "order": order, "value": 100 * share}
            # Bars stand in the order of their first pieces, so each has a piece of the first kind.
            if share > 0 or order == 0:
                pieces.append({**piece, "hover": hover})
            if share > 0:
                said.append(hover)
    # A kind has its colour by the place of its first piece.
    pieces.sort(key=lambda piece: int(str(piece["order"])))
    draw = charts.stacked(rows, pieces, title="share of the time in operators, %")
    return charts.figure(draw, alt=f"Operators, {group.title}. " + ". ".join(said))
