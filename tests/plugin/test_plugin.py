"""edgeward in pytest: ids, options, exit codes, and what a campaign leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import psutil
import pytest

from devices.virtual.waiting import soon
from harness.deploy import DeviceHandle
from harness.lab import select
from harness.leases import file as lease
from harness.store import Store
from tests.labs import make, run_pytest, variant

ACCEPT = "\n[accept]\nlatency_ratio = { max = 1.5 }\nlatency_p50_s = { max = 1.0 }\n"
ALL = variant("int8") + variant("int4") + variant("slow", model="int4.onnx", xfail="int4 kernels cost time") + ACCEPT


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Measure a suite whose cases pass, fail and fail as expected, beside one that cannot be read.

    Many tests read what it left.
    """
    lab = make(tmp_path_factory.mktemp("night"), more=ALL)
    text = (lab / "suites" / "small.toml").read_text()
    (lab / "suites" / "wrong.toml").write_text(text.replace("[load]\nmax_duration_s", "[load]\nmax_durations_s"))
    options = ["--quick", "--junitxml=junit.xml", "--benchmark-save=night", "--benchmark-json=bench.json"]
    options.append("--markdown=summary.md")
    (lab / "step.md").write_text("what an earlier step said")
    return lab, run_pytest(lab, "suites", "--device", "here", *options, step_summary=str(lab / "step.md"))


def test_ids_are_as_users_type_them(tmp_path: Path) -> None:
    lab = make(tmp_path, more=variant("int8"))
    device = lab / "devices" / "here.toml"
    device.write_text(device.read_text().replace("]", ', "ai-edge-litert==2.3.0"]'))
    suite = lab / "suites" / "small.toml"
    (lab / "suites" / "base.tflite").write_bytes(b"TFL3" * 2)
    suite.write_text(suite.read_text().replace('"base.onnx"', '["base.onnx", "base.tflite"]'))
    seen = run_pytest(lab, "suites", "--device", "here", "--collect-only", "-q").stdout.splitlines()
    assert seen[:3] == [
        "suites/small.toml::base[onnxruntime]@here",
        "suites/small.toml::base[litert]@here",
        "suites/small.toml::int8@here",
    ]


def test_without_a_device_suites_yield_nothing(tmp_path: Path) -> None:
    done = run_pytest(make(tmp_path), "suites", "--collect-only", "-q")
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "small" not in done.stdout


def test_an_unknown_device_is_a_usage_error_that_names_the_nearest(tmp_path: Path) -> None:
    done = run_pytest(make(tmp_path), "suites", "--device", "hear")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "hear" in done.stderr
    assert "'here'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_case_that_misses_its_accept_line_fails_and_says_by_how_much(night: tuple[Path, Any]) -> None:
    _, done = night
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "1 failed, 2 passed, 1 xfailed, 1 error" in done.stdout, done.stdout
    assert "int4@here: Latency against the baseline: " in done.stdout
    assert "exceeds the maximum 1.50× by" in done.stdout
    assert "FAILED suites/small.toml::int4@here" in done.stdout


def test_the_last_line_is_the_reports_path(night: tuple[Path, Any]) -> None:
    lab, done = night
    last = done.stdout.rstrip().splitlines()[-1]
    assert last.startswith("report: ")
    report = Path(last.removeprefix("report: "))
    assert report.parent == lab / "reports" / "html"
    assert report.read_text().startswith("<!doctype html>")


def test_the_summary_is_written_as_markdown_and_appended_to_the_page_of_a_github_job(night: tuple[Path, Any]) -> None:
    lab, done = night
    text = (lab / "summary.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| here")]
    assert len(rows) == 4
    assert sum("✕ failed" in row for row in rows) == 1
    assert "✕ failed: **suites/small.toml::int4@here**" in text
    assert (lab / "step.md").read_text() == f"what an earlier step said\n{text}"
    said = done.stdout.rstrip().splitlines()
    assert said[-2] == f"summary: {lab / 'summary.md'}"
    assert text.endswith(f"Report: {said[-1].removeprefix('report: ')}\n".replace("_", "\\_"))


def test_a_page_of_a_github_job_that_cannot_be_written_is_one_line_and_no_end_of_the_campaign(tmp_path: Path) -> None:
    lab = make(tmp_path)
    done = run_pytest(lab, "suites", "--device", "here", "--quick", step_summary=str(lab / "none/step.md"))
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if "GITHUB_STEP_SUMMARY" in line]
    assert line == f"no summary: {lab / 'none/step.md'} (GITHUB_STEP_SUMMARY): No such file or directory"
    assert done.stdout.rstrip().splitlines()[-1].startswith("report: ")


def test_a_second_campaign_says_in_a_line_what_changed_since_the_first(tmp_path: Path) -> None:
    lab = make(tmp_path)
    first, second = (run_pytest(lab, "suites", "--device", "here", "--quick").stdout for _ in range(2))
    assert "Since the campaign of" not in first
    line, last = second.rstrip().splitlines()[-2:]
    assert line.startswith("Since the campaign of 20")
    assert last.startswith("report: ")
    report = Path(last.removeprefix("report: ")).read_text()
    assert line in report, "the report says it at its top"


def test_progress_is_seen_while_it_goes_on(night: tuple[Path, Any]) -> None:
    _, done = night
    for phase in ("bringing onnxruntime==1.31.1", "cold pass", "memory pass", "accuracy pass", "timed pass: launch"):
        assert f"here: {phase}" in done.stdout


