"""What nobody foresaw in one case, or in one suite's data, is an error of these and takes nothing else with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.data import npz
from harness.errors import Unforeseen
from harness.metrics import classification
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

REPORT_IT = "this is a defect of edgeward or of a plug-in: please report it with this line"


def test_a_metric_or_a_data_source_that_breaks_costs_its_own_cases_alone(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = [
        small.write_suite(tmp_path, "a", ("a", small.good), {"broken": small.slower, "slower": small.slower}),
        small.write_suite(tmp_path, "b", ("b", small.good)),
        small.write_suite(tmp_path, "c", ("c", small.good)),
    ]
    small.write_device(tmp_path, "here", workdir=device_workdir)
    evaluate, load = classification.evaluate, npz.load
    judged: list[Any] = []
    read: list[Any] = []

    def evaluating(*given: Any, **named: Any) -> Any:
        judged.append(given)
        if len(judged) == 2:
            raise IndexError("index 7 is out of bounds")
        return evaluate(*given, **named)

    def loading(*given: Any, **named: Any) -> Any:
        # The train split is looked at too, for images that are in both.
        if named["split"] == "test":
            read.append(given)
        if named["split"] == "test" and len(read) == 2:
            raise KeyError("bananas")
        return load(*given, **named)

    monkeypatch.setattr(classification, "evaluate", evaluating)
    monkeypatch.setattr(npz, "load", loading)
    night = Night(tmp_path)
    results = night.measure(suites)
    broken, unread = results["broken"].error, results["b"].error
    assert isinstance(broken, Unforeseen)
    assert str(broken).startswith("here: judging broken.onnx failed at test_unforeseen.py:")
    assert str(broken).endswith(f"(IndexError: index 7 is out of bounds); {REPORT_IT}")
    assert isinstance(unread, Unforeseen)
    assert "b.toml: reading the data failed at test_unforeseen.py:" in str(unread)
    assert {name for name, result in results.items() if result.outcome.status == "passed"} == {"a", "slower", "c"}
    assert sorted(run.case.variant for run in night.store.runs()) == ["a", "c", "slower"]
