"""The question that a case asks of a device, as digests: a stored run answers it only where all of them are the same.

What a run is judged by, `[accept]`, has no part in it, nor what is only said of a lab, a device or a suite. A race ends
by `[accept]`, so there it has.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from datetime import datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

import harness
from harness import registry
from harness.measure.jobs import Group
from harness.model import Case, Device, Samples
from harness.store import Question

#: The parts of a question in the order in which a difference is said, and what people call them.
PARTS: Final[Mapping[str, str]] = {
    "lab": "lab",
    "device": "device's file, or the machine that it names",
    "runtime": "runtime",
    "model": "model",
    "baseline": "baseline's model",
    "data": "data",
    "reading": "way in which the model is fed and read",
    "suite": "suite",
    "control": "control",
    "quick": "length of the measurement",
    "race": "race",
    "edgeward": "edgeward that measures",
}
#: What of a device changes no number of a case, and where its file lies; the runtime of a case is a part of its own.
_SAID_ONLY: Final = frozenset({"description", "tags", "file", "runtimes", "lease", "lease_options", "recover"})


def asked(case: Case, group: Group, data: str, *, quick: bool, at: datetime) -> Question:
    """Return what a case asks.

    Args:
        case: one of the group's.
        group: what it is measured with, each model as it is fed and read.
        data: `data_digest` of the split.
        quick: whether durations are cut to a tenth.
        at: now.
    """
    suite, head = group.suite, group.baseline
    load = {name: value for name, value in asdict(suite.load).items() if name != "control"}
    race = group.race and [asdict(group.race), [asdict(line) for line in suite.accept]]
    whole = {
        "lab": lab_of(case).name,
        "device": device_digest(case.device),
        "runtime": case.runtime,
        "model": case.variant.sha256,
        "baseline": group.cases[head].variant.sha256 if head is not None else "",
        "data": data,
        "reading": asdict(group.fit(case)),
        "suite": [
            suite.id, asdict(suite.task), load, asdict(suite.input), suite.split, suite.overlap, suite.confidential,
            suite.examples, *(one and asdict(one) for one in (suite.folds, suite.robustness, suite.duty)),
        ],
        "control": suite.load.control,
        "quick": quick,
        "race": race,
        "edgeward": [harness.__version__, _code(case.device.runner, case.runtime)],
    }  # fmt: skip
    parts = {name: digest(value) for name, value in whole.items()}
    return Question(case.id, suite.id, case.device.id, digest(parts), at, parts=parts)


def difference(before: Question, now: Question) -> str:
    """Return what is no longer the same, as people say it; "" where nothing is."""
    if before.digest == now.digest:
        return ""
    other = [name for part, name in PARTS.items() if before.parts.get(part) != now.parts.get(part)]
    return " and the ".join(other[:2]) or "question"


def lab_of(case: Case) -> Path:
    """Return the folder of the lab that a case is of."""
    return case.suite.file.absolute().parent.parent


def place_digest(lab: Path) -> str:
    """Return a digest of this machine and a folder on it: the path itself is kept nowhere."""
    return digest([_machine(), str(lab.resolve())])


def device_digest(device: Device) -> str:
    """Return a digest of what is measured on: the device's file, and this machine where it is the device."""
    kept = {one.name: getattr(device, one.name) for one in fields(device) if one.name not in _SAID_ONLY}
    kept |= {"address": str(device.address), "limits": asdict(device.limits)}
    return digest([kept, _machine() if device.address.here else ""])


def data_digest(samples: Samples) -> str:
    """Return a digest of a split: images, truth, and whose they are."""
    found = hashlib.sha256()
    for one in fields(samples):
        value = getattr(samples, one.name)
        if one.name in ("description", "remarks", "synthetic", "identifying"):
            continue
        found.update(one.name.encode())
        if isinstance(value, np.ndarray):
            found.update(f"{value.dtype.str}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).data if value.size else b"")
        else:
            found.update(json.dumps(value).encode())
    return found.hexdigest()


def digest(value: Any) -> str:
    """Return a digest of plain values, the same in every process."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


@cache
def _machine() -> str:
    """Return what tells this machine from others: clones have the same id, and names are given twice."""
    try:
        own = Path("/etc/machine-id").read_text().strip()
    except OSError:
        own = ""
    return f"{own} {socket.gethostname()}"


@cache
def _code(runner: str, runtime: str) -> str:
    """Return a digest of what measures on the device."""
    found = hashlib.sha256()
    for name, content in _sources(runner, runtime):
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def _sources(runner: str, runtime: str) -> Iterator[tuple[str, bytes]]:
    root = Path(str(resources.files("harness")))
    for folder in ("agent", *(["native"] if runner == "native" else [])):
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(root)), path.read_bytes()
    yield from sorted(registry.sources("agent.runtimes", registry.runtime_name(runtime)).items())
