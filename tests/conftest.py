"""The real server that stands in for a device, for every test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, openssh


@pytest.fixture(scope="session")
def openssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give one OpenSSH server to the whole session: for tests that leave it as they found it."""
    with openssh(tmp_path_factory.mktemp("openssh") / "server") as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """Give an OpenSSH server to one test, which may harm it."""
    with openssh(tmp_path / "server") as server:
        yield server


@pytest.fixture(scope="session")
def device_workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give one workdir to the whole session, so that agent and runtimes are brought there once."""
    return tmp_path_factory.mktemp("device") / "work"
