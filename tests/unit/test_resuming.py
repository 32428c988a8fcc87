"""`--resume` takes over what answers the same question, and nothing else; a case is stored whole or not at all."""

from __future__ import annotations

import json
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from harness.cli import cli
from harness.cli.settings import Settings as CliSettings
from harness.errors import CampaignUnderWay, HarnessError, LabError, Unreachable
from harness.evidence.record import record_of
from harness.measure.concluding import concluded
from harness.page.caveats import caveats
from harness.page.publish import histories, stored
from harness.ports.leases import Owner
from harness.results.runs import measured_case
from harness.store import Store
from tests import small_models
from tests.labs import make, variant
from tests.made_campaigns import FAST, THEN, Bench, changes, interrupted, resumed
from tests.made_runs import FASTER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "lab", more=variant("int8") + FAST)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/night.sqlite")


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_what_was_answered_is_taken_over_and_the_rest_is_measured_beside_its_baseline(
    folder: Path, store: Store
) -> None:
    first = interrupted(folder, store, "base")
    again = Bench(folder, store, resume=True)
    assert again.campaign == first.campaign
    # The baseline takes turns with what is left, so that it is measured once more and not said twice.
    assert again.split() == (["base", "int8"], [])
    assert again.said[-1].endswith("base@here is measured again: it takes turns with int8")


def test_a_campaign_of_which_all_was_answered_but_not_its_end_is_taken_over_whole(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8")
    assert Bench(folder, store, resume=True).split() == ([], ["base", "int8"])


def test_a_changed_model_is_measured_again_and_the_reason_has_the_date(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8")
    shutil.copy(folder / "suites" / "int4.onnx", folder / "suites" / "int8.onnx")
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int8"], [])
    assert any("int8@here is measured again: the model changed since 20" in line for line in again.said)


def test_a_model_that_gives_no_number_now_is_another_model(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8")
    small_models.not_a_number(folder / "suites" / "int8.onnx")
    again = Bench(folder, store, resume=True)
    left, taken = again.split()
    assert "int8" not in taken
    assert left in (["base"], ["base", "int8"], []), "it may not even be fed"


def test_a_changed_baseline_changes_the_question_of_every_variant(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8")
    shutil.copy(folder / "suites" / "int4.onnx", folder / "suites" / "base.onnx")
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int8"], [])
    assert any("int8@here is measured again: the baseline's model changed" in line for line in again.said)


@pytest.mark.parametrize("what", ["images", "labels"])
def test_changed_data_are_measured_again_also_where_the_truth_alone_changed(
    folder: Path, store: Store, what: str
) -> None:
    interrupted(folder, store, "base", "int8")
    path = folder / "suites" / "data.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays[what] = arrays[what][::-1].copy()
    np.savez(path, **arrays)
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int8"], [])
    assert any("the data changed since" in line for line in again.said)


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("devices/here.toml", "onnxruntime==1.31.1", "onnxruntime==1.31.0", "runtime"),
        ("devices/here.toml", 'address = "local:"', 'address = "local:"\ncores = "0"', "device's file"),
        ("suites/small.toml", "max_duration_s = 5", "max_duration_s = 6", "suite"),
        ("suites/small.toml", "control = false", "control = true", "control"),
        ("suites/small.toml", "std = [0.25]", "std = [0.5]", "way in which the model is fed"),
    ],
)
def test_whatever_changes_what_is_measured_is_named(
    folder: Path, store: Store, file: str, before: str, after: str, said: str
) -> None:
    interrupted(folder, store, "base", "int8")
    edit(folder / file, before, after)
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int8"], [])
    assert any(f"is measured again: the {said}" in line for line in again.said), again.said


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("suites/small.toml", 'title = "Small"', 'title = "Other"'),
        ("suites/small.toml", "max = 1.0", "max = 2.0"),
        ("devices/here.toml", 'kind = "', 'description = "on the desk"\ntags = ["desk"]\nkind = "'),
    ],
)
def test_what_is_only_said_or_accepted_changes_no_question(
    folder: Path, store: Store, file: str, before: str, after: str
) -> None:
    interrupted(folder, store, "base", "int8")
    edit(folder / file, before, after)
    assert Bench(folder, store, resume=True).split() == ([], ["base", "int8"])


