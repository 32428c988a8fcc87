"""A campaign of version 0.1.0: its store opens and renders, and its jobs, replayed, give the very numbers it gave."""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import compare
from harness.agent import contract
from harness.errors import StoreError
from harness.model import Address, Case, Criterion, Device, InputSpec, Load, Run, Samples, Suite, Task
from harness.page.publish import publish
from harness.results import agreement, events, runs
from harness.results.job_log import JobLog
from harness.store import Store, export

RECORDED = Path(__file__).parent / "data" / "recorded"
#: Of what `edgeward export --format json` of version 0.1.0 wrote of its own store.
EXPORTED = "2aa7273c12d3db1a51b9228781855b5939b8270cb7ee235c6f9d898e5b979405"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    file = tmp_path_factory.mktemp("store") / "results.sqlite"
    file.write_bytes(lzma.decompress((RECORDED / "store.sqlite.xz").read_bytes()))
    opened = Store(f"sqlite:///{file}")
    yield opened
    opened.close()


def exported(store: Store) -> str:
    runs_of_store = store.runs()
    return export.to_json(runs_of_store, store.comparisons(store.campaigns()[0].id))


def test_a_store_of_version_0_1_is_exported_to_the_byte_as_that_version_did_but_for_keys_added_since(
    store: Store,
) -> None:
    found = json.loads(exported(store))
    assert all(one.pop("control") is None for one in found["comparisons"])
    assert all(one.pop("subgroups") == one.pop("robustness") == [] for one in found["runs"])
    assert all(one.pop("occlusion") is one.pop("disagreement") is None for one in found["runs"])
    assert found.pop("campaigns") == [], "they are asked for apart"
    baselines = [one["case"]["variant"] for one in found["runs"] if one.pop("is_baseline")]
    assert set(baselines) == {"smallnet-fp32"}
    assert all(one.pop("notes") for one in found["runs"])
    assert all(len(one["measurements"]["latency_s"].pop("rounds")[0]) == 3 for one in found["runs"])
    for variant in (one["variant"] for one in found["runs"]):
        steps = variant.pop("steps")
        assert [step["recipe"] for step in steps] == ([variant["recipe"]] if variant["recipe"] else [])
    # Until there were controls, a comparison was held to be as valid as its runs.
    assert {one.pop("validity") == "degraded" for one in found["comparisons"] if "degraded" in one["reason"]} == {True}
    assert {one.pop("validity", "valid") for one in found["comparisons"]} == {"valid"}
    text = json.dumps({**found, "edgeward": "0.1.0"}, indent=2, ensure_ascii=False) + "\n"
    assert hashlib.sha256(text.encode()).hexdigest() == EXPORTED


def test_a_store_of_version_0_1_renders_with_its_reasons_and_circumstances(store: Store, tmp_path: Path) -> None:
    html = publish(store, store.campaigns()[0], tmp_path, overrides=tmp_path / "none").read_text()
    assert "throttling or other work" in html
    assert html.count("smallnet-int8") > 4
    (latency,) = {
        one.circumstances[1].name for one in store.comparisons(store.campaigns()[0].id) if one.metric == "latency_ratio"
    }
    assert latency == "baseline degraded"
    assert [outcome.about.device for outcome in store.outcomes(store.campaigns()[0].id) if outcome.about] == [
        "local"
    ] * 4


def test_a_report_of_one_device_is_a_file_of_its_own_and_an_unknown_one_is_refused(
    store: Store, tmp_path: Path
) -> None:
    newest, none = store.campaigns()[0], tmp_path / "none"
    alone = publish(store, newest, tmp_path, overrides=none, device="local")
    assert alone.name.endswith("-local.html")
    assert alone.read_text() == publish(store, newest, tmp_path, overrides=none).read_text(), "it is the only device"
    with pytest.raises(StoreError, match="no case on a device 'far'") as refused:
        publish(store, newest, tmp_path, overrides=none, device="far")
    assert refused.value.remedy == "take one of: local"


def job_log(archive: zipfile.ZipFile, folder: str) -> JobLog:
    about = json.loads(archive.read(f"{folder}/about.json"))
    lines = archive.read(f"{folder}/events.jsonl").splitlines()
    log = JobLog(datetime.fromisoformat(about["started_at"]), [events.parse(line, device="local") for line in lines])
    for name in archive.namelist():
        if name.startswith(f"{folder}/") and name.endswith(".npy"):
            with archive.open(name) as file:
                log.arrays[Path(name).name] = np.load(file)
    return log


