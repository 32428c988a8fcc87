"""A 32-bit ARM board: what it says of itself, and that the agent runs there."""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.virtual import armhf
from devices.virtual.requirements import require
from harness import provision
from harness.transports import ssh


@pytest.mark.slow_device
def test_a_32_bit_board_is_known_by_its_abi_and_runs_the_agent(tmp_path: Path) -> None:
    require(*armhf.NEEDS)
    with armhf.armhf(tmp_path / "board") as board:
        device = board.server.device(id="armhf", workdir=Path("/var/lib/edgeward"))
        connection = ssh.connect(device)
        place = provision.workspace(connection, device)
        report = provision.survey(connection, device, place)
        connection.close()
    assert str(place.target) == "cp311 on armv7l with glibc 2.36"
    assert "manylinux2014_armv7l" in place.target.platforms
    assert "armv7l" in str(report)
