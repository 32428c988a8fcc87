"""A runtime's list of files stays on the device: only its digest is sent, and neither list nor files are trusted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from harness import deploy
from harness.deploy import DeviceHandle, files


@pytest.fixture
def handle(openssh_server: Server) -> Iterator[DeviceHandle]:
    with DeviceHandle(openssh_server.device()) as opened:
        deploy.prepare(opened)
        yield opened


def test_the_list_on_the_device_is_used_only_if_it_is_the_right_one(handle: DeviceHandle, tmp_path: Path) -> None:
    listing = tmp_path / "runtime" / ".list"
    listing.parent.mkdir()
    wanted = {}
    for name in ("one", "two"):
        (tmp_path / "runtime" / name).write_text(name)
        wanted[str(tmp_path / "runtime" / name)] = hashlib.sha256(name.encode()).hexdigest()

    def missing() -> list[str]:
        return files.missing_of_many(handle, wanted, str(listing))

    assert missing() == []
    files.leave_list(handle, wanted, str(listing))
    assert missing() == []
    listing.write_text(json.dumps({}))
    (tmp_path / "runtime" / "two").write_text("damaged")
    assert missing() == [str(tmp_path / "runtime" / "two")], "a list that was emptied hid the damage"
    files.leave_list(handle, wanted, str(listing))
    assert missing() == [str(tmp_path / "runtime" / "two")]
