"""A closed ultrasound unit: dropbear, busybox, a shell and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pytest

from devices.virtual import unit
from devices.virtual.openssh import alive
from devices.virtual.requirements import require
from devices.virtual.unit import Unit
from devices.virtual.waiting import soon
from harness.deploy import DeviceHandle
from harness.errors import MissingTool
from harness.lab.devices import read_device
from harness.ports.transports import Connection
from harness.runners import python
from harness.transports import ssh


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unit]:
    require(*unit.NEEDS)
    with unit.unit(tmp_path_factory.mktemp("closed") / "unit") as running:
        yield running


@pytest.fixture(scope="module")
def connection(closed: Unit) -> Iterator[Connection]:
    opened = ssh.connect(closed.device())
    yield opened
    opened.close()


def test_it_starts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    require(*unit.NEEDS)
    with unit.unit(tmp_path / "unit") as running:
        ssh.connect(running.device()).close()
        everyone = [running.machine.pid, *(process.pid for process in running.machine.processes())]
        interface = Path("/sys/class/net") / running.machine.cable.interface
        assert interface.exists()
    assert not any(alive(pid) for pid in everyone)
    assert soon(lambda: not interface.exists())
    mounts = Path("/proc/mounts").read_text()
    assert str(tmp_path) not in mounts


@pytest.mark.parametrize("program", ["python3", "python", "bash", "scp", "sftp-server", "rsync"])
def test_it_has_no_such_program(connection: Connection, program: str) -> None:
    assert connection.run([program]).code == 127


def test_it_has_no_sftp(closed: Unit) -> None:
    client = paramiko.SSHClient()
    kind, text = closed.host_key.split()
    client.get_host_keys().add(closed.host, kind, paramiko.Ed25519Key(data=base64.b64decode(text)))
    client.connect(closed.host, username="root", key_filename=str(closed.identity))
    with client, pytest.raises(paramiko.SSHException, match="EOF during negotiation"):
        client.open_sftp()


def test_its_shell_is_busybox_and_it_is_a_machine_of_its_own(connection: Connection) -> None:
    assert "BusyBox" in connection.run(["sh", "-c", "busybox | head -1"]).text
    assert connection.run(["hostname"]).text == "unit"
    seen = connection.run(["sh", "-c", "echo /proc/[0-9]*"]).text.split()
    assert 2 < len(seen) < 20


def test_the_device_file_it_writes_is_read_by_the_lab_and_connects(closed: Unit, tmp_path: Path) -> None:
    device = read_device(closed.write_device(tmp_path, id="scanner", tags=["virtual"]))
    assert (device.kind, device.runner, device.tags) == ("ultrasound", "native", ("virtual",))
    opened = ssh.connect(device)
    assert opened.run(["echo", "hello"]).text == "hello"
    opened.close()


def test_the_python_runner_says_that_there_is_no_python(closed: Unit) -> None:
    refused = pytest.raises(MissingTool, match="needs python3 on the device")
    with DeviceHandle(closed.device()) as handle, refused:
        python.install(handle)


def test_dropbear_is_given_a_connection_for_each_command_at_a_time_and_all_are_closed(closed: Unit) -> None:
    before = set(closed.servers())
    connection = ssh.connect(closed.device())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda turn: connection.run(["echo", str(turn)]).text, range(80)))
    assert answers == [str(turn) for turn in range(80)]
    assert 1 < len(set(closed.servers()) - before) <= 4
    connection.close()
    assert soon(lambda: set(closed.servers()) <= before)
