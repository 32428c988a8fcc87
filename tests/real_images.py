"""Where real, labelled images lie, which no repository carries and nothing in CI depends on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: Beside this checkout, or where the variable says.
REAL = Path(os.environ.get("EDGEWARD_REAL_IMAGES", Path(__file__).parents[2] / "shared" / "data" / "real"))


def real(*parts: str) -> Path:
    """Return a file of these images; without it the test is skipped, with what it lacks."""
    file = REAL.joinpath(*parts)
    if not file.exists():
        pytest.skip(f"lacks {file.name} (EDGEWARD_REAL_IMAGES names the folder of {'/'.join(parts)})")
    return file
