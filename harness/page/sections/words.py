"""The words of the report, each in a sentence, for people who read their first one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from harness.page.report import Report

ORDER = 130
TITLE = "Words"
OVERVIEW = True
TEMPLATE = """\
{% import "parts.html" as parts with context %}
{{ parts.heading("words", "What the words mean") }}
<dl class="facts words">{% for word, said in words.items() %}<div><dt>{% if word in glyphs %}{{ parts.badge(word, outcome_words.get(word, word)) }}{% else %}{{ word }}{% endif %}</dt><dd>{{ said }}</dd></div>{% endfor %}</dl>
"""
_WORDS: Final = {
    "baseline": "The model that nothing was optimised in. Every change is against it, on the same device and runtime.",
    "variant": "A model made from the baseline to be faster or smaller.",
    "interval": "Where the true value lies, with the stated confidence (mostly 95 %). A narrow one says more.",
    "margin": "The change that is too small to matter for this suite. It stands below each table.",
    "ratio (×)": "Time, memory or energy of the variant divided by the baseline's: 0.50× is half, 2.00× is twice.",
    "pp": "Percentage points: 93 % against 95 % is −2 pp.",
    "improved": "Surely better, and by more than the margin.",
    "better": "Surely better; within the margin, or not surely beyond it.",
    "equivalent": "The whole interval lies within the margin: no change that matters.",
    "worse": "Surely worse; within the margin, or not surely beyond it.",
    "regressed": "Surely worse, and by more than the margin.",
    "inconclusive": "The data cannot tell. More images or a longer measurement might.",
    "incomparable": "There is nothing to compare: the reason stands with it.",
    "valid": "Nothing was seen that would make the numbers wrong.",
    "degraded": "The device was disturbed, hot or slowed down: absolute figures must be read with the stated reasons.",
    "invalid": "The numbers may not be used.",
    "failed": "A limit of the suite was broken, or was not shown to hold.",
    "error": "The case ended before it had a result.",
    "xfailed": "The suite says that this case does not meet a limit, and why.",
    "xpassed": "The suite says that this case does not meet its limits, but it did.",
    "control": "The baseline's own file, measured once more as if it were a variant: what it shows is what noise can do.",
    "launch": "A fresh start of all models' processes. What differs between launches is in the interval.",
    "p50, p90, p99": "The time within which half, nine in ten and 99 in 100 of the inferences were done.",
    "sensitivity": "Of the images that show the positive class, the share that the model finds.",
    "specificity": "Of the images that do not show the positive class, the share that the model says so of.",
    "AUROC": "How well the model orders images by the positive class, over all thresholds: 1 is perfect, 0.5 is chance.",
    "non-inferior": "Shown not to be worse than the baseline by more than the loss that the suite allows.",
}


def context(report: Report) -> Mapping[str, Any]:
    """Return the words; they are the same for every report, so that people learn them once."""
    del report
    return {"words": _WORDS}
