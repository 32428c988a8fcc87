"""How to run it again: the command, the versions and the digests of the very files that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.page import wording
from harness.page.report import Report

ORDER = 120
TITLE = "Run it again"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("again", "How to run it again") }}
<pre tabindex="0"><code>{{ report.campaign.command }}</code></pre>
{% if models %}
<div class="scroll" tabindex="0" role="region" aria-label="Model files">
<table><caption><span>The model files that were measured</span></caption>
<thead><tr><th scope="col">Variant</th><th scope="col" class="text">Format</th><th scope="col">Size</th><th scope="col" class="text">Made by</th><th scope="col" class="text">SHA-256</th></tr></thead>
<tbody>{% for model in models %}<tr><th scope="row">{{ model.name }}</th><td class="text">{{ model.format }}</td><td>{{ model.size }}</td><td class="text">{{ model.recipe }}</td><td class="digest"><code>{{ model.digest }}</code></td></tr>{% endfor %}</tbody></table></div>
{% endif %}
<dl class="facts">{% for name, text in environment %}<div><dt>{{ name }}</dt><dd>{{ text }}</dd></div>{% endfor %}</dl>
"""


def context(report: Report) -> Mapping[str, Any]:
    """Return the command, the environment and each model file once."""
    models = {}
    for run in report.runs:
        digest = run.variant.sha256
        name, format_ = run.case.variant, run.variant.format
        size = wording.value("size_bytes", wording.cost(run, "size_bytes"))
        made = str(run.variant.recipe or "brought as it is")
        models[name, digest] = {"name": name, "format": format_, "size": size, "recipe": made, "digest": digest}
    return {"models": list(models.values()), "environment": list(report.campaign.environment.items())}
