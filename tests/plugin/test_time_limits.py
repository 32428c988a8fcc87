"""`--timeout` of pytest-timeout bounds a case on its device, and JUnit says how long a case was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from harness.deploy import DeviceHandle
from harness.lab import select
from harness.leases import file as lease
from tests.labs import make, run_pytest

#: The method that ends the whole process where pytest-timeout's own timer runs.
INI = "[pytest]\ntimeout = 600\ntimeout_method = thread\n"
MARK = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "small" in item.nodeid:
            item.add_marker(pytest.mark.timeout(0.2))
"""


def test_a_case_that_takes_too_long_is_stopped_and_the_next_one_is_measured(tmp_path: Path) -> None:
    lab = make(tmp_path)
    make(tmp_path, name="then")
    (lab / "pytest.ini").write_text(INI)
    (lab / "conftest.py").write_text(MARK)
    done = run_pytest(lab, "suites", "--device", "here", "--quick", "--junitxml=junit.xml", "--durations=0")
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "here: measuring it took longer than 200 ms, which is all that --timeout allows" in done.stdout
    assert list((lab / "work" / "jobs").iterdir()) == []
    with DeviceHandle(select(lab, ["here"])[0]) as handle:
        assert lease.holder(handle) is None
    times = {
        case.get("classname"): float(case.get("time", "")) for case in ET.parse(lab / "junit.xml").iter("testcase")
    }
    # The second takes several rounds of five cold starts alone; it had ended before pytest looked at it.
    assert times["suites.then.toml"] > times["suites.small.toml"] >= 0.2
    assert f"{times['suites.then.toml']:.2f}s call" in done.stdout
