"""The store gives back what it was given, from two threads at once, and refuses what it does not know."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual.openssh import small_disk
from harness.errors import StoreError
from harness.model import (
    Comparison,
    Condition,
    Disagreement,
    Estimate,
    Example,
    Measurement,
    Occlusion,
    Outcome,
    Probe,
    Reading,
    Reason,
    Run,
    Step,
    Verdict,
)
from harness.page.report import Report
from harness.redaction import redacted
from harness.store import VERSION, Store, opening
from tests.pages import stored_runs


@cache
def report() -> Report:
    return stored_runs.report()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/results/night.sqlite"


@pytest.fixture
def store(url: str) -> Store:
    opened = Store(url)
    opened.add_campaign(report().campaign)
    return opened


def same(one: Any, other: Any) -> bool:
    """Return whether two values are alike, arrays with their types and a NaN like a NaN."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (Measurement, Run)):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def test_a_run_comes_back_with_every_sample_round_and_output(store: Store, url: str) -> None:
    run = replace(
        report().runs[1],
        outputs=np.random.default_rng(1).standard_normal((900, 3)).astype(np.float32),
        reasons=(Reason("hot", "wait until it is cool"), Reason("noisy")),
        quick=True,
        variant=replace(report().runs[1].variant, steps=(Step("distill", {"width": 0.5}), Step("quantize_int8"))),
        notes={**report().runs[1].notes, "groups": (np.arange(900) // 3).tolist()},
    )
    store.add_case(report().campaign.id, run, ())
    store.close()
    (found,) = Store(url).runs(campaign=run.campaign)
    assert same(replace(found, variant=run.variant), run)
    assert found.variant.steps == run.variant.steps
    assert found.groups is not None
    assert found.groups.tolist() == (np.arange(900) // 3).tolist()
    assert found.outputs is not None
    assert found.outputs.dtype == np.float32
    rounds = found.measurements["latency_s"].rounds
    assert rounds is not None
    assert rounds.dtype == np.int64


def test_what_a_model_gave_under_conditions_comes_back_and_an_older_store_has_none(store: Store, url: str) -> None:
    level = Estimate(0.8, 0.7, 0.9)
    probes = (
        Probe(Condition("corruption", "gain", 3, "ab"), np.ones((900, 3), np.float32), "accuracy", level),
        Probe(
            Condition("attack", "fgsm", 4, "cd"), np.zeros((900, 3), np.uint8), "dice", level,
            Estimate(-0.1, -math.inf, 0.0), Reading(kind="labels", classes=("a", "b")),
        ),
    )  # fmt: skip
    looks = Occlusion(
        np.arange(2), np.ones(2, np.int64), np.ones((2, 7, 7), np.float32), np.ones((2, 8, 8, 1), np.uint8),
        np.array([0.5, 0.7]), Estimate(0.6, 0.2, 0.8),
    )  # fmt: skip
    differing = Disagreement(
        900, 21, 9, 7, (Example(412, "solid", "solid", "cyst", 0.93), Example(3, "cyst", "cyst", "solid", 0.5, 0.61)),
        np.full((2, 8, 8, 3), 7, np.uint8), Reason("not of 8 bits", "bring them so"),
    )  # fmt: skip
    run = replace(report().runs[0], probes=probes, occlusion=looks, disagreement=differing)
    store.add_case(report().campaign.id, run, ())
    store.complete_run(run)
    store.close()
    (found,) = Store(url).runs()
    for one, other in zip(found.probes, probes, strict=True):
        assert same(one.outputs, other.outputs)
        assert replace(one, outputs=other.outputs) == other
    assert found.occlusion is not None
    assert all(same(getattr(found.occlusion, one.name), getattr(looks, one.name)) for one in fields(looks))
    assert found.disagreement is not None
    assert all(same(getattr(found.disagreement, one.name), getattr(differing, one.name)) for one in fields(differing))
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        raw.execute("DROP TABLE probe")
        raw.execute("DROP TABLE occlusion")
        raw.execute("DROP TABLE example")
        raw.execute("DROP TABLE alembic_version")
    (found,) = Store(url).runs()
    assert (found.probes, found.occlusion, found.disagreement) == ((), None, None)


def test_masks_of_a_large_split_are_kept_in_little_room_and_come_back(store: Store, url: str) -> None:
    masks = np.zeros((80, 512, 512), np.uint8)
    masks[:, 100:200, 150:300] = 1
    run = replace(report().runs[0], outputs=masks, labels=masks, id="large")
    store.add_case(report().campaign.id, run, ())
    assert Path(url.removeprefix("sqlite:///")).stat().st_size < 5_000_000
    (found,) = [one for one in Store(url).runs() if one.id == "large"]
    assert found.outputs is not None
    assert found.labels is not None
    assert found.outputs.dtype == np.uint8
    assert np.array_equal(found.outputs, masks)
    assert np.array_equal(found.labels, masks)


def test_campaign_comparisons_and_outcomes_come_back(store: Store, url: str) -> None:
    for run in report().runs:
        own = [one for one in report().comparisons if one.run == run.id]
        store.add_case(report().campaign.id, run, own, next(one for one in report().outcomes if one.run == run.id))
    store.add_outcome(report().campaign.id, next(one for one in report().outcomes if not one.run))
    store.close()
    again = Store(url)
    assert again.campaigns() == [report().campaign]
    key = lambda c: (c.run, c.metric)  # noqa: E731
    assert sorted(again.comparisons(report().campaign.id), key=key) == sorted(report().comparisons, key=key)
    assert set(again.outcomes(report().campaign.id)) == set(report().outcomes)
    assert all(same(a, b) for a, b in zip(again.runs(suite="ultrasound"), sorted_runs(), strict=True))


def sorted_runs() -> list[Run]:
    return sorted(report().runs, key=lambda run: (run.started_at, run.id))


@pytest.mark.parametrize("end", [math.inf, -math.inf, math.nan])
def test_an_interval_without_an_end_survives_and_its_json_is_one_that_postgresql_takes(
    store: Store, url: str, end: float
) -> None:
    run = replace(
        report().runs[0],
        accuracy={"auroc": Estimate(0.9, 0.8, end)},
        fingerprint={"deep": [{"value": end}]},
    )
    change = Estimate(1.2, 0.7, end, 0.95, "open to one side")
    compared = Comparison("latency_ratio", run.id, run.id, change, Verdict.INCONCLUSIVE)
    store.add_case(run.campaign, run, [compared])
    assert same(store.run(run.id[:9]).accuracy["auroc"].high, end)
    assert same(store.run(run.id).fingerprint["deep"][0]["value"], end)
    (found,) = store.comparisons(run.campaign)
    assert found.change is not None
    assert same(found.change.high, end)
    store.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        texts = [text for (text,) in raw.execute("SELECT document FROM run UNION SELECT change FROM comparison")]
    assert not any("Infinity" in text or "NaN" in text for text in texts)


def test_a_name_with_a_nul_in_it_is_kept_without(store: Store) -> None:
    store.add_case(report().campaign.id, replace(report().runs[0], fingerprint={"soc": "Pi 5\x00"}), ())
    store.add_outcome(report().campaign.id, Outcome("case", "error", reasons=(Reason("bad magic \x00\x01"),)))
    assert store.run("").fingerprint["soc"] == "Pi 5"
    assert store.outcomes(report().campaign.id)[0].message == "bad magic \x01"


def test_a_moment_of_another_zone_is_the_same_moment_afterwards(store: Store) -> None:
    moment = stored_runs.STARTED.astimezone(timezone(timedelta(hours=9)))
    store.add_case(report().campaign.id, replace(report().runs[0], started_at=moment), ())
    found = store.run(report().runs[0].id)
    assert found.started_at == stored_runs.STARTED
    assert found.started_at.utcoffset() == timedelta(0)


def test_two_threads_write_at_once_and_nothing_is_lost(store: Store) -> None:
    def write(name: str) -> None:
        for number in range(40):
            run = replace(report().runs[0], id=f"{name}{number}")
            store.add_case(report().campaign.id, run, (), Outcome(run.id, "passed", run.id))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write, "a"), pool.submit(write, "b")]:
            done.result()
    assert len(store.runs()) == len(store.outcomes(report().campaign.id)) == 80


WRITER = """
import sys
from harness.model import Outcome
from harness.store import Store
store = Store(sys.argv[1])
for number in range(30):
    store.add_outcome(sys.argv[2], Outcome(f"{sys.argv[3]}{number}", "passed"))
"""


def test_two_processes_write_at_once_and_nothing_is_lost(store: Store, url: str) -> None:
    commands = [[sys.executable, "-c", WRITER, url, report().campaign.id, name] for name in ("a", "b")]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(store.outcomes(report().campaign.id)) == 60


OPENER = """
import sys
from harness.store import Store
print("ready", flush=True)
for line in sys.stdin:
    Store(line.strip()).close()
    print("open", flush=True)
"""


def test_several_processes_that_begin_together_on_a_new_store_all_open_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    try:
        assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 4
        for number in range(10):
            for process in processes:
                assert process.stdin is not None
                process.stdin.write(f"sqlite:///{tmp_path}/{number}/night.sqlite\n")
                process.stdin.flush()
            assert [process.stdout.readline() for process in processes if process.stdout] == ["open\n"] * 4
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_store_that_may_only_be_read_is_read(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "results" / "night.sqlite"
    monkeypatch.chdir(tmp_path)
    read_only = Store(f"sqlite:///file:{file}?mode=ro&uri=true")
    assert [one.id for one in read_only.campaigns()] == [one.id for one in store.campaigns()]
    with pytest.raises(StoreError, match=r"cannot write to .*readonly"):
        read_only.add_outcome(report().campaign.id, Outcome("case", "passed"))
    read_only.close()
    assert [one.name for one in tmp_path.iterdir()] == ["results"]


def test_a_run_that_cannot_be_kept_whole_is_not_kept_at_all(store: Store) -> None:
    twice = Measurement("load_s", "s", np.ones(3))
    with pytest.raises(StoreError, match=r"cannot write to .*night\.sqlite: .*UNIQUE.*check --store"):
        store.add_case(
            report().campaign.id, replace(report().runs[0], measurements={"load_s": twice, "again": twice}), ()
        )
    assert store.runs() == []


def test_a_case_that_is_done_again_replaces_its_outcome(store: Store) -> None:
    for status in ("error", "passed"):
        store.add_outcome(report().campaign.id, Outcome("case", status))
    assert [outcome.status for outcome in store.outcomes(report().campaign.id)] == ["passed"]


def test_a_run_is_found_by_the_beginning_of_its_id_if_that_is_enough(store: Store) -> None:
    for name in ("abc1", "abc2", "a%_"):
        store.add_case(report().campaign.id, replace(report().runs[0], id=name), ())
    assert store.run("abc1").id == "abc1"
    assert store.run("a%").id == "a%_"
    with pytest.raises(StoreError, match=r"several runs have an id that begins with 'abc'; `edgeward export` lists"):
        store.run("abc")
    with pytest.raises(StoreError, match="no run has an id that begins with 'z'"):
        store.run("z")


def test_a_store_of_another_version_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE stamp (version INTEGER PRIMARY KEY)")
        raw.execute("INSERT INTO stamp VALUES (0)")
    before = path.read_bytes()
    wanted = rf"tables of version 0, this edgeward has version {VERSION}; choose another file with --store"
    with pytest.raises(StoreError, match=wanted):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"this is a text, not a database, and long enough to be one" * 20, None])
