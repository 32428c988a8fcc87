"""Steps of training on real devices: this machine, and ones whose torch is missing or wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from devices.virtual.requirements import require
from harness import lab
from harness.cli import cli
from harness.cli.settings import Settings
from harness.deploy import DeviceHandle
from harness.errors import HarnessError, LabError, MeasurementError, MissingTool, Unsupported
from harness.measure import local_steps
from harness.measure.jobs import ENERGY_S
from harness.model import Device, StepCost
from harness.store import Store
from tests import labs
from tests import small_models as small
from tests.following_meters import IDLE_W, MORE_W, Follower, following

pytestmark = pytest.mark.usefixtures("no_jobs")


def written(
    folder: Path, step: str, *, more: str = "", makers: Mapping[str, small.Maker] | None = None, images: int = 96
) -> Path:
    """Write a suite with a train split of so many images whose `[local_step]` says `step`."""
    suites = folder / "suites"
    for name, make in {"good": small.good, **(makers or {})}.items():
        make(suites / f"{name}.onnx")
    small.write_npz(suites / "data.npz")
    small.write_npz(suites / "train.npz", images)
    data = labs.npz(classes=small.CLASSES) + '\ntrain = "train.npz"'
    listed = "".join(labs.variant(name) for name in makers or {})
    table = f"\n[local_step]\n{step}\n" if step else ""
    text = labs.suite_toml(data=data, positive="top", baseline="good", model="good.onnx", more=listed + more + table)
    (suites / "steps.toml").write_text(text)
    return suites / "steps.toml"


def device(folder: Path, workdir: Path, more: str = "") -> Device:
    """Write this machine as a device, and return it."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "devices" / "here.toml").write_text(labs.device_toml(workdir=workdir) + more)
    return lab.read_device(folder / "devices" / "here.toml")


