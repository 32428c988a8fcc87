"""The house rules are held by tools, and the tools run here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "floors": ["lint-imports"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_house_rules_hold(name: str) -> None:
    tool, *arguments = CHECKS[name]
    done = subprocess.run(
        [Path(sys.executable).with_name(tool), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plugin_of_pytest_never_takes_the_name_that_pytest_keeps() -> None:
    assert not (ROOT / "harness" / "reports.py").exists()
