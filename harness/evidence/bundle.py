"""The bundle: a ZIP file, the same bytes for the same campaign, whose manifest has the SHA-256 of every file in it.

Nothing in it is compressed, so that its bytes depend on no version of a library: a check writes the same file again.
"""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Final

import harness
from harness import __version__, page
from harness.compare import Results, margin
from harness.errors import HarnessError, StoreError
from harness.evidence import drafts, recomputing
from harness.evidence.record import record_of, store_of, written
from harness.model import Campaign
from harness.page.publish import stored
from harness.page.render import sections
from harness.store import Store, export

#: Raised when a reader of before would misread a bundle; a newer one is refused.
SCHEMA: Final = 1
MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.json.sig"
RESULTS: Final = "results.sqlite"
EXPORT: Final = "results.json"
#: What the numbers come from; the report and the drafts show them.
_METHOD: Final = ("compare", "metrics", "stats")
#: Other versions of these may draw or write the same numbers in other bytes.
_LIBRARIES: Final = ("altair", "jinja2", "numpy", "scipy", "vl-convert-python")
_AGAIN: Final = "get it once more from the one who made it"
_ABOUT: Final = """\
# Evidence of a measured campaign

Made by edgeward {version} of campaign {campaign}, which began {started:%Y-%m-%d %H:%M} UTC.

* `report.html`, and a folder `report/` where there are many devices: the report, for people.
* `results.sqlite`: all that was stored of this campaign: raw samples with their rounds, outputs, labels, digests of
  models and data, conditions, comparisons, judgements. It holds no image.
* `results.json`: the same without outputs and labels, for other programs.
* `drafts/`: a model card, topics of STARD-AI and CLAIM, FHIR resources and a DICOM Structured Report, filled with what
  was measured. A person completes them elsewhere: `TO BE WRITTEN BY A PERSON` marks what no measurement can say.
* `manifest.json`: the SHA-256 of every other file and of the method, and what made them.
* `manifest.json.sig`: the signature of the manifest, where there is one.

`edgeward verify FILE.zip --signers ALLOWED_SIGNERS` checks the signature and every digest, computes every accuracy,
comparison and judgement again from samples, outputs and labels, and writes the report once more. It needs no network.
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as it was read.

    Attributes:
        files: name -> bytes, of every file but manifest and signature.
        manifest: what it says of them.
        signature: of the manifest's bytes; None where it is unsigned.
        signed: the manifest's bytes.
        faults: what is wrong with the file as such, a sentence each.
    """

    files: Mapping[str, bytes]
    manifest: Mapping[str, Any]
    signed: bytes
    signature: bytes | None
    faults: tuple[str, ...] = ()


def made(store: Store, campaign: Campaign) -> tuple[dict[str, bytes], bytes]:
    """Return the files of a campaign's bundle and its manifest, which is what is signed.

    Raises:
        StoreError: the campaign cannot be read, or its numbers do not follow from its samples.
        HarnessError: its report cannot be drawn.
    """
    record = record_of(store, campaign)
    found = recomputing.recomputed(record.campaign, record.runs, record.comparisons, record.outcomes)
    if found.differing:
        raise StoreError(
            f"{len(found.differing)} of its numbers do not follow from its samples, so no check would pass: "
            f"{found.differing[0]}",
            remedy="make the bundle with the edgeward that measured it, or measure again with this one",
        )
    files = contents(record)
    return files, dumped(manifest(record, files, made_with()))


def contents(record: Results) -> dict[str, bytes]:
    """Return every file that a record gives, by name.

    Raises:
        HarnessError: its report cannot be drawn.
    """
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / RESULTS
        written(record, file)
        # All the rest is made of what was written, as a check will do.
        with store_of(file) as store:
            record = record_of(store, record.campaign)
            report = stored(store, record.campaign)
            faults: list[str] = []
            pages = dict(page.pages(report, "report", say=faults.append))
            if faults:
                raise HarnessError(faults[0], remedy="`edgeward report` shows the section; report this as a defect")
        ended = [(record.campaign, record.outcomes)]
        results = export.to_json(record.runs, record.comparisons, ended, margin)
        about = _ABOUT.format(version=__version__, campaign=record.campaign.id, started=record.campaign.started_at)
        files = {
            **pages,
            RESULTS: file.read_bytes(),
            EXPORT: results.encode(),
            "README.md": about.encode(),
        }
    return {**files, **drafts.drafts(record, files)}


