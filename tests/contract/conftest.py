"""One connection of each kind, for the contract of transports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from harness.model import Address, Device
from harness.ports import Connection
from harness.transports import local, ssh

MEGABYTE = 1_000_000
TRANSPORTS = ["local", "ssh"]


@pytest.fixture(scope="module")
def open_connection(openssh_server: Server) -> Callable[[str], Connection]:
    """Open a connection of a kind: the device's id is the kind's name."""

    def connect(kind: str) -> Connection:
        if kind == "ssh":
            return ssh.connect(openssh_server.device(id="ssh"))
        return local.connect(Device(id="local", kind="workstation", address=Address("local")))

    return connect


@pytest.fixture(scope="module", params=TRANSPORTS)
def connection(request: pytest.FixtureRequest, open_connection: Callable[[str], Connection]) -> Iterator[Connection]:
    opened = open_connection(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def fifty_megabytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "model.onnx"
    path.write_bytes(os.urandom(50 * MEGABYTE))
    return path
