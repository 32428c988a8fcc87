"""How to run it again: the command, the versions and the digests of the very files that were measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.page import wording
from harness.page.report import Report

ORDER = 120
TITLE = "Run it again"


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
