"""Where results are kept: what the command line says, else the environment, else a file in the lab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Names the store where no option does: its password then stands on no command line, which every user of the host sees.
VARIABLE: Final = "EDGEWARD_STORE"


def named(option: str | None) -> str | None:
    """Return the SQLAlchemy URL that `--store` or the environment names, None where neither does."""
    return option or os.environ.get(VARIABLE) or None


def file_of(lab: Path) -> Path:
    """Return the file that is the store of a lab where nothing else is named."""
    return lab / "reports" / "results.sqlite"


def url_of(lab: Path, option: str | None) -> str:
    """Return the SQLAlchemy URL of the store of a lab."""
    return named(option) or f"sqlite:///{file_of(lab)}"