def test_what_is_taken_over_is_judged_by_the_accept_lines_of_today(folder: Path, store: Store) -> None:
    first = interrupted(folder, store, "base", "int8")
    assert {one.status for one in store.outcomes(first.campaign)} == {"passed"}
    edit(folder / "suites" / "small.toml", FAST, "\n[accept]\nlatency_p50_s = { max = 0.000001 }\n")
    found = resumed(folder, store)
    assert {one.outcome.status for one in found.values()} == {"failed"}
    assert {one.outcome.taken_over for one in found.values()} == {THEN}
    assert {one.status for one in store.outcomes(first.campaign)} == {"failed"}, "so it is stored, too"
    lines = store.campaigns()[0].suites["small"]["accept"]
    assert [line["bound"] for line in lines] == [0.000001], "and so the report says what was asked"


def test_a_new_accept_line_on_the_ratio_is_judged_by_the_runs_that_took_turns(folder: Path, store: Store) -> None:
    first = interrupted(folder, store, "base", "int8")
    edit(folder / "suites" / "small.toml", FAST, "\n[accept]\nlatency_ratio = { max = 0.01 }\n")
    found = resumed(folder, store)
    assert found["base"].outcome.status == "passed"
    assert found["int8"].outcome.status == "failed"
    assert {one.baseline for one in store.comparisons(first.campaign)} == {f"base-{first.campaign}"}
    assert store.undertakings()[0].ended_at is not None, "nothing is left"


def test_a_finished_campaign_is_not_gone_on_with_and_it_is_said_which_there_is(folder: Path, store: Store) -> None:
    first = Bench(folder, store)
    first.split()
    first.answer("base", "int8")
    first.work.close()
    again = Bench(folder, store, resume=True)
    assert again.campaign != first.campaign
    assert again.split() == (["base", "int8"], [])
    assert again.said == [
        "resume: no campaign of this lab is unfinished in these cases; the last one, of 2026-11-20 14:03 UTC, is "
        "finished: all is measured anew"
    ]


def test_a_campaign_that_was_given_up_is_not_gone_on_with_after_a_later_one_was_finished(
    folder: Path, store: Store
) -> None:
    interrupted(folder, store, "base", "int8")
    later = Bench(folder, store)
    later.split()
    later.answer("base", "int8")
    later.work.close()
    again = Bench(folder, store, resume=True)
    assert again.campaign not in ("c0", later.campaign)
    assert "the last one, of 2026-11-21 14:03 UTC, is finished" in again.said[0]


def test_an_error_of_a_device_leaves_a_campaign_unfinished_and_one_of_the_lab_does_not(
    folder: Path, store: Store
) -> None:
    unreachable = Unreachable("no answer", device="here", remedy="look at its cable")
    errors: list[tuple[HarnessError, bool]] = [
        (unreachable, False),
        (LabError("is missing", file="s.toml", remedy="write it"), True),
    ]
    for error, finished in errors:
        bench = Bench(folder, store)
        bench.split()
        bench.answer("base")
        case = bench.case("int8")
        question = bench.work.question(case.id, error=error)
        outcome = replace(store.outcomes(bench.campaign)[0], case=case.id, status="error", run="")
        store.add_outcome(bench.campaign, outcome, question=question)
        bench.work.close()
        (own,) = [one for one in store.undertakings() if one.campaign == bench.campaign]
        assert (own.ended_at is not None) is finished


