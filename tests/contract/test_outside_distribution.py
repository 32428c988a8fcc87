"""A distribution of somebody else's with one plug-in for every room is installed beside edgeward, and measures.

Both are real wheels in an environment of their own; tests/contract/outside/ is the distribution, and an example of one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.lab import ledger
from harness.model import Campaign, Run
from harness.ports import ROOMS
from harness.store import Store

REPOSITORY = Path(__file__).parents[2]
OUTSIDE = Path(__file__).parent / "outside"
PLUGINS: Mapping[str, Mapping[str, str]] = tomllib.loads((OUTSIDE / "pyproject.toml").read_text("utf-8"))["project"][
    "entry-points"
]
#: Device -> its meter and the module that reads it: the tally travels to the device, the gauge stays on the host. Both
#: devices are this machine, each with a folder of its own.
METERS = {"at-the-tally": ("tally", "harness.agent.meters.tally"), "at-the-gauge": ("gauge", "clinic.gauge")}

DEVICE = """
kind = "workstation"
address = "corridor:"
runner = "nurse"
lease = "notebook"
runtimes = ["numpy=={version}"]
[corridor]
folder = "{folder}"
[nurse]
greeting = "hello"
[notebook]
page = "today"
[recover]
porter = {{ door = "left" }}
[meter]
kind = "{meter}"
watts = 2.5
log = "{log}"
"""

SUITE = """
title = "Stripes"
[data]
source = "stripes"
count = 16
[data.input]
layout = "NCHW"
scale = 0.00392156862745098
[task]
kind = "grading"
[load]
max_duration_s = 10
[baseline]
id = "net"
model = "models/net.tiny"
[[variant]]
id = "rounded"
recipe = "round_weights"
parameters = { digits = 2 }
[accept]
accuracy = { min = 0.5 }
latency_ratio = { max = 1000 }
"""


@dataclass(frozen=True)
class Measured:
    """What the commands of the environment gave: schemas, and the lab with its store and its report."""

    lab: Path
    python: Path
    schemas: Mapping[str, Mapping[str, Any]]
    said: str
    code: int
    runs: Mapping[tuple[str, str], Run]
    campaign: Campaign
    report: str

    def folder(self, device: str) -> Path:
        """Return the workdir of a device, which the transport took from its own table."""
        return self.lab / "work" / device


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    place = tmp_path_factory.mktemp("outside")
    python = environment(place)
    lab = laid_out(place / "lab")
    edgeward = [str(python.with_name("edgeward"))]
    schemas = {kind: json.loads(run([*edgeward, "schema", kind], lab).stdout) for kind in ("device", "suite")}
    run([*edgeward, "build", "suites/stripes.toml"], lab)
    devices = [word for name in METERS for word in ("--device", name)]
    done = run([str(python), "-m", "pytest", "suites", *devices, "--quick", "-p", "no:cacheprovider"], lab, check=False)
    pages = [page.read_text("utf-8") for page in (lab / "reports" / "html").glob("2*.html")]
    assert len(pages) == 1, done.stdout + done.stderr
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    runs = {(run.case.device, run.case.variant): run for run in store.runs()}
    (campaign,) = store.campaigns()
    store.close()
    return Measured(lab, python, schemas, done.stdout, done.returncode, runs, campaign, pages[0])


def environment(place: Path) -> Path:
    """Return the Python of an environment with both wheels, which has everything else from this one."""
    wheels = place / "wheels"
    for source in (REPOSITORY, OUTSIDE):
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(wheels), str(source)], place)
    run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], place)
    python = place / "venv/bin/python"
    (site,) = (place / "venv/lib").glob("python*/site-packages")
    (site / "from_the_tests.pth").write_text(sysconfig.get_path("purelib"))
    made = [str(wheel) for wheel in wheels.glob("*.whl")]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    run([*install, "--ignore-installed", *made], place)
    where = run([str(python), "-c", "import harness, clinic; print(harness.__file__, clinic.__file__)"], place).stdout
    assert all(Path(file).is_relative_to(site) for file in where.split()), where
    return python


def laid_out(lab: Path) -> Path:
    """Write a lab whose one suite and two devices use nothing but plug-ins of the distribution."""
    for folder in ("devices", "suites/models", "logs"):
        (lab / folder).mkdir(parents=True)
    for name, (meter, _) in METERS.items():
        places = {"folder": lab / "work" / name, "log": lab / "logs" / name}
        text = DEVICE.format(version=np.__version__, meter=meter, **places)
        (lab / "devices" / f"{name}.toml").write_text(text)
    (lab / "suites/stripes.toml").write_text(SUITE)
    height, width = 4, 6
    left = np.tile(np.arange(width) < width // 2, height)
    noise = np.random.default_rng(3).normal(0, 0.01, (height * width, 2))
    weights = (np.stack([left, ~left], axis=1) + noise).astype(np.float32)
    with (lab / "suites/models/net.tiny").open("wb") as file:
        np.savez(file, weights=weights, bias=np.zeros(2, np.float32), size=np.array([height, width]))
    return lab


def run(command: Sequence[str], folder: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell of the user would: nothing of this checkout is on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done


def plugin(room: str) -> str:
    (name,) = PLUGINS[f"harness.{room}"]
    return name


def test_the_distribution_has_a_plug_in_for_every_room() -> None:
    assert {group.removeprefix("harness.") for group in PLUGINS} == set(ROOMS)


def test_every_case_is_measured_and_passes(measured: Measured) -> None:
    assert measured.code == 0, measured.said
    assert set(measured.runs) == {(device, variant) for device in METERS for variant in ("net", "rounded")}
    assert "4 passed" in measured.said


def test_editors_are_offered_each_of_them(measured: Measured) -> None:
    device, suite = measured.schemas["device"], measured.schemas["suite"]
    assert any(text.startswith(f"{plugin('transports')}:") for text in device["properties"]["address"]["examples"])
    assert plugin("runners") in device["properties"]["runner"]["enum"]
    assert plugin("leases") in device["properties"]["lease"]["enum"]
    for room in ("transports", "runners", "leases"):
        assert device["properties"][plugin(room)]["properties"], "its own table"
    assert device["$defs"]["RecoverTable"]["properties"][plugin("recoveries")]["properties"], "its own table"
    assert "numpy==VERSION" in device["properties"]["runtimes"]["items"]["examples"]
    arms = {arm["if"]["properties"]["kind"]["const"]: arm["then"] for arm in device["$defs"]["MeterTable"]["allOf"]}
    assert arms[plugin("agent.meters")]["properties"]["side"]["enum"] == ["host", "device"]
    assert arms[plugin("meters")]["properties"]["side"]["enum"] == ["host"]
    tables = suite["$defs"]
    assert plugin("data") in tables["DataTable"]["properties"]["source"]["enum"]
    assert plugin("metrics") in tables["TaskTable"]["properties"]["kind"]["enum"]
    assert plugin("recipes") in tables["VariantTable"]["properties"]["recipe"]["anyOf"][0]["enum"]


def test_the_recipe_built_the_variant_and_the_ledger_says_with_what(measured: Measured) -> None:
    models = measured.lab / "suites/models"
    entry = ledger.read(models)["rounded.tiny"]
    (step,) = entry.steps
    assert (step.recipe, step.parameters, step.settings) == (plugin("recipes"), {"digits": 2}, {"digits": 2})
    assert step.tools == {"numpy": np.__version__, "clinic": "1.0"}
    with np.load(models / "rounded.tiny") as model:
        np.testing.assert_array_equal(model["weights"], model["weights"].round(2))


@pytest.mark.parametrize("device", METERS)
def test_the_transport_led_to_the_folder_that_its_table_names(measured: Measured, device: str) -> None:
    assert list((measured.folder(device) / "agent").iterdir())


@pytest.mark.parametrize("device", METERS)
def test_the_runner_started_the_jobs(measured: Measured, device: str) -> None:
    lines = (measured.folder(device) / "nurse.log").read_text().splitlines()
    assert lines
    assert all(line.startswith("hello: ") for line in lines)
    assert {run.fingerprint["runner"] for run in measured.runs.values()} == {plugin("runners")}


@pytest.mark.parametrize("device", METERS)
def test_the_lease_was_taken_and_given_back(measured: Measured, device: str) -> None:
    assert (measured.folder(device) / "today.past").read_text().strip()
    assert not (measured.folder(device) / "today").exists()


def test_the_runtime_ran_the_models_on_the_device(measured: Measured) -> None:
    assert measured.runs
    for found in measured.runs.values():
        assert found.fingerprint["runtime"] == "numpy"
        assert found.fingerprint["accelerator"] == "tiny (CPU)"
        assert found.measurements["latency_s"].values.size
        assert found.outputs is not None
        assert found.outputs.shape == (16, 2)


def test_the_metric_judged_the_samples_of_the_data_source(measured: Measured) -> None:
    data = measured.campaign.suites["stripes"]["data"]
    assert data["description"].startswith("16 synthetic stripes")
    assert measured.runs
    for found in measured.runs.values():
        assert found.accuracy["accuracy"].point == 1
        assert found.classes == ("left", "right")


@pytest.mark.parametrize("device", METERS)
def test_the_meter_was_read_where_it_belongs(measured: Measured, device: str) -> None:
    _, module = METERS[device]
    opened = (measured.lab / "logs" / device).read_text().split()
    assert set(opened) == {module}
    for variant in ("net", "rounded"):
        energy = measured.runs[device, variant].measurements["energy_j"]
        # A shortened pass gives no number, but says so of what was read, not that there is no meter.
        assert "the window was too short" in energy.absent_reason


def test_the_section_stands_in_the_report_with_its_own_template(measured: Measured) -> None:
    assert "Ward round" in measured.report
    assert "The ward round saw 4 runs &amp; &lt;nothing else&gt;." in measured.report


def test_each_of_them_keeps_the_whole_protocol_of_its_room(measured: Measured, tmp_path: Path) -> None:
    contract = tmp_path / "tests" / "contract"
    contract.mkdir(parents=True)
    for name in ("test_rooms.py", "test_data.py", "data_files.py"):
        shutil.copy(Path(__file__).with_name(name), contract)
    names = [name for points in PLUGINS.values() for name in points]
    chosen = ["-k", " or ".join(names), "-p", "no:cacheprovider", "-q", "-rA"]
    done = run([str(measured.python), "-m", "pytest", str(contract), *chosen], tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    for room in ROOMS:
        assert f"[{room}.{plugin(room)}] " in done.stdout.replace("\n", " \n")
