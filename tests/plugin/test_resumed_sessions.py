"""`--resume` as people type it, and one campaign that goes on with a real device."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from harness.page.publish import stored
from harness.store import Store
from tests.labs import make, run_pytest, variant
from tests.made_campaigns import FAST, Bench, interrupted, resumed


@pytest.fixture
def folder(tmp_path: Path, device_workdir: Path) -> Path:
    return make(tmp_path / "lab", more=variant("int8") + FAST, workdir=device_workdir)


def begin_as_pytest(folder: Path, *answered: str) -> None:
    """Leave an interrupted campaign in a lab's own store."""
    with closing(Store(f"sqlite:///{folder}/reports/results.sqlite")) as store:
        interrupted(folder, store, *answered, quick=True)


def test_pytest_resumes_by_options_of_the_environment_and_says_from_when_a_case_is_taken_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_as_pytest(folder, "base", "int8")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--resume --quick -k int8")
    done = run_pytest(folder, "suites/small.toml", "--device", "here")
    assert "1 passed, 1 deselected" in done.stdout, done.stdout + done.stderr
    assert "resume: going on with the campaign of 2026-11-20 14:03 UTC (c0)" in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("(taken over from 2026-11-20 14:03 UTC)")]
    assert line.startswith("int8@here passed: ")
    report = Path(done.stdout.rstrip().splitlines()[-1].removeprefix("report: ")).read_text()
    assert report.count("Taken over from 2026-11-20 14:03 UTC.") == 1
    with closing(Store(f"sqlite:///{folder}/reports/results.sqlite")) as store:
        assert len(store.campaigns()) == 1
        assert len(store.runs(superseded=True)) == 2, "nothing was measured"


def test_pytest_refuses_in_one_line_what_is_still_under_way(folder: Path) -> None:
    with closing(Store(f"sqlite:///{folder}/reports/results.sqlite")) as store:
        Bench(folder, store, quick=True)
        done = run_pytest(folder, "suites", "--device", "here", "--quick", "--resume")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "is still under way, by" in said
    assert "Traceback" not in said


def test_a_model_that_gives_no_number_since_is_measured_and_fails_though_it_had_passed(folder: Path) -> None:
    with closing(Store(f"sqlite:///{folder}/reports/results.sqlite")) as store:
        interrupted(folder, store, "base", "int8", quick=True)
        assert {one.status for one in store.outcomes("c0")} == {"passed"}
        broken(folder / "suites" / "int8.onnx")
        found = resumed(folder, store, quick=True)
        assert found["base"].outcome.status == "passed"
        assert found["int8"].outcome.status != "passed", "last week's run is no answer"
        assert {one.outcome.taken_over for one in found.values()} == {None}
        reasons = {one.run: one.reason.text for one in store.superseded().values()}
        assert reasons["base-c0"] == "it takes turns with int8"
        assert reasons["int8-c0"].startswith("the model changed since 20")
        (group,) = stored(store, store.campaigns()[0]).groups()
        assert [entry.variant for entry in group.entries] == ["base", "int8"]


def broken(path: Path) -> None:
    """Make a model's weights of the last layer no numbers."""
    model = onnx.load(path)
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32:
            weight.CopyFrom(numpy_helper.from_array(np.full_like(values, np.nan), weight.name))
    onnx.save(model, path)
