"""Images that a killed host left in its cache are removed by the next campaign; those of a living one stay."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import lab
from harness.measure.grouping import groups
from harness.measure.jobs import inputs_files, load_samples
from tests import small_models as small

#: Holds the images of the suite that argument 1 names until it is killed; says when it has them.
HOLD = """
import signal, sys
from pathlib import Path
from harness import lab
from harness.measure.grouping import groups
from harness.measure.jobs import inputs_files, load_samples

suite = lab.read_suite(Path(sys.argv[1]))
(group,) = groups(lab.cases(suite, lab.select(Path(sys.argv[1]).parents[1], ["all"])))
with inputs_files(group, load_samples(suite)) as inputs:
    print(*inputs.files.values(), flush=True)
    signal.pause()
"""


def test_images_of_a_killed_host_are_removed_and_those_of_a_living_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    file = small.write_suite(tmp_path, "plain", ("good", small.good))
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    hold = [sys.executable, "-c", HOLD, str(file)]
    with (
        subprocess.Popen(hold, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as killed,
        subprocess.Popen(hold, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as living,
    ):
        try:
            assert killed.stdout is not None
            assert living.stdout is not None
            left, held = (Path(said.readline().strip()) for said in (killed.stdout, living.stdout))
            assert left.is_file()
            killed.kill()
            killed.wait()
            assert left.is_file(), "it left nothing: the test is void"
            suite = lab.read_suite(file)
            (group,) = groups(lab.cases(suite, lab.select(tmp_path, ["all"])))
            with inputs_files(group, load_samples(suite)) as inputs:
                (own,) = inputs.files.values()
                assert sorted((tmp_path / "cache/scratch").glob("*/*.npy")) == sorted([held, own])
            assert list((tmp_path / "cache/scratch").glob("*/*.npy")) == [held]
        finally:
            for process in (killed, living):
                process.kill()


def test_confidential_images_have_no_name_on_this_host_and_end_with_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    file = small.write_suite(tmp_path, "secret", ("good", small.good), confidential=True)
    small.write_device(tmp_path, "here", workdir=tmp_path / "work")
    hold = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(hold, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as killed:
        try:
            assert killed.stdout is not None
            path = Path(killed.stdout.readline().strip())
            pixels = small.samples()[0][7].tobytes()
            assert pixels in path.read_bytes(), "processes of this user read them meanwhile"
            assert [one for one in (tmp_path / "cache").rglob("*") if one.is_file() and one.stat().st_size] == []
        finally:
            killed.kill()
    assert not path.exists()
