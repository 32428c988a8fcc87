"""edgeward: measures optimised CNN variants on real devices, each against its baseline."""

from __future__ import annotations

import os
from pathlib import Path

#: The one source of the version: pyproject.toml and the command read it here.
__version__ = "0.1.0"


def cache_dir() -> Path:
    """Return the folder on this host for what can be made again: runtimes, generated data, host references.

    It is this user's alone, since what lies there is run on devices: `harness.scratch.private` says how.
    """
    # Imported here: this file also goes to devices, which have the standard library alone.
    import platformdirs

    from harness.scratch import private

    return private(Path(os.environ.get("EDGEWARD_CACHE") or platformdirs.user_cache_path("edgeward")))
