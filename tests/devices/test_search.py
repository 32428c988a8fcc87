"""A search finds the cheapest candidates, goes on after it was killed, and writes a suite that measures them again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli.searching import RACED
from harness.store import Store
from tests import labs
from tests import small_models as small

SPACE = """
[goal]
minimise = "latency"
[[space]]
id = "half"
recipe = "float16"
[[space]]
id = "ruined"
recipe = "low_rank"
parameters = { energy = 0.2 }
[[space]]
id = "broken"
recipe = "quantize_dynamic"
parameters = { exclude = [["no-such-node"]] }
[[space]]
id = "folded"
recipe = "optimize_graph"
[accept]
accuracy = { non_inferior_by = 0.15 }
"""


@pytest.fixture
def phantom(tmp_path: Path, device_workdir: Path) -> None:
    """Write a lab with the network of the first suite and a few images of the phantom."""
    text = labs.suite_toml(
        data='source = "phantom"\ntest = 48\ntrain = 8\nvalidation = 8', more=SPACE, model="models/resnet18.onnx"
    )
    (tmp_path / "suites" / "models").mkdir(parents=True)
    shutil.copy(labs.MODELS / "resnet18.onnx", tmp_path / "suites" / "models")
    file = tmp_path / "suites" / "lesions.toml"
    file.write_text(text.replace('positive = "solid"', 'positive = "solid"\noutput = { kind = "logits" }'))
    small.write_device(tmp_path, "dut", workdir=device_workdir)


def search(folder: Path, suite: str, *more: str) -> list[str]:
    program = str(Path(sys.executable).with_name("edgeward"))
    command = [program, "search", suite, "--device", "dut", "--quick"]
    return [*command, "--store", f"sqlite:///{folder}/results.sqlite", *more]


def statuses(said: str) -> dict[str, str]:
    """Return candidate -> status of what was said of attempts that ended."""
    return {found[1]: found[2] for found in re.finditer(r"attempt \d+: (\S+) (\w+)(?:: .*)?$", said, re.MULTILINE)}


@pytest.mark.usefixtures("phantom")
def test_a_killed_search_goes_on_and_what_it_found_is_measured_again(tmp_path: Path) -> None:
    first = []
    with subprocess.Popen(
        search(tmp_path, "lesions"), cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            first.append(line)
            if "attempt 3:" in line:
                os.killpg(process.pid, signal.SIGKILL)
    known = statuses("".join(first))
    assert len(known) == 3, "it was not killed in its second round: the test is void"
    done = subprocess.run(search(tmp_path, "lesions"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "going on after 3 attempts" in done.stdout
    later = statuses(done.stdout)
    # Nothing was lost, and nothing was done twice.
    assert not known.keys() & later.keys()
    found = {**known, **later}
    assert set(found) == {"half", "ruined", "broken-1d2082ea", "folded"}
    said = "".join(first) + done.stdout
    assert (found["broken-1d2082ea"], found["ruined"]) == ("failed", "dropped"), said
    # What fails is that attempt's error, with the words of the recipe; the others went on.
    assert "has no node 'no-such-node'" in said
    head = (tmp_path / "suites" / "lesions.toml").read_text().splitlines().index('id = "broken"')
    assert f"broken-1d2082ea failed: [[space]] broken, line {head}: " in said
    store = Store(f"sqlite:///{tmp_path}/results.sqlite")
    raced = {run.case.variant for run in store.runs(suite=f"lesions{RACED}")}
    assert raced >= {"half", "folded", "ruined"}
    store.close()
    page = (tmp_path / "reports" / "html" / "search-lesions.html").read_text("utf-8")
    assert all(name in page for name in found)
    assert "<svg" in page
    best = tmp_path / "suites" / "lesions-best.toml"
    assert "low_rank" not in best.read_text()
    chosen = re.findall(r'^id = "(half|folded)"$', best.read_text(), re.MULTILINE)[0]
    again = labs.run_pytest(tmp_path, str(best), "--device", "dut", "--quick", "-k", chosen, timeout_s=900)
    assert again.returncode == 0, again.stdout


def test_a_goal_that_no_candidate_meets_is_an_error_that_names_the_best(tmp_path: Path, device_workdir: Path) -> None:
    file = small.write_suite(tmp_path, "halves", ("base", small.good))
    small.slower(tmp_path / "suites" / "models" / "slower.onnx")
    small.truncated(tmp_path / "suites" / "models" / "half.onnx")
    space = '[goal]\nminimise = "size"\naccuracy = "accuracy"\n[[space]]\nid = "brought"\n'
    space += 'model = ["models/slower.onnx", "models/half.onnx"]\n[accept]\nsize_bytes = { max = 1 }\n'
    file.write_text(file.read_text().replace("[accept]\n", space))
    small.write_device(tmp_path, "dut", workdir=device_workdir)
    done = subprocess.run(search(tmp_path, "halves"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "cannot be met: best was brought-slower: Model size: " in done.stderr
    assert statuses(done.stdout) == {"brought-slower": "refused", "brought-half": "failed"}
    assert not (tmp_path / "suites" / "halves-best.toml").exists()


def test_a_device_that_cannot_be_reached_loses_nothing(tmp_path: Path) -> None:
    file = small.write_suite(tmp_path, "halves", ("base", small.good))
    small.slower(tmp_path / "suites" / "models" / "slower.onnx")
    space = '[goal]\nminimise = "size"\naccuracy = "accuracy"\n[[space]]\nid = "brought"\n'
    file.write_text(file.read_text().replace("[accept]\n", f'{space}model = ["models/slower.onnx"]\n[accept]\n'))
    (tmp_path / "devices").mkdir()
    device = labs.device_toml(workdir="/nowhere", address="ssh://nobody@127.0.0.1:9")
    (tmp_path / "devices" / "dut.toml").write_text(device)
    done = subprocess.run(search(tmp_path, "halves"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is not done" in done.stderr
    assert "the same command goes on from here" in done.stderr
    assert statuses(done.stdout) == {}
