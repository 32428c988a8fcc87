"""A section of the report that another distribution brings, its template included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ORDER = 105
TITLE = "Ward round"
TEMPLATE = "<p>The ward round saw {{ runs }} runs &amp; {{ word }}.</p>"


def context(report: Any) -> Mapping[str, Any] | None:
    """Return how many runs there are."""
    return {"runs": len(report.runs), "word": "<nothing else>"}
