"""ExecuTorch as a runtime: exported here, run by the agent on this device, and held against onnxruntime's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devices.virtual.requirements import require
from harness import deploy
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.measure.reference import ONLY_OUTPUTS, Answer, forward
from harness.model import Address, Device, InputSpec, Task
from harness.ports.recipes import Build
from harness.recipes import _host, to_executorch
from harness.recipes._inputs import prepare
from tests import small_models as small

EXECUTORCH = "executorch==1.5.1"
SPEC = InputSpec(scale=1 / 255)
DATA = Path(__file__).parents[1] / "unit" / "data"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give programs of one model: with XNNPACK, with kernels alone, cut off, and exported for a backend not here."""
    require("extra:executorch=executorch")
    folder = tmp_path_factory.mktemp("programs")
    base = small.slower(folder / "base.onnx", layers=2)
    found = {"base": base}
    for name, backend in (("xnnpack", "xnnpack"), ("kernels", "")):
        found[name] = folder / f"{name}.pte"
        job = Build(base, found[name], lambda split: pytest.fail(split), SPEC, Task("classification"))
        to_executorch.build(job, to_executorch.Options(backend))
    whole = found["xnnpack"].read_bytes()
    found["cut"], found["elsewhere"] = folder / "cut.pte", folder / "elsewhere.pte"
    found["cut"].write_bytes(whole[: len(whole) - 400])
    found["elsewhere"].write_bytes(whole.replace(b"XnnpackBackend", b"VulkanBackends"))
    return found


@pytest.fixture(scope="module")
def answers(programs: dict[str, Path], device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    images = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(images, small.samples(12)[0])
    with DeviceHandle(Device("local", "workstation", Address("local"), workdir=str(device_workdir))) as handle:
        deploy.prepare(handle)
        folder = deploy.runtime(handle, EXECUTORCH)
        names = ("xnnpack", "kernels", "cut", "elsewhere")
        what = contract.Job(
            seed=1,
            models=[contract.Model(name, str(programs[name]), "executorch", folder) for name in names],
            threads=1,
            input=contract.Input(str(images), "NCHW", SPEC.scale, [0.0], [1.0]),
            plan=ONLY_OUTPUTS,
        )
        return forward(handle, what)


def test_a_program_gives_what_onnxruntime_gives_with_and_without_a_backend(
    programs: dict[str, Path], answers: list[Answer]
) -> None:
    expected = _host.answers(programs["base"], prepare(small.samples(12)[0], SPEC))
    for answer in answers[:2]:
        assert answer.outputs is not None, answer.why_not
        np.testing.assert_allclose(answer.outputs, expected, rtol=1e-4, atol=1e-4)


def test_a_damaged_program_and_one_for_a_backend_that_is_not_here_are_their_own_errors(answers: list[Answer]) -> None:
    cut, elsewhere = answers[2:]
    assert "bytes long, and" in cut.why_not
    assert "the program was exported for VulkanBackends, which this build of executorch lacks" in elsewhere.why_not
