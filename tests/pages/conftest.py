"""The report of the stored runs, rendered once, and a browser to open it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from devices.virtual.requirements import give_up
from harness import page
from tests.pages import stored_runs

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="session")
def html() -> str:
    return page.render(stored_runs.report()).decode()


@pytest.fixture(scope="session")
def file(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        # Without one on the PATH, playwright's own is used.
        if executable is None and not Path(playwright.chromium.executable_path).exists():
            give_up("this machine lacks a browser (apt-get install chromium)")
        with playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS)) as chromium:
            yield chromium