def case_of(run: Run, described: dict[str, Any]) -> Case:
    """Return the case that a recorded run was of."""
    suite = Suite(
        id=run.case.suite,
        title=described["title"],
        data=described["data"],
        input=InputSpec(),
        task=Task(**described["task"]),
        load=Load(**described["load"]),
        baseline=described["baseline"],
        variants=(run.variant,),
        accept=tuple(Criterion(**line) for line in described["accept"]),
    )
    device = Device(run.case.device, "workstation", Address("local"), runtimes=(run.case.runtime,))
    return Case(suite, run.variant, device, run.case.runtime, run.case.id)


def replayed(store: Store, archive: zipfile.ZipFile, folder: str) -> tuple[list[Run], list[Any]]:
    """Return what a job gives today, under the ids that its runs were given then."""
    campaign = store.campaigns()[0]
    about = json.loads(archive.read(f"{folder}/about.json"))
    facts = json.loads(archive.read(f"{folder}/facts.json"))
    log, before = job_log(archive, folder), {run.case.id: run for run in store.runs()}
    found: list[Run] = []
    changes = []
    for index, name in enumerate(about["cases"]):
        old = before[name]
        assert old.labels is not None
        samples = Samples(np.zeros((len(old.labels), 1, 1, 1), np.uint8), old.labels, old.classes, "recorded")
        case = case_of(old, dict(campaign.suites[old.case.suite]))
        run = runs.run_of(case, index, log, samples, campaign=campaign.id, quick=True, facts=facts)
        (accuracy,) = log.of(contract.Accuracy, index)
        reference = agreement.Reference(run.outputs, old.notes["reference"]["runtime"], accuracy.quantised)
        run = replace(agreement.held_against(run, reference, same_machine=True), id=old.id)
        # Which rounds were marked then, against the first readings of the sentinel and not its usual ones.
        run = replace(run, notes={**run.notes, "marked_rounds": old.notes["marked_rounds"]})
        if found:
            run = replace(run, accuracy=runs.with_agreement(run, found[0]))
            changes += compare.compare(found[0], run, campaign.suites[old.case.suite])
        found.append(run)
    return found, changes


#: Metrics whose intervals claimed too much in version 0.1 and are made otherwise since: levels, and differences.
LEVELS = ("brier", "calibration_error")
DIFFERENCES = ("precision", "f1", "macro_f1", "balanced_accuracy", "auroc", *LEVELS)
#: What is said of a processor's speed, which version 0.1 held against its first readings.
SPEED = ("validity", "reasons", "reason")
#: What version 0.1 did not give.
ADDED = ("subgroups", "notes")


def but_for_what_is_made_otherwise(runs_: list[Any], comparisons: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return an export's runs and comparisons, of the metrics above the point alone, without its last bits."""
    points = [
        {
            **{key: value for key, value in run.items() if key not in (*SPEED, *ADDED)},
            "accuracy": {
                name: round(one["point"], 12) if name in LEVELS else one for name, one in run["accuracy"].items()
            },
        }
        for run in runs_
    ]
    changes = [
        {"metric": one["metric"], "run": one["run"], "point": round(one["change"]["point"], 12)}
        if one["metric"] in DIFFERENCES and one["change"]
        else {key: value for key, value in one.items() if key not in SPEED}
        for one in comparisons
    ]
    return points, sorted(changes, key=lambda one: (one["run"], one["metric"]))


@pytest.mark.parametrize("folder", ["job0", "job1"])
def test_a_recorded_job_gives_the_numbers_that_it_gave_then(store: Store, folder: str) -> None:
    with zipfile.ZipFile(RECORDED / "jobs.zip") as archive:
        found, changes = replayed(store, archive, folder)
    ids = {run.id for run in found}
    now = json.loads(export.to_json(found, changes))
    then = json.loads(exported(store))
    before = [run for run in then["runs"] if run["id"] in ids]
    wanted = [one for one in then["comparisons"] if one["run"] in ids]
    assert but_for_what_is_made_otherwise(now["runs"], now["comparisons"]) == but_for_what_is_made_otherwise(
        before, wanted
    )
    assert len(wanted) > 8
    old = {(one["run"], one["metric"]): one["change"] for one in wanted}
    for one in now["comparisons"]:
        if one["metric"] in DIFFERENCES and one["change"]:
            change = old[one["run"], one["metric"]]
            assert one["change"]["high"] - one["change"]["low"] >= change["high"] - change["low"]
