"""Drafts that a person completes, filled with what was measured: two in Markdown, two that need a library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Final

from harness.compare import Results
from harness.evidence.documents import checklist, model_card
from harness.page import wording

#: Line that installs what some drafts need.
EXTRA: Final = "pip install 'edgeward[evidence]' (highdicom: with Python 3.13 or older)"
FHIR: Final = "drafts/fhir.json"
REPORT: Final = "drafts/evaluation.dcm"
#: Draft -> the library that makes and validates it.
LIBRARIES: Final[Mapping[str, str]] = {FHIR: "fhir.resources", REPORT: "highdicom"}


def version(library: str) -> str | None:
    """Return the version of a library, None where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def drafts(record: Results, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return every draft that can be made here, by name.

    Args:
        record: of the campaign.
        files: the rest of its bundle, which some drafts refer to.
    """
    found = {
        "drafts/model-card.md": _text(model_card(record)),
        "drafts/checklist.md": _text(checklist(record)),
    }
    if version(LIBRARIES[FHIR]):
        from harness.evidence.fhir_resources import resources

        found[FHIR] = resources(record, files)
    if version(LIBRARIES[REPORT]):
        from harness.evidence.structured_report import structured_report

        found[REPORT] = structured_report(record)
    return found


def _text(lines: Iterable[str]) -> bytes:
    return wording.readable("\n".join(lines) + "\n").encode()