def measured(file: Path, where: Device, *names: str) -> dict[str, StepCost | HarnessError]:
    """Measure a suite's steps quickly, and return what each variant gave."""
    suite = lab.read_suite(file)
    with DeviceHandle(where) as handle:
        found = local_steps.measure(suite, local_steps.chosen(suite, names), handle, quick=True)
    return {one.variant.id: one.result for one in found}


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a Python that has no packages."""
    folder = tmp_path_factory.mktemp("bare") / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python3"


def test_a_step_is_timed_stored_and_shown_and_a_model_that_cannot_learn_harms_no_other(
    tmp_path: Path, device_workdir: Path
) -> None:
    require("extra:train=onnx2torch")
    device(tmp_path, device_workdir)
    written(tmp_path, "learning_rate = 0.05\nlayers = 'last'", makers={"constant": small.not_a_number})
    said = CliRunner().invoke(
        cli, ["step", "steps", "--lab", str(tmp_path), "--device", "here", "--quick"], obj=Settings()
    )
    print(said.output)
    assert said.exit_code == 0, said.output
    assert "constant" in said.output
    assert "left out" in said.output
    (cost,) = Store(f"sqlite:///{tmp_path / 'reports' / 'results.sqlite'}").step_costs("steps")
    assert cost.times.shape == (4, 3)
    assert cost.time_s.low <= cost.time_s.point <= cost.time_s.high
    assert cost.apart <= 1e-6
    assert cost.weights == 6
    assert cost.loss_after != cost.loss_before
    assert cost.peak_bytes is not None
    assert cost.loaded_bytes is not None
    assert cost.peak_bytes >= cost.loaded_bytes
    assert cost.energy_j is None
    assert "no meter" in cost.energy_absent
    options = ["step", "steps", "--lab", str(tmp_path), "--device", "here", "--stored"]
    again = CliRunner().invoke(cli, options, obj=Settings()).output
    assert again.splitlines() == said.output.splitlines()[-len(again.splitlines()) - 1 : -1]


def test_a_step_takes_the_joules_that_a_meter_shows_while_steps_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("extra:train=onnx2torch")
    # A window of full length, for no shorter one is believed, and few launches.
    monkeypatch.setattr("harness.measure.local_steps.ENERGY_S", 10 * ENERGY_S)
    meter, workdir = tmp_path / "supply", tmp_path / "work"
    meter.mkdir()
    where = device(tmp_path, workdir, more=f'[meter]\nkind = "hwmon"\nchip = "{meter}"\n')
    file = written(tmp_path, "learning_rate = 0.001")
    with following([Follower("follows", str(workdir), str(meter), models=True)]):
        cost = measured(file, where)["good"]
    assert isinstance(cost, StepCost), cost
    assert cost.energy_j is not None, cost.energy_absent
    assert cost.energy_net_j is not None
    took = cost.time_s.point
    print(
        f"a step: {took * 1e3:.2f} ms, {cost.energy_j.point * 1e3:.2f} mJ, {cost.energy_net_j.point * 1e3:.2f} mJ net"
    )
    # The meter shows 2 W at rest and 6 W while steps are made, however long other work lets one take.
    assert cost.energy_j.point / cost.energy_net_j.point == pytest.approx((IDLE_W + MORE_W) / MORE_W, rel=0.15)
    assert cost.energy_net_j.point > 0.7 * MORE_W * took


def test_a_torch_that_computes_otherwise_is_found_by_the_weights_and_gives_no_number(
    tmp_path: Path, device_workdir: Path, bare_python: Path
) -> None:
    require("extra:train=onnx2torch")
    packages = Path(next((bare_python.parents[1] / "lib").glob("python*"))) / "site-packages"
    (packages / "own.pth").write_text(f"{sysconfig.get_paths()['purelib']}\nimport wrong_steps\n")
    (packages / "wrong_steps.py").write_text(
        "import sys\n"
        "if 'step' in sys.orig_argv:\n"
        "    import torch\n"
        "    right = torch.optim.SGD.__init__\n"
        "    torch.optim.SGD.__init__ = lambda self, weights, lr: right(self, weights, lr=lr * 1.01)\n"
    )
    try:
        where = device(tmp_path, device_workdir, f'python = "{bare_python}"\n')
        found = measured(written(tmp_path, "learning_rate = 0.05"), where)["good"]
    finally:
        (packages / "own.pth").unlink()
    print(found)
    assert isinstance(found, MeasurementError)
    assert re.search(
        r"its weights are 0\.01\d? of their way from those of this host, and the tolerance is 0.001", str(found)
    )


def test_a_device_without_torch_is_refused_before_anything_is_measured(
    tmp_path: Path, device_workdir: Path, bare_python: Path
) -> None:
    where = device(tmp_path, device_workdir, f'python = "{bare_python}"\n')
    with pytest.raises(MissingTool) as caught:
        measured(written(tmp_path, "learning_rate = 0.05"), where)
    print(f"\n{caught.value}")
    assert f"training needs torch and numpy among the packages of {bare_python} itself" in str(caught.value)
    assert "-m pip install torch numpy` there" in str(caught.value)


@pytest.mark.parametrize(
    ("step", "says", "remedy"),
    [
        ("learning_rate = 1e30", "the training diverged: the loss of step", "lower `learning_rate` under [local_step]"),
        ("learning_rate = 0.1\nbatch = 97", "a batch of 97 images is more than the split train has: 96", "batch = 96"),
        ("learning_rate = 1e-30", "steps change no weight of good.onnx", "raise `learning_rate`"),
    ],
)
def test_a_step_that_cannot_be_made_is_refused_before_the_device_makes_one(
    tmp_path: Path, device_workdir: Path, step: str, says: str, remedy: str
) -> None:
    require("extra:train=onnx2torch")
    found = measured(written(tmp_path, step), device(tmp_path, device_workdir))["good"]
    print(f"\n{found}")
    assert says in str(found)
    assert remedy in str(found)


def test_what_cannot_train_is_refused_with_what_to_write(tmp_path: Path, device_workdir: Path) -> None:
    where = device(tmp_path, device_workdir)
    for name in ("good", "lite"):
        small.resnet(tmp_path / "suites" / f"{name}.tflite")
    file = written(tmp_path, "learning_rate = 0.05", more=labs.variant("lite", model="lite.tflite"))
    file.write_text(file.read_text().replace('"good.onnx"', '["good.onnx", "good.tflite"]'))
    found = measured(file, where, "lite")["lite"]
    assert isinstance(found, Unsupported)
    assert "lite.tflite cannot be trained: LiteRT has no gradients" in str(found)
    native = device(tmp_path, device_workdir, 'runner = "native"\n')
    with pytest.raises(Unsupported, match='the native runner cannot train; set runner = "python"'):
        measured(file, native)
    silent = lab.read_suite(written(tmp_path, ""))
    with pytest.raises(LabError, match=r"write \[local_step\] and below it learning_rate = 0.01"):
        local_steps.asked_of(silent)
