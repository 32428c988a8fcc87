"""The verdict in one sentence, and what must be known to read it rightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.page import headline
from harness.page.report import Report

ORDER = 10
TITLE = "Verdict"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
<h2 id="verdict-title" class="quiet">Verdict</h2>
<div class="verdict {{ head.tone }}">
<p class="sentence"><span class="glyph" aria-hidden="true">{{ {"good": "✓", "unsure": "?", "bad": "✕"}[head.tone] }}</span> {{ head.sentence|unbroken }}</p>
{% if synthetic %}<p class="caveat"><strong>Synthetic data:</strong> {{ synthetic|join(" ") }}</p>{% endif %}
{% for caveat in head.caveats %}
<p class="caveat">{{ caveat }}</p>
{% endfor %}
</div>
{% if details %}
{% if details|length > 4 %}<details class="accept"><summary>The verdict of each of the {{ details|length }} places</summary>{% endif %}

<dl class="details">
{% for title, one in details %}
<div><dt>{{ title }}</dt><dd><span class="glyph {{ one.tone }}" aria-hidden="true">{{ {"good": "✓", "unsure": "?", "bad": "✕"}[one.tone] }}</span> {{ one.sentence|unbroken }}{% for caveat in one.caveats %} <span class="muted">{{ caveat }}</span>{% endfor %}</dd></div>
{% endfor %}
</dl>
{% if details|length > 4 %}</details>{% endif %}

{% endif %}
"""


def context(report: Report) -> Mapping[str, Any]:
    """Return the sentence, one more for each place if there are several, and the description of the data."""
    head, details = headline.overall(report)
    groups = report.groups()
    described = dict.fromkeys(
        f"{f'{group.prefix}: ' if group.prefix else ''}{text}"
        for group in groups
        if group.synthetic and (text := str(group.settings.get("data", {}).get("description", "")))
    )
    return {"head": head, "details": details, "synthetic": list(described)}
