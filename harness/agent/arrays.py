"""Says which numpy a process has: brought with the runtime, or the device's own where no wheel of it exists."""

from __future__ import annotations

import os


def numpy_version(folder: str) -> str:
    """Return numpy's version, and that it is the device's own if it is not in the runtime's `folder`."""
    import numpy

    inside = os.path.realpath(numpy.__file__).startswith(os.path.realpath(folder) + os.sep)
    return str(numpy.__version__) + ("" if inside else " (the device's own)")
