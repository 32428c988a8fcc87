"""Jobs on the processor cores that a device file names: bound there from their first moment, recorded, or refused."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from devices.virtual.openssh import openssh
from devices.virtual.requirements import give_up, require
from harness import deploy, lab
from harness.deploy import DeviceHandle
from harness.deploy.cores import listed
from harness.errors import LabError, Unsupported
from harness.measure import preflight
from harness.model import Address, Device, core_numbers
from tests import small_models as small
from tests.benchmarks import copies

HERE = sorted(os.sched_getaffinity(0))


@pytest.fixture(autouse=True, scope="module")
def _two_cores() -> None:
    """Skip all where cores 0 and 1 may not be used; in CI that is a failure."""
    if HERE[:2] != [0, 1]:
        give_up("this machine lets nobody use the processor cores 0 and 1")


def here(workdir: Path, cores: str) -> Device:
    return Device(
        "here", "workstation", Address("local"), workdir=str(workdir), cores=cores, file=Path("devices/here.toml")
    )


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", [0]), ("4-7", [4, 5, 6, 7]), ("0-1,3", [0, 1, 3]), ("6, 2-3", [2, 3, 6])]
)
def test_lists_of_cores_are_read_and_written_as_the_kernel_does(text: str, numbers: Sequence[int]) -> None:
    assert core_numbers(text) == numbers
    assert core_numbers(listed(numbers)) == numbers


@pytest.mark.parametrize("text", ["little", "3-1", "-1", "0-", "1,,2", "0x3", "99999", "1;reboot", "²"])
def test_a_list_that_is_none_is_refused_in_the_device_file(tmp_path: Path, text: str) -> None:
    file = small.write_device(tmp_path, "here", workdir=tmp_path, more=f'cores = "{text}"\n')
    with pytest.raises(LabError, match=r"cores: .* is no list of cores; write \"big\", or numbers such as"):
        lab.read_device(file)


@pytest.mark.parametrize("runner", ["python", "native"])
def test_a_job_runs_on_the_named_cores_and_its_runs_say_so(tmp_path: Path, device_workdir: Path, runner: str) -> None:
    suite = small.write_suite(tmp_path, "cores", ("base", small.good), {})
    small.write_device(tmp_path, "here", workdir=device_workdir, more=f'runner = "{runner}"\ncores = "{HERE[1]}"\n')
    (case,) = lab.cases(lab.read_suite(suite), lab.select(tmp_path, ["here"]))
    (result,) = copies.campaign(tmp_path, [case], quick=True)
    assert result.run is not None
    assert (result.run.fingerprint["bound_cores"], result.run.fingerprint["usable_cores"]) == (str(HERE[1]), 1)


def test_cores_that_are_not_there_are_refused_before_anything_is_measured(device_workdir: Path) -> None:
    with DeviceHandle(here(device_workdir, "0,4090")) as handle:
        with pytest.raises(
            Unsupported, match=r"names 4090, and online are .*; name others, or leave cores out, in here"
        ):
            deploy.prepare(handle)
        assert not preflight.survey(handle)[0].ok


def test_only_what_runs_on_the_device_is_bound(device_workdir: Path) -> None:
    own = os.sched_getaffinity(0)
    with DeviceHandle(here(device_workdir, listed(HERE[:2]))) as handle:
        deploy.prepare(handle)
        assert handle.workspace.cores == listed(HERE[:2])
    assert os.sched_getaffinity(0) == own


@pytest.fixture(params=[("446", "1024"), ("1800000", "2400000")], ids=["cpu_capacity", "cpuinfo_max_freq"])
def two_kinds(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a tree of /sys in which core 1 is faster than core 0, as the scheduler or as the clock says it."""
    names = {"446": "cpu_capacity", "1800000": "cpufreq/cpuinfo_max_freq"}
    for number, speed in enumerate(request.param):
        file = tmp_path / "sys" / f"cpu{number}" / names[request.param[0]]
        file.parent.mkdir(parents=True)
        file.write_text(f"{speed}\n")
    (tmp_path / "sys" / "cpufreq").mkdir()
    return tmp_path / "sys"


def test_big_means_the_cores_that_are_faster_than_the_slowest_kind(tmp_path: Path, two_kinds: Path) -> None:
    require("root")
    login = tmp_path / "login"
    login.write_text(f'mount --bind {two_kinds} /sys/devices/system/cpu && exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
    with openssh(tmp_path / "sshd", settings=[f"ForceCommand unshare --mount sh {login}"]) as server:
        device = dataclasses.replace(server.device(), cores="big")
        with DeviceHandle(device) as handle:
            deploy.prepare(handle)
            assert handle.workspace.cores == "1"
            assert handle.workspace.bound == ("taskset", "2")


def test_big_is_refused_where_all_cores_are_alike(device_workdir: Path) -> None:
    with (
        DeviceHandle(here(device_workdir, "big")) as handle,
        pytest.raises(
            Unsupported, match=r"needs cores of two kinds, and .* are alike or do not say; name their numbers"
        ),
    ):
        deploy.prepare(handle)
