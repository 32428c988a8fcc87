"""The native runner keeps the contract: its header holds it, its jobs are refused as the contract refuses them."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.requirements import require
from harness.agent import contract
from harness.native import build, header
from harness.results import events as reading

SOURCES = sorted(build.SOURCES.iterdir())
PRINTING = """#include <stdio.h>
#include "contract.h"
#define SHOW(value) show(_Generic((value), char *: "%s", int: "%d", long: "%ld", double: "%.17g"), value)
#define show(format, value) printf(format, value), putchar(0)
#define NAME(kind, name) printf(#kind " " #name), putchar(0);
#define NAME_OF_OPTIONAL(kind, name, value) NAME(kind, name)
int main(void)
{
"""
#: For a program that ends with what it holds, and leaves the rest to the system.
KEEPING = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
#: A job in which every optional key has its default.
LEAST_JOB = contract.Job(
    seed=1,
    models=[contract.Model("m", "/m.onnx", "onnxruntime", "/nowhere")],
    threads=1,
    input=contract.Input("/images.npy", "NCHW", 1.0, [0.0], [1.0]),
    plan=contract.Plan(1, 1, False, 1, 1, 10.0),
)


def printed(tmp_path: Path, body: str) -> list[str]:
    """Compile a program that includes the header and return what it prints, piece by piece."""
    require("package:gcc")
    (tmp_path / header.NAME).write_text(header.text())
    (tmp_path / "print.c").write_text(f"{PRINTING}{body}\n}}\n")
    subprocess.run(["gcc", *build.FLAGS, f"-I{tmp_path}", "print.c", "-o", "print"], cwd=tmp_path, check=True)
    return subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def test_the_header_holds_every_constant_of_the_contract_with_its_value(tmp_path: Path) -> None:
    plain = {name: value for name, value in vars(contract).items() if isinstance(value, (int, float, str))}
    wanted = {name: value for name, value in plain.items() if name.isupper()}
    wanted |= {f"EVENT_{kind.upper()}": kind for kind in contract.EVENTS}
    wanted |= {f"ERROR_{kind.upper()}": kind for kind in contract.REMEDIES}
    found = printed(tmp_path, "\n".join(f"SHOW({name});" for name in wanted))
    assert found == [str(value) if not isinstance(value, float) else f"{value:.17g}" for value in wanted.values()]
    assert {"TIMED_INPUTS", "EVENT_DONE", "ERROR_MEMORY", "EVENTS_FILE"} <= wanted.keys()


def test_the_header_holds_every_plain_value_of_a_job_with_its_kind(tmp_path: Path) -> None:
    found = printed(tmp_path, "\n".join(f"{name}_FIELDS(NAME, NAME_OF_OPTIONAL)" for name in header.TABLES))
    seen = [piece.split()[1] for piece in found]
    assert "whole period_ns" in found
    assert "truth_or_auto hold" in found
    # And two of which only the length counts, and one that is a number or nothing.
    # And the ways through a file, which it refuses: no .tflite file here has any.
    tables = {"models", "input", "plan", "meter", "labels", "constants", "copy_of", "paths"}
    assert seen == [
        one.name for table in header.TABLES.values() for one in dataclasses.fields(table) if one.name not in tables
    ]


def test_every_key_of_a_plan_changes_what_the_runner_does() -> None:
    code = "".join(path.read_text() for path in SOURCES)
    unused = [one.name for one in dataclasses.fields(contract.Plan) if not re.search(rf"plan(->|\.){one.name}\b", code)]
    assert not unused, "a key that the contract has gained is taken and left out in silence"


def test_events_and_errors_are_named_by_the_header_alone() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert not re.search(r'events_begin\([^()]*"', text), path.name
        assert not re.search(r'(fail|blame|onnxruntime_good)\([^;"]*, "\w+",', text), path.name


def job_tables() -> dict[str, list[str]]:
    return {
        where: [one.name for one in dataclasses.fields(table)]
        for where, table in (
            ("", contract.Job), ("models.0", contract.Model), ("input", contract.Input), ("plan", contract.Plan),
        )
    }  # fmt: skip


def changed_job(where: str, key: str, value: Any) -> dict[str, Any]:
    """Return LEAST_JOB with one key set, or taken out where `value` is None."""
    job: dict[str, Any] = contract.plain(LEAST_JOB)
    table = {"": job, "models.0": job["models"][0], "input": job["input"], "plan": job["plan"]}[where]
    table.pop(key, None)
    if value is not None:
        table[key] = value
    return job


def answer_to(program: Path, folder: Path, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Start a worker on a job: what is wrong with the job ends it with code 65."""
    (folder / contract.JOB_FILE).write_text(json.dumps(job))
    return subprocess.run(
        [program, "work", folder, "0"], input="", capture_output=True, text=True, check=False, env=KEEPING
    )


@pytest.mark.parametrize("where", job_tables())
def test_a_job_is_refused_for_a_key_for_which_the_contract_refuses_it(
    checked: Path, tmp_path: Path, where: str
) -> None:
    for key in (*job_tables()[where], "colour"):
        job = changed_job(where, key, "blue" if key == "colour" else None)
        done = answer_to(checked, tmp_path, job)
        try:
            contract.job(job)
        except ValueError:
            assert done.returncode == 65, key
            assert key in done.stderr
        else:
            assert done.returncode == 0, (key, done.stderr)
            assert json.loads(done.stdout)["error"] == "runtime", "it got as far as the runtime, which is not there"


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ("", "schema", contract.JOB_SCHEMA + 1), ("", "threads", "many"), ("", "batch", 0), ("", "meter", "hwmon"),
        ("models.0", "path", 3), ("input", "mean", [1, "x"]), ("plan", "rounds", 1.5), ("plan", "hold", "maybe"),
        ("plan", "accuracy", 1), ("plan", "frames", -1),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_refused_with_its_key(
    checked: Path, tmp_path: Path, where: str, key: str, value: Any
) -> None:
    done = answer_to(checked, tmp_path, changed_job(where, key, value))
    assert done.returncode == 65
    assert key in done.stderr


def test_a_script_that_runs_a_vendors_tool_writes_events_of_the_contract(checked: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("Inference: 3 ms\n")
    named = '"model": 0, "turn": 1, "of": 4, "tool": "benchmark", "facts": {"runtime": "benchmark"}, "code": 0'
    wanted = {"start": "", "conditions": ', "when": "before"', "tool": f", {named}", "done": ', "spent": {}'}
    for kind, fields in wanted.items():
        file = [str(said)] if kind == "tool" else []
        subprocess.run([checked, "say", tmp_path, kind, fields, *file], check=True, env=KEEPING)
    lines = (tmp_path / contract.EVENTS_FILE).read_bytes().splitlines()
    assert [reading.parse(line, device="phone").event for line in lines] == list(wanted)
    done = subprocess.run([checked, "say", tmp_path, "tools", ""], capture_output=True, check=False, env=KEEPING)
    assert done.returncode == contract.NO_SUCH_COMMAND
    assert len((tmp_path / contract.EVENTS_FILE).read_bytes().splitlines()) == len(wanted)
