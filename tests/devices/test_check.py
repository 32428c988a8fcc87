"""`edgeward check` on this machine as a device: what can be measured, and a remedy for whatever cannot."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from harness.deploy import DeviceHandle
from harness.measure import preflight
from harness.model import Address, Device, Limits

GOOD = "onnxruntime==1.31.1"
NOT_MADE = "onnxruntime==0.0.1"


def found(device: Device) -> dict[str, preflight.Finding]:
    with DeviceHandle(device) as handle:
        return {one.topic: one for one in preflight.survey(handle)}


@pytest.fixture(scope="module")
def here(device_workdir: Path) -> Device:
    return Device(
        "here",
        "workstation",
        Address("local"),
        workdir=str(device_workdir),
        runtimes=(GOOD, NOT_MADE),
        limits=Limits(max_start_temperature_c=-39.0),
        meter={"kind": "hwmon", "chip": "/nowhere"},
        file=Path("devices/here.toml"),
    )


@pytest.fixture(scope="module")
def lines(here: Device) -> dict[str, preflight.Finding]:
    return found(here)


def test_everything_that_a_number_needs_has_its_line(lines: dict[str, preflight.Finding]) -> None:
    wanted = {
        "python", "processor", "clock", "free space", "peak memory", "shared memory", "temperature", "governor",
        GOOD, NOT_MADE, "energy",
    }  # fmt: skip
    assert wanted <= set(lines)
    assert lines["python"].ok
    assert lines["peak memory"].ok
    assert all(one.says for one in lines.values())


def test_whatever_is_not_well_has_a_remedy_on_one_line(lines: dict[str, preflight.Finding]) -> None:
    ill = [one for one in lines.values() if not one.ok]
    assert {NOT_MADE, "energy"} <= {one.topic for one in ill}
    for one in ill:
        assert len(one.remedy) > 10, one
        assert "\n" not in one.says + one.remedy


def test_a_runtime_is_started_there_and_says_which_accelerators_it_offers(lines: dict[str, preflight.Finding]) -> None:
    assert lines[GOOD].ok
    said = r"starts with numpy [\d.]+; accelerators: AzureExecutionProvider, CPUExecutionProvider"
    assert re.fullmatch(said, lines[GOOD].says)


def test_a_runtime_that_is_not_made_for_the_device_says_what_to_change(lines: dict[str, preflight.Finding]) -> None:
    assert not lines[NOT_MADE].ok
    assert "runtimes" in lines[NOT_MADE].remedy


def test_a_device_file_without_runtimes_or_meter_says_what_to_add(here: Device) -> None:
    plain = found(dataclasses.replace(here, runtimes=(), meter=None))
    assert plain["runtimes"].remedy == 'add runtimes = ["onnxruntime==VERSION"] to here.toml'
    assert plain["energy"].remedy == "add [meter] to here.toml"


def test_a_runner_that_cannot_be_brought_is_the_one_line_there_is(here: Device) -> None:
    (only,) = found(dataclasses.replace(here, workdir="/proc/edgeward")).values()
    assert (only.topic, only.ok) == ("python runner", False)
    assert "to /proc/edgeward/agent: No such file or directory" in only.says
    assert only.remedy
