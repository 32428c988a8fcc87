"""A 32-bit ARM board: what it says of itself, and a model that runs there with the board's own numpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual import armhf
from devices.virtual.requirements import require
from harness import deploy
from harness.deploy import DeviceHandle, wheels
from harness.deploy.wheels import NoWheel
from harness.errors import Unsupported
from harness.measure import preflight
from harness.ports.runners import Target
from tests import small_models as small

BOARD = Target((3, 11), "armv7l", (2, 36))
#: Where Debian has it.
NUMPY = "/usr/lib/python3/dist-packages/numpy"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceHandle]:
    """Give a board with the agent on it."""
    require(*armhf.NEEDS)
    with armhf.armhf(tmp_path_factory.mktemp("armhf") / "board") as running:
        device = running.server.device(id="armhf", workdir=armhf.WORKDIR)
        device = dataclasses.replace(device, runtimes=(small.TFLITE,))
        with DeviceHandle(device) as handle:
            deploy.prepare(handle)
            yield handle


@pytest.mark.slow_device
def test_a_32_bit_board_is_known_by_its_abi_and_runs_the_agent(board: DeviceHandle) -> None:
    report = deploy.survey(board)
    assert board.workspace.target == BOARD
    assert str(board.workspace.target) == "cp311 on armv7l with glibc 2.36"
    assert "manylinux2014_armv7l" in board.workspace.target.platforms
    assert report["fingerprint"]["architecture"] == "armv7l"
    assert report["fingerprint"]["soc"] == "ARMv7, emulated by qemu-arm"


@pytest.mark.slow_device
def test_a_runtime_starts_with_the_boards_own_numpy_and_check_says_so(board: DeviceHandle) -> None:
    found = {one.topic: one for one in preflight.survey(board)}
    assert found[small.TFLITE].says == "starts with numpy 1.24.2 (the device's own); accelerators: xnnpack"


@pytest.mark.slow_device
def test_a_board_without_numpy_is_told_where_it_comes_from(board: DeviceHandle) -> None:
    assert board.run(["mv", NUMPY, f"{NUMPY}.away"]).code == 0
    try:
        with pytest.raises(Unsupported) as caught:
            deploy.runtime(board, small.TFLITE)
    finally:
        assert board.run(["mv", f"{NUMPY}.away", NUMPY]).code == 0
    assert str(caught.value) == (
        f"armhf: {small.TFLITE} needs numpy, of which there is no wheel for {BOARD}, and the device's Python has none "
        "of its own; run `apt install python3-numpy` there"
    )


def test_what_has_no_wheel_is_told_apart_from_a_runtime_that_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    for requirement, lacks in ((small.TFLITE, "numpy"), (small.ONNXRUNTIME, "onnxruntime")):
        with pytest.raises(NoWheel) as caught:
            wheels.bundle(requirement, ("numpy<2",), BOARD, device="board")
        assert caught.value.distribution == lacks
    # Behind the name stands where was looked for it.
    assert [file.read_text().split("\n")[0] for file in (tmp_path / "runtimes").glob("*.lacks")] == ["numpy"]


def test_pip_resolves_around_what_the_device_has_and_refuses_what_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    made = wheels.bundle(small.TFLITE, ("numpy<2",), BOARD, device="board", own={"numpy": "1.24.2"})
    assert any(name.endswith("_pywrap_tensorflow_interpreter_wrapper.so") for name in made.files)
    assert not any("numpy" in name for name in made.files)
    for version in ("2.1.0", "1.19.5"):  # newer than the harness allows, older than the runtime itself does
        with pytest.raises(
            Unsupported, match=rf"board: {small.TFLITE} does not go with the device's own numpy {version}"
        ):
            wheels.bundle(small.TFLITE, ("numpy<2",), BOARD, device="board", own={"numpy": version})
