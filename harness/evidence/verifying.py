"""The check of a bundle: its signature, its digests, and every number computed once more, without a network."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import __version__
from harness.compare import Results
from harness.errors import HarnessError, StoreError
from harness.evidence import bundle, recomputing
from harness.evidence.bundle import EXPORT, MANIFEST, RESULTS, Bundle, made_with
from harness.evidence.drafts import EXTRA, LIBRARIES
from harness.evidence.record import record_of, store_of
from harness.evidence.signing import Signature, signed_by

#: So many places of a file that differ are named, the others are counted.
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found.

    Attributes:
        signature: None where the bundle is unsigned.
        checked: how many numbers, verdicts and judgements were computed again.
        files: how many files were made again and are the same.
        differing: what is not as it should be, a sentence each; a bundle is sound only if there is none.
        open: what could not be computed or made again, each with the reason.
    """

    signature: Signature | None
    checked: int
    files: int
    differing: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def vouched(self) -> bool:
        """Whether somebody vouches for the signature."""
        return self.signature is not None and self.signature.whole and bool(self.signature.signer)


def verified(file: Path, signers: Path | None = None) -> Findings:
    """Check a bundle.

    Args:
        file: the bundle.
        signers: OpenSSH's file of allowed signers; None where nobody vouches for a key.

    Raises:
        HarnessError: it is no bundle of this edgeward, or the file of signers is not there.
    """
    found = bundle.opened(file)
    signature = signed_by(found.signed, found.signature, signers) if found.signature is not None else None
    differing = [*found.faults, *_digests(found)]
    if signature is not None and not signature.whole:
        differing.append(f"{bundle.SIGNATURE}: {signature.text}")
    record, faults = _record(found)
    if record is None:
        return Findings(signature, 0, 0, (*differing, *faults), ())
    numbers = recomputing.recomputed(record.campaign, record.runs, record.comparisons, record.outcomes)
    differing += [*faults, *numbers.differing]
    alike, others, left = _made_again(found, record)
    return Findings(signature, numbers.checked, alike, (*differing, *others), (*numbers.open, *left))


def _digests(found: Bundle) -> Iterator[str]:
    """Yield what files and manifest say differently of each other."""
    listed = found.manifest["files"]
    for name in sorted({*listed, *found.files}):
        if name not in found.files:
            if not any(one.startswith(f"{name}: ") for one in found.faults):
                yield f"{name}: stands in the manifest and is missing"
        elif name not in listed:
            yield f"{name}: does not stand in the manifest"
        elif hashlib.sha256(found.files[name]).hexdigest() != listed[name]["sha256"]:
            yield f"{name}: its SHA-256 is not the one in the manifest"


def _record(found: Bundle) -> tuple[Results | None, list[str]]:
    """Return what the bundle's own store holds, or why that cannot be read."""
    if RESULTS not in found.files:
        return None, [f"{RESULTS}: is not there, so nothing can be computed again"]
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / RESULTS
        file.write_bytes(found.files[RESULTS])
        try:
            with store_of(file) as store:
                campaigns = store.campaigns()
                if [one.id for one in campaigns] != [found.manifest["campaign"]]:
                    held = ", ".join(one.id for one in campaigns) or "none"
                    wanted = found.manifest["campaign"]
                    return None, [f"{RESULTS}: holds campaign {held}, the manifest says {wanted}"]
                return record_of(store, campaigns[0]), []
        except StoreError as error:
            return None, [f"{RESULTS}: cannot be read ({error.text})"]
        except (ValueError, KeyError, TypeError) as error:
            return None, [f"{RESULTS}: cannot be read ({type(error).__name__}: {error})"]


def _made_again(found: Bundle, record: Results) -> tuple[int, list[str], list[str]]:
    """Make every file once more; return how many are the same, what differs, and what cannot be made here."""
    here, there = made_with(), found.manifest["made_with"]
    try:
        files = bundle.contents(record)
        again = bundle.manifest(record, found.files, there)
    except (HarnessError, ValueError, KeyError, TypeError, IndexError) as error:
        return 0, [f"the report cannot be made again ({type(error).__name__}: {error})"], []
    other = [f"{name} {there.get(name)}, here {here[name]}" for name in here if there.get(name) != here[name]]
    places = recomputing.walk(found.manifest, again, added=bool(other))
    differing = [f"{MANIFEST}: {text}" for text in places]
    if bundle.dumped(found.manifest) != found.signed:
        differing.append(f"{MANIFEST}: is not written as edgeward writes it")
    alike, left = 0, list[str]()
    for name in sorted({*files, *found.files}):
        library = LIBRARIES.get(name, "")
        if name not in files:
            if library and here[library] is None:
                left.append(f"{name}: was not made again without {library}: {EXTRA}")
            elif name in found.manifest["files"]:
                differing.append(f"{name}: is no file that edgeward {__version__} writes of this campaign")
        elif name in found.files and found.files[name] == files[name]:
            alike += 1
        elif name in found.files:
            # Numbers do not depend on what draws them; how bytes are written does.
            if other and name == EXPORT:
                changed = list(_changed(found.files[name], files[name]))
                differing += changed
                alike += not changed
            elif other:
                left.append(f"{name}: is not the same bytes, and was made with {'; '.join(other)}")
            else:
                differing += _places(name, found.files[name], files[name])
        elif not library or there.get(library) is not None:
            differing.append(f"{name}: is missing")
    return alike, differing, left


def _places(name: str, stored: bytes, now: bytes) -> Iterator[str]:
    """Yield where a file differs from the one that is made of the bundle's own results."""
    places = _json(stored, now) if name.endswith(".json") else _lines(stored, now)
    for number, place in enumerate(places):
        if number == _NAMED:
            yield f"{name}: differs in more places"
            return
        yield f"{name}: {place}"


def _changed(stored: bytes, now: bytes) -> Iterator[str]:
    """Yield what an export of another edgeward says otherwise; that it knows fewer keys is no difference."""
    try:
        value = json.loads(stored)
    except ValueError:
        yield f"{EXPORT}: is no JSON"
        return
    again = {**json.loads(now), "edgeward": value.get("edgeward")} if isinstance(value, dict) else None
    for place in recomputing.walk(value, again, added=True):
        yield f"{EXPORT}: {place}"


def _json(stored: bytes, now: bytes) -> Iterator[str]:
    try:
        value: Mapping[str, Any] = json.loads(stored)
    except ValueError:
        yield "is no JSON"
        return
    places = list(recomputing.walk(value, json.loads(now)))
    yield from places or ["holds the same, written otherwise"]


def _lines(stored: bytes, now: bytes) -> Iterator[str]:
    """Yield the first line that differs: of a report, what follows it may have moved."""
    pairs = zip(stored.splitlines(), now.splitlines(), strict=False)
    number = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), None)
    yield "is not the file that these results give" + (f", from line {number} on" if number is not None else "")
