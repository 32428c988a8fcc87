"""Devices work side by side in one pytest, and each case is reported as it ends."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from harness.store import Store
from tests.labs import device_toml, make, run_pytest, variant


def two_devices(folder: Path) -> Path:
    """Make a lab of two devices."""
    lab = make(folder, more=variant("int8") + variant("int4"))
    for name in ("quick", "thorough"):
        # One machine stands in for two, so each has a place of its own to note who measures.
        more = f'[file]\nplace = "{lab / f"leases-{name}"}"\n'
        (lab / "devices" / f"{name}.toml").write_text(device_toml(workdir=lab / f"work-{name}", more=more))
    (lab / "devices" / "here.toml").unlink()
    return lab


def test_a_case_is_reported_when_its_device_ends_it_not_when_its_turn_comes(tmp_path: Path) -> None:
    lab = two_devices(tmp_path)
    # Collected before the quick one's, ended after it.
    chosen = ["suites/small.toml::int8@thorough", "suites/small.toml::int4@thorough", "suites/small.toml::base@quick"]
    done = run_pytest(lab, *chosen, "--device", "all", "--quick")
    assert "3 passed" in done.stdout, done.stdout
    order = re.findall(r"^(\w+@\w+) passed", done.stdout, re.MULTILINE)
    assert order[0] == "base@quick"
    assert sorted(order[1:]) == ["int4@thorough", "int8@thorough"]


def test_devices_work_at_the_same_time(tmp_path: Path) -> None:
    lab = two_devices(tmp_path)
    done = run_pytest(lab, "suites", "--device", "all", "--quick", "-k", "base")
    assert "2 passed" in done.stdout, done.stdout
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    first, second = store.runs()
    store.close()
    # One machine stands in for both, so both jobs' clocks are the same clock.
    spans = [(min(at), max(at)) for at in ([e["at_s"] for e in run.conditions.during] for run in (first, second))]
    assert spans[0][0] < spans[1][1]
    assert spans[1][0] < spans[0][1]


def test_a_screen_shows_one_live_line_a_device(tmp_path: Path) -> None:
    lab = two_devices(tmp_path)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites", "--device", "all", "--quick"]
    process = subprocess.Popen([*command, "-k", "base"], cwd=lab, stdout=theirs, stderr=theirs, env=screen())
    os.close(theirs)
    seen = b""
    while chunk := read(ours):
        seen += chunk
    assert process.wait(60) == 0, seen.decode(errors="replace")
    text = seen.decode(errors="replace")
    # A redrawn block goes back up by its own height: two lines, one for each device.
    assert "\x1b[1A" in text
    assert re.search(r"quick: .*\r?\n.*thorough: |thorough: .*\r?\n.*quick: ", text)
    assert "base@quick passed" in text
    assert text.rstrip().splitlines()[-1].startswith("report: ")


def screen() -> dict[str, str]:
    """Return the environment of somebody at a terminal."""
    return {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}


def read(descriptor: int) -> bytes:
    """Return what the terminal shows next, nothing at its end."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""  # Linux says EIO when the last process closed its side
