"""pytest as people use it: suites beside ordinary tests, more than one lab, and a device that fails all night."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.store import Store
from tests.labs import device_toml, make, run_pytest, variant

#: Nothing listens there.
AWAY = "ssh://nobody@127.0.0.1:9"
TESTS = """
import pathlib
import pytest

HERE = pathlib.Path(__file__).parent

@pytest.fixture(scope="session")
def costly():
    with (HERE / "said.txt").open("a") as said:
        said.write("made ")
    yield 1
    with (HERE / "said.txt").open("a") as said:
        said.write("ended ")

def test_one(costly): assert costly
def test_two(costly): assert costly
def test_three(costly): assert costly
"""

MEASURING = """
import pytest
from pathlib import Path
from harness.errors import LabError, DeviceError

def test_the_quantised_model_has_its_numbers(edgeward):
    run = edgeward.measure("int8", device="here")
    assert 0 < run.latency.p50 <= run.latency.p90 < 10
    assert run.change("latency_ratio").low > 0
    assert run.value("peak_memory_bytes") > 1e6
    assert 0 <= run.value("sensitivity") <= 1
    assert run.failed == ()
    with pytest.raises(Exception, match="energy_j: "):
        run.value("energy_j")

def test_a_model_file_of_ones_own_is_fed_as_the_baseline_is(edgeward, tmp_path):
    own = tmp_path / "own.onnx"
    own.write_bytes((Path(__file__).parent / "suites" / "int4.onnx").read_bytes())
    assert edgeward.measure(own, device="here", suite="small").latency.p50 > 0

def test_what_is_not_there_is_refused_before_anything_is_measured(edgeward, tmp_path):
    for arguments in ({"suite": "smal"}, {"model": tmp_path / "none.onnx"}, {"runtime": "litert"}):
        with pytest.raises(LabError):
            edgeward.measure(**{"model": "int8", "device": "here", **arguments})
    with pytest.raises(LabError, match="hear"):
        edgeward.measure("int8", device="hear")

def test_a_device_that_is_away_is_an_error_of_the_device(edgeward):
    with pytest.raises(DeviceError, match="nothing listens"):
        edgeward.measure("int8", device="away")
"""


def away(folder: Path, *, suites: int = 1) -> Path:
    """Make a lab whose device cannot be reached."""
    lab = make(folder)
    (lab / "devices" / "here.toml").write_text(device_toml(workdir="/tmp/away", address=AWAY))
    text = (lab / "suites" / "small.toml").read_text()
    for number in range(1, suites):
        (lab / "suites" / f"small{number}.toml").write_text(text)
    return lab


def test_what_ordinary_tests_share_is_set_up_once_beside_suites(tmp_path: Path) -> None:
    lab = away(tmp_path)
    (lab / "test_own.py").write_text(TESTS)
    done = run_pytest(lab, ".", "--device", "here", "-q")
    assert "3 passed, 1 error" in done.stdout, done.stdout
    assert (lab / "said.txt").read_text() == "made ended "


def test_a_second_lab_on_the_command_line_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    first, second = away(tmp_path / "first"), away(tmp_path / "second")
    done = run_pytest(first, "suites", str(second / "suites"), "--device", "here")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"is of another lab than {first}" in done.stderr
    assert f"--lab {second}" in done.stderr
    assert not (first / "reports").exists()


def test_a_device_that_fails_three_groups_in_a_row_is_set_aside_and_its_other_cases_say_so(tmp_path: Path) -> None:
    lab = away(tmp_path, suites=5)
    done = run_pytest(lab, "suites", "--device", "here", "-q")
    assert "5 errors" in done.stdout, done.stdout
    store = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    said = [one.reasons[0].text for one in store.outcomes(store.campaigns()[0].id)]
    store.close()
    assert sum("nothing listens on 127.0.0.1:9" in text for text in said) == 3
    assert sum("set aside for the rest of this campaign: 3 groups in a row failed" in text for text in said) == 2


def test_a_test_in_python_measures_by_the_fixture_and_keeps_what_it_measured(
    tmp_path: Path, device_workdir: Path
) -> None:
    lab = make(tmp_path, more=variant("int8"), workdir=device_workdir)
    (lab / "devices" / "away.toml").write_text(device_toml(workdir="/tmp/away", address=AWAY))
    (lab / "test_own.py").write_text(MEASURING)
    done = run_pytest(lab, "test_own.py", "--quick", "-q")
    assert "4 passed" in done.stdout, done.stdout
    store = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    commands = [campaign.command for campaign in store.campaigns()]
    store.close()
    assert "edgeward.measure('int8', device='here', suite='small')" in commands
