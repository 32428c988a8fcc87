"""One measurer per device, held on the device itself; the same on this machine and over SSH."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from harness.deploy.link import Link, leased

from devices.virtual.openssh import Server
from harness import lab
from harness.errors import Busy
from harness.leases import file as lease
from harness.model import Address, Device


@pytest.fixture(params=["local", "ssh"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Link]:
    """Give a way onto this machine and onto the OpenSSH server."""
    if request.param == "local":
        device = Device("here", "workstation", Address("local"))
    else:
        server: Server = request.getfixturevalue("openssh_server")
        (tmp_path / "lab" / "devices").mkdir(parents=True)
        (tmp_path / "lab" / "suites").mkdir()
        server.write_device(tmp_path / "lab")
        device = lab.select(tmp_path / "lab", ["all"])[0]
    opened = Link(device)
    yield opened
    opened.close()


def test_the_second_measurer_is_told_who_the_first_is(link: Link, tmp_path: Path) -> None:
    root = str(tmp_path / "work")
    lease.take(link.connection, link.device, root, "ada@clinic")
    with pytest.raises(Busy, match=r"ada@clinic is measuring on it; wait, or remove .*/lease"):
        lease.take(link.connection, link.device, root, "grace@lab")
    assert lease.holder(link.connection, root) == "ada@clinic"
    lease.free(link.connection, root)
    assert lease.holder(link.connection, root) == ""
    lease.take(link.connection, link.device, root, "grace@lab")
    assert lease.holder(link.connection, root) == "grace@lab"


def test_a_lease_whose_holder_is_gone_is_taken_over(link: Link, tmp_path: Path) -> None:
    root = tmp_path / "work"
    lease.take(link.connection, link.device, str(root), "ada@clinic")
    long_ago = time.time() - (lease.EXPIRY_MIN + 1) * 60
    os.utime(root / "lease" / "beat", (long_ago, long_ago))
    lease.take(link.connection, link.device, str(root), "grace@lab")
    assert (root / "lease" / "owner").read_text() == "grace@lab"
    assert [path.name for path in root.iterdir()] == ["lease"]


def test_a_lease_of_a_process_that_was_killed_is_taken_at_once(link: Link, tmp_path: Path) -> None:
    link.device = replace(link.device, workdir=str(tmp_path / "work"))
    script = f"""
import os
from harness.deploy.link import Link, leased
from harness.model import Address, Device
link = Link(Device("here", "workstation", Address("local"), workdir={str(tmp_path / "work")!r}))
with leased(link, print):
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "work" / "lease").exists()
    said: list[str] = []
    with leased(link, said.append):
        assert str(os.getpid()) in (tmp_path / "work" / "lease" / "owner").read_text()
    assert said == []
    assert not (tmp_path / "work" / "lease").exists()


def test_a_measurer_waits_for_the_one_before(link: Link, tmp_path: Path) -> None:
    link.device = replace(link.device, workdir=str(tmp_path / "work"))
    said: list[str] = []

    def free_the_way(text: str) -> None:
        said.append(text)
        lease.free(link.connection, str(tmp_path / "work"))

    lease.take(link.connection, link.device, str(tmp_path / "work"), "ada@clinic")
    with leased(link, free_the_way):
        assert "ada@clinic is measuring on it" in said[0]


def test_a_link_that_dies_before_the_end_does_not_leave_the_device_held(own_server: Server) -> None:
    link = Link(own_server.device())
    said: list[str] = []
    with leased(link, said.append):
        assert (own_server.workdir / "lease" / "owner").exists()
        own_server.signal_sessions(signal.SIGKILL)
    link.close()
    assert not (own_server.workdir / "lease").exists()


def test_a_link_given_up_while_the_device_is_let_go_does_not_leave_it_held(own_server: Server) -> None:
    for _ in range(5):
        link = Link(own_server.device())
        with leased(link, print):
            threading.Timer(0.01, link.give_up).start()
        link.close()
        assert not (own_server.workdir / "lease").exists()