def test_what_is_no_store_is_named_with_the_remedy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "results"
    path.write_bytes(content) if content else path.mkdir()
    with pytest.raises(StoreError) as caught:
        Store(f"sqlite:///{path}")
    assert f"sqlite:///{path}" in str(caught.value)
    assert "check --store" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_was_cut_short_is_refused_with_what_to_do(store: Store, url: str, tmp_path: Path) -> None:
    for run in report().runs:
        store.add_case(report().campaign.id, run, ())
    whole = Path(url.removeprefix("sqlite:///")).read_bytes()
    (tmp_path / "short.sqlite").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"malformed; the file is damaged or cut short: .*recover"):
        Store(f"sqlite:///{tmp_path}/short.sqlite", existing=True)


def test_a_store_that_another_program_holds_is_waited_for_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "night.sqlite"
    Store(f"sqlite:///{path}").close()
    monkeypatch.setattr(opening, "_WAIT_S", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreError, match=r"locked; another program holds it: wait until that has ended"):
            Store(f"sqlite:///{path}", existing=True)
    finally:
        holder.close()


def test_a_full_disk_under_the_store_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=400_000) as disk:
        store = Store(f"sqlite:///{disk}/night.sqlite")
        store.add_campaign(report().campaign)
        store.add_case(report().campaign.id, replace(report().runs[0], outputs=None), ())
        big = {"latency_s": Measurement("latency_s", "s", np.frombuffer(os.urandom(4_000_000), np.float64))}
        with pytest.raises(StoreError, match=r"cannot write to .*full; free some space or check --store"):
            store.add_case(report().campaign.id, replace(report().runs[1], measurements=big), ())
        assert [run.id for run in store.runs()] == [report().runs[0].id]
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bench:hunter2@127.0.0.1:1/night",
        "postgresql://bench:hunter2@db:port/night",
        "postgresql://db/night?user=bench&password=hunter2",
        "postgres//bench:hunter2@db/night",
        "nosuch://bench:hunter2@db/night",
        "postgresql://bench:hunter2@hunter2@db/night",
        "sqlite+nosuch://bench:hunter2@db/night",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(StoreError, match=r"cannot open the store ") as caught:
        Store(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_command_line_is_kept_without_the_password_in_it() -> None:
    line = "pytest suites --store 'postgresql://bench:hunter2@db/night' --device pi5"
    assert redacted(line) == "pytest suites --store 'postgresql://bench:***@db/night' --device pi5"
    assert redacted("pytest --store sqlite:////data/night.sqlite") == "pytest --store sqlite:////data/night.sqlite"