def test_a_second_lab_with_a_device_of_the_same_id_takes_nothing_from_the_first(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    interrupted(folder, store, "base", "int8")
    other = make(tmp_path / "other", more=variant("int8") + FAST)
    second = Bench(other, store, resume=True)
    assert second.campaign != "c0"
    assert second.split() == (["base", "int8"], [])
    assert len(store.runs(campaign="c0")) == 2, "and leaves it as it is"


def test_a_lab_of_the_same_name_elsewhere_is_the_same_only_with_the_very_same_devices(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    interrupted(folder, store, "base", "int8")
    same, other = tmp_path / "same" / "lab", tmp_path / "other" / "lab"
    for copy in (same, other):
        shutil.copytree(folder, copy)
    edit(other / "devices" / "here.toml", 'kind = "', 'cores = "0"\nkind = "')
    assert Bench(other, store, resume=True).campaign != "c0"
    assert Bench(same, store, resume=True).split() == ([], ["base", "int8"])


def test_a_choice_of_cases_goes_on_with_the_whole_campaign_and_leaves_the_rest_of_it(
    folder: Path, store: Store
) -> None:
    first = interrupted(folder, store, "base", "int8")
    one = Bench(folder, store, resume=True, only="int8@")
    assert one.campaign == first.campaign
    assert one.split() == ([], ["int8"])


def test_a_choice_of_cases_that_is_done_does_not_finish_the_campaign(folder: Path, store: Store) -> None:
    Bench(folder, store).leave()
    chosen = Bench(folder, store, resume=True, only="base@")
    chosen.split()
    chosen.answer("base")
    chosen.work.close()
    assert [one.ended_at for one in store.undertakings()] == [None]
    assert Bench(folder, store, resume=True).split() == (["base", "int8"], [])


def test_a_case_that_the_suite_has_no_more_does_not_keep_its_campaign_unfinished(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base")
    edit(folder / "suites" / "small.toml", variant("int8"), "")
    again = Bench(folder, store, resume=True)
    assert again.split() == ([], ["base"])
    again.work.close()
    assert store.undertakings()[0].ended_at is not None


def test_a_case_that_was_not_there_is_measured(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8")
    edit(folder / "suites" / "small.toml", FAST, variant("int4") + FAST)
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int4"], ["int8"])
    assert len(store.questions(again.campaign)) == 3


def test_a_quick_campaign_is_not_gone_on_with_in_full(folder: Path, store: Store) -> None:
    interrupted(folder, store, "base", "int8", quick=True)
    assert Bench(folder, store, resume=True).split() == (["base", "int8"], [])


def test_a_campaign_that_is_under_way_is_refused_in_one_line_with_the_remedy(folder: Path, store: Store) -> None:
    first = Bench(folder, store)  # its holder is this very process, which is alive
    with pytest.raises(CampaignUnderWay) as refused:
        Bench(folder, store, resume=True)
    assert str(refused.value).startswith("the campaign of 2026-11-20 14:03 UTC is still under way, by ")
    assert refused.value.remedy == "wait until it has ended, or measure anew without --resume"
    assert "\n" not in str(refused.value)
    assert Bench(folder, store).campaign != first.campaign, "without --resume another one begins"


@pytest.mark.parametrize(
    ("unseen_s", "under_way"), [(60, True), (7200, False)], ids=["heard of just now", "silent for hours"]
)
def test_of_a_host_that_cannot_be_seen_its_last_sign_of_life_counts(
    folder: Path, store: Store, unseen_s: int, under_way: bool
) -> None:
    bench = interrupted(folder, store, "base", "int8")
    far = Owner("lab@far", 7, "2026-11-20 14:00 UTC", "another boot", "pid:[1]", "1").line()
    assert store.take(bench.campaign, far, "", datetime.now(UTC) - timedelta(seconds=unseen_s))
    # Another machine: the same folder after a restart would be known to be gone.
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as raw, raw:
        raw.execute("UPDATE progress SET place = 'elsewhere'")
    if under_way:
        with pytest.raises(CampaignUnderWay, match="still under way, by lab@far"):
            Bench(folder, store, resume=True)
    else:
        assert Bench(folder, store, resume=True).split() == ([], ["base", "int8"])


def test_a_host_that_was_restarted_goes_on_at_once(folder: Path, store: Store) -> None:
    bench = interrupted(folder, store, "base", "int8")
    before = Owner("lab@here", 7, "", "the boot before", "pid:[1]", "1").line()
    assert store.take(bench.campaign, before, "", datetime.now(UTC))
    assert Bench(folder, store, resume=True).split() == ([], ["base", "int8"])


def test_of_two_that_go_on_at_once_one_alone_gets_the_campaign(folder: Path, store: Store) -> None:
    bench = interrupted(folder, store, "base")
    now = datetime.now(UTC)
    assert [store.take(bench.campaign, name, "", now) for name in ("one", "other")] == [True, False]


def test_a_baseline_that_is_measured_again_counts_once_and_the_run_of_before_is_marked(
    folder: Path, store: Store
) -> None:
    interrupted(folder, store, "base")
    again = Bench(folder, store, resume=True)
    again.split()
    again.answer("base", "int8", suffix="-new")
    again.work.close()
    assert sorted(run.id for run in store.runs()) == ["base-new-c0", "int8-new-c0"]
    assert len(store.runs(superseded=True)) == 3
    one = store.superseded()["base-c0"]
    assert (one.by, one.reason.text) == ("base-new-c0", "it takes turns with int8")
    report = stored(store, again.work.campaign)
    (group,) = report.groups()
    assert [entry.variant for entry in group.entries] == ["base", "int8"]
    assert report.again == ("suites/small.toml::base@here: it takes turns with int8",)
    assert any("Measured again: " in line for line in caveats(report))
    done = CliRunner().invoke(cli, ["export", "--format", "json", "--store", store.url], obj=CliSettings())
    assert done.exit_code == 0, done.output
    marks = {run["id"]: run.get("superseded_by") for run in json.loads(done.output)["runs"]}
    assert marks == {"base-c0": "base-new-c0", "base-new-c0": None, "int8-new-c0": None}


def test_history_and_evidence_leave_out_what_is_superseded_unless_what_counts_was_compared_with_it(
    folder: Path, store: Store
) -> None:
    interrupted(folder, store, "base", "int8")
    edit(folder / "suites" / "small.toml", FAST, variant("int4") + FAST)
    again = Bench(folder, store, resume=True)
    assert again.split() == (["base", "int4"], ["int8"])
    again.answer("base", "int4", suffix="-new")
    found, lost = histories(store, [("small", "here")], last=10)
    assert lost == []
    assert {one.variant: [point.run and point.run.id for point in one.points] for one in found} == {
        "base": ["base-new-c0"], "int8": ["int8-c0"], "int4": ["int4-new-c0"],
    }  # fmt: skip
    kept = {run.id for run in record_of(store, again.work.campaign).runs}
    assert kept == {"base-c0", "base-new-c0", "int8-c0", "int4-new-c0"}, "int8 took turns with the first"
    again.leave()
    shutil.copy(folder / "suites" / "int4.onnx", folder / "suites" / "int8.onnx")
    last = Bench(folder, store, resume=True)
    assert last.split() == (["base", "int8"], ["int4"])
    last.answer("base", "int8", suffix="-last")
    kept = {run.id for run in record_of(store, last.work.campaign).runs}
    assert kept == {"base-new-c0", "base-last-c0", "int4-new-c0", "int8-last-c0"}


def test_a_partner_that_nobody_asked_for_stands_in_the_report_once_after_two_starts(folder: Path, store: Store) -> None:
    for start in ("one", "two"):
        bench = Bench(folder, store, resume=True, only="int8@")
        bench.split()
        # The first host dies when the partner is stored and the case is not.
        bench.answer("base", *(["int8"] if start == "two" else []), suffix=f"-{start}")
        bench.leave()
    (group,) = stored(store, store.campaigns()[0]).groups()
    assert [entry.run.id for entry in group.entries if entry.run] == ["base-two-c0", "int8-two-c0"]


def test_a_baseline_stays_answered_where_the_device_is_lost_before_it_is_measured_again(
    folder: Path, store: Store
) -> None:
    interrupted(folder, store, "base")
    again = Bench(folder, store, resume=True)
    again.split()
    base = again.case("base")
    found = again.work.spare(base, Unreachable("no answer", device="here"))
    assert found is not None
    assert found.run.id == "base-c0"
    assert again.work.spare(base, HarnessError("it cannot be read")) is None


def test_data_that_cannot_be_read_now_cost_no_run_that_is_stored(folder: Path, store: Store) -> None:
    first = interrupted(folder, store, "base", "int8")
    data = folder / "suites" / "data.npz"
    data.rename(folder / "unmounted")
    found = resumed(folder, store)
    assert {one.outcome.status for one in found.values()} == {"error"}
    assert [one.run for one in store.outcomes(first.campaign)] == ["base-c0", "int8-c0"]
    (folder / "unmounted").rename(data)
    assert {one.outcome.taken_over for one in resumed(folder, store).values()} == {THEN}


#: Stores a pickled case and dies at the statement whose beginning is given, as a host that loses its power.
KILLED = """
import os, pickle, signal, sys
import sqlalchemy as sa
from harness.store import Store
url, begins, file = sys.argv[1:]
store = Store(url)
@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def look(connection, cursor, statement, *rest):
    if statement.startswith(begins):
        os.kill(os.getpid(), signal.SIGKILL)
with open(file, "rb") as case:
    store.add_case("c0", *pickle.load(case))
"""


@pytest.mark.parametrize("begins", ["INSERT INTO comparison", "INSERT INTO outcome"])
def test_a_host_that_dies_while_a_case_is_stored_leaves_nothing_of_it(
    folder: Path, store: Store, tmp_path: Path, begins: str
) -> None:
    bench = interrupted(folder, store, "base")
    run = replace(FASTER, id="killed", campaign="c0", case=measured_case(bench.case("int8")))
    compared = [replace(one, baseline="base-c0", run="killed") for one in changes()]
    case = tmp_path / "case"
    case.write_bytes(pickle.dumps((run, compared, concluded(bench.case("int8"), run, compared))))
    words = [sys.executable, "-c", KILLED, store.url, begins, str(case)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [one.id for one in store.runs()] == ["base-c0"]
    assert store.comparisons("c0") == []
    assert [one.run for one in store.outcomes("c0")] == ["base-c0"]
    assert Bench(folder, store, resume=True).split() == (["base", "int8"], [])


def test_a_run_without_an_outcome_that_an_older_edgeward_left_is_not_shown(folder: Path, store: Store) -> None:
    bench = interrupted(folder, store, "base", "int8")
    (half,) = [run for run in store.runs() if run.case.variant == "int8"]
    store.add_case(bench.campaign, replace(half, id="half"), [])
    (group,) = stored(store, bench.work.campaign).groups()
    assert [entry.run.id for entry in group.entries if entry.run] == ["base-c0", "int8-c0"]


@pytest.mark.parametrize("lacking", [("example",), ("probe", "occlusion", "example", "local_step", "progress",
                                                    "question", "superseded")])  # fmt: skip
def test_a_store_of_before_that_may_only_be_read_is_read_as_having_none_of_what_came_later(
    folder: Path, store: Store, lacking: Sequence[str]
) -> None:
    bench = interrupted(folder, store, "base", "int8")
    path = Path(store.url.removeprefix("sqlite:///"))
    store.close()
    with closing(sqlite3.connect(path)) as raw, raw:
        for table in lacking:
            raw.execute(f"DROP TABLE {table}")
    path.chmod(0o444)
    before = path.read_bytes()
    for url in (store.url, f"sqlite:///file:{path}?mode=ro&uri=true"):
        with closing(Store(url, existing=True)) as old:
            runs = old.runs()
            assert [run.case.variant for run in runs] == ["base", "int8"]
            assert {(run.probes, run.occlusion, run.disagreement) for run in runs} == {((), None, None)}
            assert old.run("int8").measurements["latency_s"].values.size
            assert [run.id for run in old.readable(bench.campaign, samples=False)[0]] == [run.id for run in runs]
            assert old.step_costs("small") == []
            if "progress" in lacking:
                assert (old.undertakings(), old.questions(bench.campaign), old.superseded()) == ([], {}, {})
            assert len(stored(old, old.campaigns()[0]).runs) == 2
    assert path.read_bytes() == before, "who only reads makes no table"


def test_an_old_store_that_is_measured_into_gets_its_tables_and_nothing_of_before_is_taken_over(
    folder: Path, store: Store
) -> None:
    interrupted(folder, store, "base", "int8")
    store.close()
    with closing(sqlite3.connect(store.url.removeprefix("sqlite:///"))) as raw, raw:
        for table in ("progress", "question", "superseded", "alembic_version"):
            raw.execute(f"DROP TABLE {table}")
    again = Bench(folder, Store(store.url), resume=True)
    assert again.split() == (["base", "int8"], [])
    assert "no campaign of this lab is unfinished" in again.said[0]
