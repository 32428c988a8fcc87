"""The two device sides on this machine with the same small models, and files of meters that move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.devices.job_bench import Bench
from tests.native.moving_meters import Moving, moved
from tests.native.native_bench import bench_of, checked_program, small_folder


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the runner compiled with checks for every wrong access, leak and undefined result."""
    return checked_program(tmp_path_factory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bench(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("native", device_workdir, folder)


@pytest.fixture(scope="module")
def agent(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("python", device_workdir, folder)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moving]:
    with moved(tmp_path_factory.mktemp("sys")) as running:
        yield running
