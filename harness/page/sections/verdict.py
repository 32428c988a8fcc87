"""The verdict in one sentence, and what must be known to read it rightly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.page import headline
from harness.page.report import Report

ORDER = 10
TITLE = "Verdict"


def context(report: Report) -> Mapping[str, Any]:
    """Return the sentence, one more for each place if there are several, and the description of the data."""
    head, details = headline.overall(report)
    groups = report.groups()
    data = [group.settings.get("data", {}) for group in groups]
    described = dict.fromkeys(str(one.get("description", "")) for one in data if one.get("synthetic"))
    return {"head": head, "details": details, "synthetic": [text for text in described if text]}
