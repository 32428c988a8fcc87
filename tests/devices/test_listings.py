"""A runtime's list of files stays on the device: only its digest is sent, and neither list nor files are trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.deploy.placing import Workspace

from devices.virtual.openssh import Server
from harness.deploy import placing
from harness.ports import Connection
from harness.runners import python
from harness.transports import ssh


@pytest.fixture
def connection(openssh_server: Server) -> Iterator[Connection]:
    opened = ssh.connect(openssh_server.device())
    yield opened
    opened.close()


@pytest.fixture
def place(connection: Connection, openssh_server: Server) -> Workspace:
    return python.install(connection, openssh_server.device(), str(openssh_server.workdir))


def test_the_list_on_the_device_is_used_only_if_it_is_the_right_one(
    connection: Connection, place: Workspace, openssh_server: Server, tmp_path: Path
) -> None:
    device, listing = openssh_server.device(), tmp_path / "runtime" / ".list"
    listing.parent.mkdir()
    wanted = {}
    for name in ("one", "two"):
        (tmp_path / "runtime" / name).write_text(name)
        wanted[str(tmp_path / "runtime" / name)] = hashlib.sha256(name.encode()).hexdigest()

    def missing() -> list[str]:
        return placing.missing_of_many(connection, device, place, wanted, str(listing))

    assert missing() == []
    placing.leave_list(connection, device, wanted, str(listing))
    assert missing() == []
    listing.write_text(json.dumps({}))
    (tmp_path / "runtime" / "two").write_text("damaged")
    assert missing() == [str(tmp_path / "runtime" / "two")], "a list that was emptied hid the damage"
    placing.leave_list(connection, device, wanted, str(listing))
    assert missing() == [str(tmp_path / "runtime" / "two")]
