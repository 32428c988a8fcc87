"""What changed since the last campaign of the same suites and devices, on the first page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import compare
from harness.page.report import Report

ORDER = 12
TITLE = "Since the last campaign"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("since", "Since the last campaign") }}
<p class="prose">{{ since.sentence }}</p>
{% if not since.nothing %}
<ul class="plain">
{% for name, before, after, why in since.outcomes %}
<li>{{ name }}: {{ parts.badge(before, outcome_words[before]) if before in glyphs else before }} → {{ parts.badge(after, outcome_words[after]) if after in glyphs else after }}{% if why %} <span class="muted">{{ why }}</span>{% endif %}</li>
{% endfor %}
{% for name, move in moves %}
<li>{{ parts.badge(move.verdict|string) }} {{ name }}. {{ move.sentence|replace(" -> ", " → ") }}.</li>
{% endfor %}
{% if since.new %}<li>New, in none of the campaigns before: {{ since.new|join("; ") }}.</li>{% endif %}
{% if since.gone %}<li>Measured in the campaign before and not in this one: {{ since.gone|join("; ") }}.</li>{% endif %}
{% for text, names in since.changed %}
<li>{{ text|replace(" -> ", " → ") }}{% if names %} <span class="muted">({{ names|join("; ") }})</span>{% endif %}</li>
{% endfor %}
</ul>
{% endif %}
"""


def context(report: Report) -> Mapping[str, Any] | None:
    """Return what changed, None where no campaign before had the same suites on the same devices."""
    found = compare.since(report.earlier, report.campaign.id)
    if found is None:
        return None
    return {"since": found, "moves": (*found.moves, *found.settled)}
