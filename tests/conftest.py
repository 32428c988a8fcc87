"""The real server that stands in for a device, for every test that wants one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devices.virtual import adb_server, phone
from devices.virtual.foreign_root import RootError
from devices.virtual.openssh import Server, openssh
from devices.virtual.phone import Phone
from devices.virtual.requirements import Lacking, give_up, require

# What tests start is the same code hundreds of times: one compilation of it is enough.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Several processes of tests share the processors: a library that takes all of them for itself makes each one wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What tests start are sessions of their own: pytest-benchmark measures nothing where it believes that it is not alone.
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
    del os.environ[_name]
# Several processes of tests run side by side on this machine, which is one device: each has leases of its own.
_LEASES = tempfile.TemporaryDirectory(prefix="edgeward-leases-")
os.environ["EDGEWARD_LEASES"] = _LEASES.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip a test whose device this machine cannot start, and say why; in CI it fails."""
    try:
        return (yield)
    except Lacking as error:
        give_up(str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Do the same for a test that starts the device itself."""
    try:
        return (yield)
    except Lacking as error:
        give_up(str(error))


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


@pytest.fixture(scope="session")
def proposals() -> None:
    """Ask for what proposes a search's candidates; in CI it may not be missing."""
    require("extra:search=optuna")


@pytest.fixture
def no_jobs(device_workdir: Path) -> None:
    """Clear the session's workdir of the jobs that other tests drove by hand and left there."""
    shutil.rmtree(device_workdir / "jobs", ignore_errors=True)


@pytest.fixture(scope="session")
def adb_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give one adb server of its own to the whole session, which every adb:// address then goes through."""
    require(*adb_server.NEEDS)
    with adb_server.adb_server(tmp_path_factory.mktemp("adb")) as port, pytest.MonkeyPatch.context() as patch:
        for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_SERIAL"):  # they would go before it
            patch.delenv(name, raising=False)
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        yield port


@pytest.fixture(scope="session")
def start_phone(adb_port: int) -> Callable[..., AbstractContextManager[Phone]]:
    """Give the means to start a phone, here where it can be started and reached."""
    assert adb_port
    require(*phone.NEEDS)
    try:
        phone.userland()
    except RootError as error:
        give_up(f"no phone can be started: {error}")
    return phone.phone


@pytest.fixture(scope="session")
def android(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Phone]:
    """Give one phone to the whole session: for tests that leave it as they found it."""
    with start_phone(tmp_path_factory.mktemp("phone") / "phone") as running:
        yield running


@pytest.fixture
def own_phone(start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path) -> Iterator[Phone]:
    """Give a phone to one test, which may harm it."""
    with start_phone(tmp_path / "phone") as running:
        yield running


@pytest.fixture
def asking_phone(start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path) -> Iterator[Phone]:
    """Give a phone that asks for authorisation to one test, which is its user."""
    with start_phone(tmp_path / "phone", asks=True) as running:
        yield running
