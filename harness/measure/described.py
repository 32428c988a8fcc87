"""A campaign that begins: its suites and their data as plain values, the commit of its lab, and what measures."""

from __future__ import annotations

import platform
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import harness
from harness.measure import remarks
from harness.model import Campaign, Case, Samples, Suite

#: How many digits of a commit are kept, and how long git may think; s.
_DIGITS: Final = 12
_GIT_S: Final = 20.0


def described(suite: Suite) -> dict[str, Any]:
    """Return a suite as plain values, for `Campaign.suites`."""
    return {
        "title": suite.title,
        "task": asdict(suite.task),
        "load": asdict(suite.load),
        "accept": [asdict(criterion) for criterion in suite.accept],
        "baseline": suite.baseline,
        "confidential": suite.confidential,
        "data": {"source": suite.data["source"], "split": suite.split},
        "architectures": dict(suite.architectures),
        **({"robustness": asdict(suite.robustness)} if suite.robustness else {}),
        **({"examples": suite.examples} if suite.examples else {}),
    }


def commit_of(folder: Path) -> str:
    """Return the commit of the git repository that a folder is in, "" where there is none or no git.

    What is not committed is marked, as `git describe --dirty` does.
    """
    describe = ["git", "-C", str(folder), "describe", "--always", "--dirty", f"--abbrev={_DIGITS}", "--exclude=*"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=_GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def data_facts(suite: Suite, samples: Samples) -> dict[str, Any]:
    """Return what a report must say of the data."""
    positive = suite.task.positive
    known = positive in samples.classes and len(samples.labels) > 0
    return {
        "source": suite.data["source"],
        "split": suite.split,
        "folds": {**asdict(suite.folds), "pool": samples.pool} if suite.folds else None,
        "description": samples.description,
        "synthetic": samples.synthetic,
        "samples": len(samples.images),
        "patients": len(samples.group_names) or None,
        "classes": list(samples.classes),
        "remarks": remarks.of_data(suite, samples),
        "positive_ratio": float(samples.of_class(positive).mean()) if known else None,
    }


def begun(cases: Sequence[Case], command: str, *, quick: bool) -> Campaign:
    """Return a campaign that begins now.

    Args:
        cases: all that is asked for.
        command: how, as it may be kept.
        quick: whether durations are cut to a tenth.
    """
    devices = {case.device.id: case.device.description for case in cases}
    commit = commit_of(cases[0].suite.file.parent) if cases else ""
    return Campaign(
        id=uuid.uuid4().hex,
        started_at=datetime.now(UTC),
        command=command,
        suites={case.suite.id: {**described(case.suite), "devices": devices} for case in cases},
        environment={
            "edgeward": harness.__version__,
            "python": platform.python_version(),
            "system": platform.system(),
            **({"lab_commit": commit} if commit else {}),
        },
        quick=quick,
    )