def test_each_case_carries_its_figures_as_junit_properties(night: tuple[Path, Any]) -> None:
    lab, _ = night
    cases = ET.parse(lab / "junit.xml").getroot().iter("testcase")
    found = {case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")} for case in cases}
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    [run] = [run for run in store.runs() if run.case.variant == "int8"]
    [ratio] = [one for one in store.comparisons(run.campaign) if (one.run, one.metric) == (run.id, "latency_ratio")]
    store.close()
    assert ratio.change is not None
    # Whether so short a campaign shows that int8 is faster is left to the machine's other work.
    assert float(found["int8@here"]["latency_ratio"] or "") == pytest.approx(ratio.change.point, rel=1e-3)
    assert found["int8@here"]["latency_ratio_verdict"] == ratio.verdict
    assert float(found["base@here"]["latency_p50_s"] or "") > 0
    assert found["int4@here"]["edgeward"] == "failed"


def test_each_case_is_a_benchmark_with_the_devices_own_samples(night: tuple[Path, Any]) -> None:
    lab, _ = night
    entries = {e["fullname"]: e for e in json.loads((lab / "bench.json").read_text())["benchmarks"]}
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    runs = {run.case.id: run for run in store.runs()}
    store.close()
    assert set(entries) == set(runs)
    for name, run in runs.items():
        assert entries[name]["stats"]["data"] == run.measurements["latency_s"].values.tolist()


def test_saved_nights_are_compared_by_pytest_benchmark_itself(night: tuple[Path, Any]) -> None:
    lab, _ = night
    tool = [str(Path(sys.executable).with_name("pytest-benchmark")), "compare", "0001"]
    done = subprocess.run(tool, cwd=lab, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "int8@here" in done.stdout


def test_a_slower_night_fails_by_benchmark_compare_fail(night: tuple[Path, Any]) -> None:
    lab, _ = night
    # The same id with a slower model: what a regression looks like to pytest-benchmark.
    (lab / "suites" / "int8.onnx").write_bytes((lab / "suites" / "int4.onnx").read_bytes())
    options = ["--benchmark-compare=0001", "--benchmark-compare-fail=median:100%", "-k", "int8"]
    done = run_pytest(lab, "suites/small.toml", "--device", "here", "--quick", *options)
    assert done.returncode != 0
    assert "Performance has regressed" in done.stdout + done.stderr


def test_a_chosen_case_brings_its_baseline_along_as_a_partner(tmp_path: Path, device_workdir: Path) -> None:
    lab = make(tmp_path, more=variant("int8"), workdir=device_workdir)
    done = run_pytest(lab, "suites/small.toml::int8@here", "--device", "here", "--quick")
    assert "1 passed" in done.stdout, done.stdout
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    assert sorted(run.case.variant for run in store.runs()) == ["base", "int8"]
    changes = store.comparisons(store.campaigns()[0].id)
    store.close()
    assert "latency_ratio" in {change.metric for change in changes}


def test_a_suite_that_cannot_be_read_stops_no_other(night: tuple[Path, Any]) -> None:
    _, done = night
    assert "base@here passed" in done.stdout
    assert "2 passed, 1 xfailed, 1 error" in done.stdout, done.stdout
    assert "suites/wrong.toml: load.max_durations_s: " in done.stdout
    assert "max_duration_s" in done.stdout


def test_a_signal_while_plug_ins_sum_up_changes_nothing(tmp_path: Path) -> None:
    lab = make(tmp_path)
    numbers = ", ".join(str(int(one)) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    hook = f"def pytest_sessionfinish():\n    for one in ({numbers}):\n        os.kill(os.getpid(), one)\n"
    (lab / "conftest.py").write_text(f"import os\n\n{hook}")
    done = run_pytest(lab, "suites", "--device", "here", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    assert "report: " in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_an_interrupted_campaign_is_cleaned_up_reported_and_resumed(tmp_path: Path, signum: signal.Signals) -> None:
    lab = make(tmp_path, more=variant("int8"))
    make(tmp_path, name="second")
    # A shell gives what it starts in the background a SIGINT that is ignored, and that is inherited.
    command = ["env", "--default-signal=INT,TERM,HUP", sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command += ["suites", "--device", "here", "--quick"]
    process = subprocess.Popen(command, cwd=lab, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        # The first suite has answered, the second is under way.
        if "base@here passed" in line:
            process.send_signal(signum)
            break
    seen += process.stdout.readlines()
    assert process.wait(60) == pytest.ExitCode.INTERRUPTED, "".join(seen)
    assert list((lab / "work" / "jobs").iterdir()) == []
    with DeviceHandle(select(lab, ["here"])[0]) as handle:
        assert lease.holder(handle) is None
    assert "report: " in seen[-1]

    url = f"sqlite:///{lab}/reports/results.sqlite"
    store = Store(url)
    (campaign,) = store.campaigns()
    before = {run.id for run in store.runs()}
    done = run_pytest(lab, "suites", "--device", "here", "--quick", "--resume")
    assert "3 passed" in done.stdout, done.stdout
    assert [one.id for one in store.campaigns()] == [campaign.id]
    after = store.runs(campaign=campaign.id)
    store.close()
    assert before < {run.id for run in after}
    # What had been answered was not measured again.
    answered = [run for run in after if run.case.id == "suites/second.toml::base@here"]
    assert len(answered) == 1


def test_nothing_is_left_running_on_the_device(night: tuple[Path, Any]) -> None:
    lab, _ = night
    assert soon(lambda: not processes_that_name(lab / "work"))


def processes_that_name(folder: Path) -> list[str]:
    """Return the command lines of other processes in which a folder occurs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if process.pid != os.getpid() and str(folder) in (words := " ".join(process.cmdline())):
                found.append(words)
    return found
