"""The one place that knows pytest-benchmark's inside: a case becomes an entry with the device's own samples.

pytest-benchmark times functions on the host and has no public way to hand in samples taken elsewhere; what is used here
is `config._benchmarksession.benchmarks` and `pytest_benchmark.stats.Metadata`. Its version is pinned for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from harness.model import FloatArray


@dataclass(slots=True)
class Entry:
    """What pytest-benchmark's Metadata reads of a fixture."""

    name: str
    fullname: str
    group: str
    extra_info: dict[str, Any]
    params: None = None
    param: None = None
    cprofile_stats: None = None
    has_error: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def add(config: pytest.Config, *, name: str, fullname: str, group: str, latency_s: FloatArray, **extra: Any) -> None:
    """Add a case with its device seconds to the session's benchmarks.

    Args:
        config: pytest's.
        name: the case's short name.
        fullname: its id, by which saved runs are compared.
        group: what it is listed with: the same device and runtime.
        latency_s: (N,) every timed sample, in seconds.
        extra: goes into `extra_info`.
    """
    session = getattr(config, "_benchmarksession", None)
    if session is None or session.disabled or session.skip or len(latency_s) == 0:
        return
    from pytest_benchmark.stats import Metadata

    entry = Metadata(Entry(name, fullname, group, extra), iterations=1, options={})
    entry.stats.data = latency_s.tolist()
    # It would add up tens of thousands of samples as exact fractions, a fifth of a second a case.
    entry.stats.mean = float(np.mean(latency_s))
    entry.stats.stddev = float(np.std(latency_s, ddof=1)) if len(latency_s) > 1 else 0
    # A case that is measured again is listed once, as the report has it.
    session.benchmarks[:] = [one for one in session.benchmarks if one.fullname != fullname]
    session.benchmarks.append(entry)
