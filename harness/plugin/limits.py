"""pytest-timeout beside suites: how long a case may take is asked of it, and kept by the campaign.

pytest-timeout ends what pytest's own thread does: by a signal, or by ending the whole process (`method = thread`). A
case is measured on a device by another thread, side by side with others, so it would end the wrong thing and leave the
job on the device. Its timer is therefore not set for cases, and the campaign stops the job instead.
"""

from __future__ import annotations

import argparse
import re
from typing import Final

import pytest

_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def limit_s(item: pytest.Item) -> float | None:
    """Return how long an item may take by its marker, `--timeout`, PYTEST_TIMEOUT or the ini file, s; None for ever."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        asked = marker.args[0] if marker.args else marker.kwargs.get("timeout")
    else:
        # Where pytest-timeout has brought together what option, variable and ini file say.
        asked = getattr(item.config, "_env_timeout", None)
    return float(asked) if asked and float(asked) > 0 else None


def duration_s(text: str) -> float:
    """Return what is typed as `90`, `90s`, `30m` or `2h`, s."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(s|min|m|h|)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 30m or 2h")
    return float(found[1]) * _UNITS_S[found[2]]


def count(text: str) -> int:
    """Return a whole number from 0."""
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of devices: write 1, 2, ...; 0 is all")
    return int(text)
