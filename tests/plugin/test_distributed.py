"""Suites beside pytest-xdist: one process measures, the workers run the ordinary tests."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.store import Store
from tests.labs import device_toml, make, run_pytest
from tests.plugin.test_other_tests import TESTS, away


def test_three_devices_under_xdist_are_measured_in_one_campaign_each_by_one_measurer(
    tmp_path: Path, device_workdir: Path
) -> None:
    lab = make(tmp_path)
    for name in ("one", "two", "three"):
        more = f'[file]\nplace = "{lab / f"leases-{name}"}"\n'
        (lab / "devices" / f"{name}.toml").write_text(device_toml(workdir=device_workdir / name, more=more))
    (lab / "devices" / "here.toml").unlink()
    (lab / "test_own.py").write_text(TESTS)
    done = run_pytest(lab, ".", "--device", "all", "--quick", "-n", "4")
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    # What a campaign without xdist does, once each: a second measurer would connect a second time.
    for start in (*(f"  {name}: connecting" for name in ("one", "two", "three")), "report: "):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert sorted(re.findall(r"^(base@\w+) passed", done.stdout, re.MULTILINE)) == [
        "base@one",
        "base@three",
        "base@two",
    ]
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    (campaign,) = store.campaigns()
    runs = store.runs(campaign=campaign.id)
    ended = {one.case: one.status for one in store.outcomes(campaign.id)}
    store.close()
    assert sorted(run.case.device for run in runs) == ["one", "three", "two"]
    assert ended == {f"suites/small.toml::base@{name}": "passed" for name in ("one", "two", "three")}


@pytest.mark.parametrize(
    ("options", "passed"),
    [(("--dist=each",), 6), (("--dist=worksteal", "suites/small.toml::base@here"), 0)],
    ids=["each", "a case alone"],
)
def test_however_xdist_gives_tests_away_a_case_ends_once(tmp_path: Path, options: tuple[str, ...], passed: int) -> None:
    lab = away(tmp_path)
    (lab / "test_own.py").write_text(TESTS)
    chosen = ("test_own.py", "suites") if passed else ()
    done = run_pytest(lab, *chosen, *options, "--device", "here", "-n", "2", "-q")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stderr
    counts = f"{passed} passed, 1 error" if passed else "1 error"
    assert re.search(f"^{counts} in", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.count("nothing listens on 127.0.0.1:9") >= 1
    assert sum(line.startswith("report: ") for line in done.stdout.splitlines()) == 1