def manifest(record: Results, files: Mapping[str, bytes], made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a bundle says of itself.

    Args:
        record: of the campaign.
        files: every file but the manifest itself and its signature.
        made_by: what wrote them, see `made_with`.
    """
    data: dict[str, list[str]] = {}
    models: dict[str, dict[str, str]] = {}
    for run in record.runs:
        digest = str(run.fingerprint.get("data_sha256", ""))
        known = data.setdefault(run.case.suite, [])
        known += [digest] if digest and digest not in known else []
        models.setdefault(run.case.suite, {})[run.case.variant] = run.variant.sha256
    return {
        "schema": SCHEMA,
        "campaign": record.campaign.id,
        "started_at": record.campaign.started_at.isoformat(),
        "environment": dict(record.campaign.environment),
        "made_with": dict(made_by),
        "models": models,
        "data": data,
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in sorted(files.items())
        },
    }


@cache
def made_with() -> Mapping[str, Any]:
    """Return the versions of what writes a bundle here: edgeward, its method by digest, and libraries."""
    return {
        "edgeward": __version__,
        "method_sha256": _method(),
        "sections": [name for name, _ in sections()],
        "sqlite": sqlite3.sqlite_version,
        **{name: metadata.version(name) for name in _LIBRARIES},
        **{name: drafts.version(name) for name in drafts.LIBRARIES.values()},
    }


def _method() -> str:
    """Return the digest of the sources that compute: two edgewards with the same one compute the same numbers."""
    root, digest = Path(harness.__file__).parent, hashlib.sha256()
    for room in _METHOD:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def dumped(value: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is written."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def zipped(files: Mapping[str, bytes], signed: bytes, signature: bytes | None) -> bytes:
    """Return the bundle's own bytes.

    Args:
        files: every file but the two that follow.
        signed: the manifest.
        signature: of the manifest, None for an unsigned bundle.
    """
    whole = {MANIFEST: signed, **({SIGNATURE: signature} if signature is not None else {})}
    whole |= dict(sorted(files.items()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in whole.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def opened(file: Path) -> Bundle:
    """Read a bundle.

    Raises:
        HarnessError: it is no bundle, is cut short, was made by a newer edgeward, or has a name that leads outside.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise HarnessError(f"{file}: cannot be read ({error.strerror or error})", remedy="check its name") from error
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files, faults = _read(archive, file)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError) as error:
        raise HarnessError(f"{file}: is no ZIP file, or is cut short ({error})", remedy=_AGAIN) from error
    if MANIFEST not in files:
        raise HarnessError(f"{file}: has no whole {MANIFEST}, so it is no bundle of edgeward", remedy=_AGAIN)
    signed, signature = files.pop(MANIFEST), files.pop(SIGNATURE, None)
    known = _parsed(signed, file)
    if not faults and zipped(files, signed, signature) != raw:
        faults.append(f"{file.name}: holds bytes beside its files, or they stand otherwise than edgeward writes them")
    return Bundle(files, known, signed, signature, tuple(faults))


def _read(archive: zipfile.ZipFile, file: Path) -> tuple[dict[str, bytes], list[str]]:
    names = [one.filename for one in archive.infolist()]
    for one in archive.infolist():
        path = PurePosixPath(one.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in one.filename or one.is_dir():
            raise HarnessError(f"{file}: the name {one.filename!r} leads out of the bundle", remedy=_strange(file))
        if one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1:
            raise HarnessError(f"{file}: {one.filename} is packed, which edgeward never does", remedy=_strange(file))
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise HarnessError(f"{file}: holds {twice[0]} twice", remedy=_strange(file))
    found, faults = dict[str, bytes](), list[str]()
    for name in names:
        try:
            found[name] = archive.read(name)
        except zipfile.BadZipFile:
            faults.append(f"{name}: its bytes are not those that were written")
    return found, faults


def _strange(file: Path) -> str:
    return f"do not use {file.name}: edgeward did not write it; ask the one who gave it to you"


def _parsed(signed: bytes, file: Path) -> dict[str, Any]:
    try:
        known = json.loads(signed)
        schema, files = known["schema"], known["files"]
        sound = isinstance(schema, int) and all(isinstance(files[name]["sha256"], str) for name in files)
        sound = sound and isinstance(known["campaign"], str) and isinstance(known["made_with"], dict)
    except (ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{file}: {MANIFEST} cannot be read ({error!r})", remedy=_AGAIN) from error
    if isinstance(schema, int) and schema > SCHEMA:
        raise HarnessError(
            f"{file}: was made by a newer edgeward (its schema is {schema}, this one knows {SCHEMA})",
            remedy="pip install --upgrade edgeward",
        )
    if not sound:
        raise HarnessError(f"{file}: {MANIFEST} is not as edgeward writes it", remedy=_AGAIN)
    return dict(known)
