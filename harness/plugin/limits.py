"""pytest-timeout beside suites: how long a case may take is asked of it, and kept by the campaign.

pytest-timeout ends what pytest's own thread does: by a signal, or by ending the whole process (`method = thread`). A
case is measured on a device by another thread, side by side with others, so it would end the wrong thing and leave the
job on the device. Its timer is therefore not set for cases, and the campaign stops the job instead.
"""

from __future__ import annotations

import pytest


def limit_s(item: pytest.Item) -> float | None:
    """Return how long an item may take by its marker, `--timeout`, PYTEST_TIMEOUT or the ini file, s; None for ever."""
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        asked = marker.args[0] if marker.args else marker.kwargs.get("timeout")
    else:
        # Where pytest-timeout has brought together what option, variable and ini file say.
        asked = getattr(item.config, "_env_timeout", None)
    return float(asked) if asked and float(asked) > 0 else None
