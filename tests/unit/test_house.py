"""The house rules are held by tools, and the tools run here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
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


def test_ci_and_the_commit_hooks_call_targets_of_the_makefile_on_every_python_that_is_promised() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for file in (".github/workflows/ci.yml", ".pre-commit-config.yaml", ".ci/run"):
        called = set(re.findall(r"\bmake (\w+)$|\bmake (\w+) PYTHON", (ROOT / file).read_text(), re.MULTILINE))
        assert {one for pair in called for one in pair if one} <= targets, file
    (matrix,) = re.findall(r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    promised = [one.rpartition(" ")[2] for one in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", one)]
    assert re.findall(r"3\.\d+", matrix) == promised


def test_every_debian_package_that_a_test_asks_for_is_installed_by_make_test_with_a_reason() -> None:
    asked = {
        name
        for folder in ("devices", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for name in re.findall(r'"package:([a-z0-9.+-]+)[="]', path.read_text())
    }
    listed = dict(re.findall(r"^([a-z0-9.+-]+) {2,}(\S.*)$", (ROOT / ".ci/system").read_text(), re.MULTILINE))
    # What every Debian has, and the name that a test of the message makes up.
    essential = {"apt", "dpkg", "tar", "coreutils", "libc-bin", "no-such"}
    assert asked - essential <= set(listed)


def test_what_is_installed_with_the_harness_is_imported_by_it() -> None:
    imported = set()
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    # Distribution -> module, where the names differ; pip is run as a program.
    names = {
        "pillow": "PIL",
        "markdown-it-py": "markdown_it",
        "vl-convert-python": "vl_convert",
        "pytest-benchmark": "pytest_benchmark",
    }
    needed = [re.split(r"[^\w-]", one, maxsplit=1)[0] for one in PROJECT["dependencies"]]
    assert [one for one in needed if names.get(one, one) not in imported and one != "pip"] == []
