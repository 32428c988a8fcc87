"""A campaign as FHIR R5 resources: a Device for each model, a DocumentReference for the report, and its Provenance.

What goes where: `Device` is one model file, identified by its SHA-256 (RFC 6920); `DocumentReference` is `report.html`
of the same bundle; `Provenance` says which edgeward made it, of which models. Manufacturer, UDI and the person who is
responsible are not known here: a note, or a display text, says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from harness import __version__
from harness.compare import Results
from harness.evidence.documents import PERSON, judged


def resources(record: Results, files: Mapping[str, bytes]) -> bytes:
    """Return a FHIR Bundle as JSON, validated by `fhir.resources` when it is made and once more as it is written.

    Args:
        record: of the campaign.
        files: the bundle's, of which the report and the results are referred to.
    """
    from fhir.resources.bundle import Bundle

    moment = record.campaign.started_at.isoformat()
    models: dict[str, dict[str, Any]] = {}
    for run in record.runs:
        own = models.setdefault(run.variant.sha256, _device(run.variant.sha256, run.case.variant))
        own["note"].append({"text": f"On {run.case.device} with {run.case.runtime}: {judged(record, run)}"})
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "preliminary",
        "date": moment,
        "description": f"Report of campaign {record.campaign.id}",
        "author": [{"display": f"edgeward {__version__}"}],
        "custodian": {"display": f"{PERSON}: the organisation that keeps it"},
        "content": [{"attachment": _attachment(name, files[name])} for name in ("report.html", "results.json")],
    }
    provenance = {
        "resourceType": "Provenance",
        "target": [{"reference": _id(record, "document")}],
        "recorded": moment,
        "activity": {"text": "Evaluation of optimised models on devices, each against its baseline"},
        "agent": [
            {"type": {"text": "software"}, "who": {"display": f"edgeward {__version__}"}},
            {"type": {"text": "responsible"}, "who": {"display": f"{PERSON}: who is responsible"}},
        ],
        "entity": [{"role": "source", "what": {"reference": _id(record, sha)}} for sha in models],
    }
    entries = {**models, "document": document, "provenance": provenance}
    whole = {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": moment,
        "entry": [{"fullUrl": _id(record, name), "resource": one} for name, one in entries.items()],
    }
    text = Bundle.model_validate(whole).model_dump_json(indent=2)
    Bundle.model_validate(json.loads(text))
    return f"{text}\n".encode()


def _device(sha256: str, name: str) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "status": "active",
        "identifier": [{"system": "urn:ietf:rfc:6920", "value": f"ni:///sha-256;{_digest(sha256)}"}],
        "displayName": name,
        "type": [{"text": "model file of a neural network"}],
        "note": [{"text": f"DRAFT. {PERSON}: manufacturer, UDI, version, intended use."}],
    }


def _digest(sha256: str) -> str:
    """Return a digest as RFC 6920 writes it: base64url without padding; one that is no hex stays as it is."""
    try:
        return base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    except ValueError:
        return sha256


def _attachment(name: str, content: bytes) -> dict[str, Any]:
    kind = "text/html" if name.endswith(".html") else "application/json"
    # FHIR asks for SHA-1 here; what protects the file is the manifest, with SHA-256.
    digest = base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    return {"contentType": kind, "url": name, "title": name, "size": len(content), "hash": digest}


def _id(record: Results, name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'edgeward:{record.campaign.id}:{name}')}"
