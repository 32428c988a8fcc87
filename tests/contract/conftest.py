"""One connection of each kind, for the contract of transports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devices.virtual import unit
from devices.virtual.openssh import Server
from devices.virtual.phone import Phone
from devices.virtual.requirements import require
from harness import registry
from harness.model import Address, Device
from harness.ports.transports import Connection

MEGABYTE = 1_000_000
#: What each kind is reached by, under the same paths as on this host: files of one are files of the other.
TRANSPORTS = ["local", "ssh", "openssh", "unit", "phone"]


@pytest.fixture(scope="package")
def closed_unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Give a unit with dropbear and busybox that sees this host's temporary files."""
    require(*unit.NEEDS)
    with unit.unit(tmp_path_factory.mktemp("unit") / "server", share=tmp_path_factory.getbasetemp()) as running:
        yield running.device()


@pytest.fixture(scope="package")
def rooted_phone(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Device]:
    """Give a phone that sees this host's temporary files; they are root's, and so is its shell."""
    folder = tmp_path_factory.mktemp("phone") / "phone"
    with start_phone(folder, root=True, share=tmp_path_factory.getbasetemp()) as running:
        yield running.device()


@pytest.fixture(scope="package")
def device_of(request: pytest.FixtureRequest, openssh_server: Server) -> Callable[[str], Device]:
    """Return a device of a kind: its id is the kind's name."""

    def device(kind: str) -> Device:
        if kind == "ssh":
            return openssh_server.device(id="ssh")
        if kind == "openssh":
            return openssh_server.by_openssh(id="openssh")
        if kind in ("unit", "phone"):
            found: Device = request.getfixturevalue({"unit": "closed_unit", "phone": "rooted_phone"}[kind])
            return found
        return Device(id="local", kind="workstation", address=Address("local"))

    return device


@pytest.fixture(scope="package")
def open_connection(device_of: Callable[[str], Device]) -> Callable[[str], Connection]:
    """Open a connection to a kind of device."""

    def connect(kind: str) -> Connection:
        device = device_of(kind)
        opened: Connection = registry.load("transports", device.address.scheme, file="", key="").connect(device)
        return opened

    return connect


@pytest.fixture(scope="module", params=TRANSPORTS)
def connection(request: pytest.FixtureRequest, open_connection: Callable[[str], Connection]) -> Iterator[Connection]:
    opened = open_connection(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="package")
def fifty_megabytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "model.onnx"
    path.write_bytes(os.urandom(50 * MEGABYTE))
    return path
