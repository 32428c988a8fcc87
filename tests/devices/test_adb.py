"""Phones behind adb: real ones' daemon, shell and states, several at once, and nothing that only some of them have."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devices.virtual import adb_server
from devices.virtual.openssh import alive
from devices.virtual.phone import Phone
from devices.virtual.waiting import soon
from harness.errors import DeviceError, LabError, MissingTool, Refused, Unsupported
from harness.lab.devices import read_device
from harness.model import Address, Device
from harness.transports import adb

Start = Callable[..., AbstractContextManager[Phone]]


def greeting(device: Device, *, timeout_s: float = 15) -> str:
    connection = adb.connect(device, timeout_s=timeout_s)
    try:
        return connection.run(["echo", "hello"]).text
    finally:
        connection.close()


def interfaces() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def emulator_serial(port: int, adb_port: int) -> str:
    """Tell the adb server what an emulator tells it when it starts, and return the serial number it is given then."""
    with socket.create_connection(("127.0.0.1", adb_port), timeout=60) as plug:
        text = f"host:emulator:{port}"
        plug.sendall(f"{len(text):04x}{text}".encode())
        plug.recv(4)
    return f"emulator-{port - 1}"


def odd_port() -> int:
    """Return a free port as emulators have them; an even one below it is a console's."""
    return adb_server.free_port() | 1


def test_a_phone_starts_and_leaves_nothing_behind(start_phone: Start, tmp_path: Path) -> None:
    with start_phone(tmp_path / "phone", share=tmp_path) as running:
        assert greeting(running.device()) == "hello"
        everyone = [process.pid for process in running.machine.processes()]
        assert len(everyone) > 1
        assert running.machine.cable.interface in interfaces()
    assert not any(alive(pid) for pid in everyone)
    assert soon(lambda: running.machine.cable.interface not in interfaces())
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_phone_is_stopped_and_its_log_shown_when_a_test_fails(
    start_phone: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pids = []
    with pytest.raises(ZeroDivisionError), start_phone(tmp_path / "phone") as running:  # noqa: PT012 -- the block is the test
        pids += running.adbd()
        greeting(running.device())
        raise ZeroDivisionError
    assert len(pids) == 1
    assert not alive(pids[0])
    assert "adbd" in capsys.readouterr().out


def test_the_device_file_it_writes_is_read_by_the_lab_and_connects(android: Phone, tmp_path: Path) -> None:
    device = read_device(android.write_device(tmp_path, id="pixel"))
    assert (device.address, device.workdir, device.runner) == (
        android.device().address,
        android.device().workdir,
        "native",
    )
    assert greeting(device) == "hello"


def test_an_unknown_key_of_the_table_is_refused_with_the_nearest(android: Phone, tmp_path: Path) -> None:
    path = android.write_device(tmp_path)
    path.write_text(path.read_text() + "\n[adb]\nstal_s = 3\n")
    with pytest.raises(LabError, match=r"adb\.stal_s: .*stall_s"):
        read_device(path)


def test_the_shell_is_nobodys_root_and_has_none_of_androids_services(android: Phone) -> None:
    connection = adb.connect(android.device())
    assert connection.run(["id", "-u"]).text == "2000"
    for program in ("getprop", "dumpsys", "settings", "python3", "su"):
        assert connection.run([program]).code == 127, f"{program} is there: these tests prove nothing about its want"
    connection.close()


def test_the_usual_workdir_can_be_written_and_run_from_without_root(android: Phone, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\necho run as $(id -u)\n")
    tool = adb.workdir(android.device()) + "/a new folder/tool"
    connection = adb.connect(android.device())
    connection.push(tmp_path / "tool", tool)
    assert connection.run(["chmod", "+x", tool]).code == 0
    assert connection.run([tool]).text == "run as 2000"
    connection.close()


def test_what_the_shell_may_not_write_is_said_in_english(
    android: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    (tmp_path / "file").write_text("content")
    connection = adb.connect(android.device())
    assert connection.run(["printenv", "LC_ALL"]).text == "C"
    with pytest.raises(DeviceError, match=r"phone: cannot write file to /usr/bin: .*; check the path"):
        connection.push(tmp_path / "file", "/usr/bin/file")
    connection.close()


def test_a_serial_number_does_instead_of_an_address(start_phone: Start, adb_port: int, tmp_path: Path) -> None:
    with start_phone(tmp_path / "phone", asks=True, port=odd_port()) as running:
        assert running.gate is not None
        serial = emulator_serial(running.port, adb_port)
        device = Device("pixel", "phone", Address("adb", serial=serial))
        assert soon(running.gate.asking)
        running.gate.authorise()
        assert soon(lambda: adb_server.state(adb_port, serial) == "device")
        assert greeting(device) == "hello"
        path = tmp_path / "lab" / "devices" / "pixel.toml"
        path.parent.mkdir(parents=True)
        path.write_text(f'kind = "phone"\naddress = "adb://{serial}"\n')
        assert greeting(read_device(path)) == "hello"


def test_two_phones_are_used_at_once_and_not_mistaken(android: Phone, own_phone: Phone, tmp_path: Path) -> None:
    both = {"first": android, "second": own_phone}
    for name in both:
        (tmp_path / name).write_bytes(name.encode() + os.urandom(20_000_000))

    def use(name: str) -> bytes:
        connection = adb.connect(both[name].device(id=name))
        target = both[name].device().workdir + "/model"
        connection.push(tmp_path / name, target)
        lines = list(connection.stream(["sh", "-c", 'for i in 1 2 3; do echo "$1 $i"; done', "sh", name], silence_s=5))
        assert lines == [f"{name} {i}".encode() for i in (1, 2, 3)]
        connection.pull(target, tmp_path / f"{name}.back")
        connection.close()
        return (both[name].workdir / "model").read_bytes()

    with ThreadPoolExecutor(2) as pool:
        for name, content in zip(both, pool.map(use, both), strict=True):
            assert content == (tmp_path / name).read_bytes() == (tmp_path / f"{name}.back").read_bytes()


def test_a_phone_that_was_not_authorised_says_how_until_its_user_allows_it(asking_phone: Phone, adb_port: int) -> None:
    device, user = asking_phone.device(), asking_phone.gate
    assert user is not None
    for _ in range(2):
        with pytest.raises(Refused, match=r"phone: 127\.0\.0\.1:\d+ has not authorised this computer; unlock it and"):
            adb.connect(device)
    assert user.asking() == 1
    user.authorise()
    assert soon(lambda: adb_server.state(adb_port, asking_phone.serial) == "device")
    assert user.asking() == 0
    assert greeting(device) == "hello"


def test_an_authorised_computer_is_let_in_again_without_being_asked(asking_phone: Phone, adb_port: int) -> None:
    device, user = asking_phone.device(), asking_phone.gate
    assert user is not None
    with pytest.raises(Refused):
        adb.connect(device)
    user.authorise()
    assert soon(lambda: adb_server.state(adb_port, asking_phone.serial) == "device")
    user.hang_up()
    assert greeting(device) == "hello"
    assert user.asking() == 0


def test_the_adb_server_is_started_where_none_runs(
    android: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(adb_server.free_port())
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", port)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    try:
        assert greeting(android.device()) == "hello"
        assert greeting(android.device()) == "hello"
    finally:
        subprocess.run(["adb", "-P", port, "kill-server"], check=True, timeout=60)


def test_a_host_without_adb_is_told_what_to_install(
    android: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.free_port()))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match=r"phone: adb is not on this host; install the Debian package `adb`"):
        adb.connect(android.device())


def test_a_port_that_is_none_is_named(android: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "usb")
    with pytest.raises(DeviceError, match=r"phone: ANDROID_ADB_SERVER_PORT is 'usb', which is no port; correct or"):
        adb.connect(android.device())


def test_a_command_line_too_long_for_adb_is_refused_before_it_is_sent(android: Phone) -> None:
    connection = adb.connect(android.device())
    assert len(connection.run(["echo", "x" * 60_000]).text) == 60_000
    with pytest.raises(Unsupported, match=r"phone: the command line of `echo` has \d+ bytes, adb takes 65\d+ there"):
        connection.run(["echo", "x" * 65_536])
    connection.close()


def test_many_commands_at_once_keep_their_answers_apart(android: Phone) -> None:
    connection = adb.connect(android.device())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: connection.run(["sh", "-c", f"echo {i}; exit {i}"]), range(64)))
    assert [(done.code, done.text) for done in answers] == [(i, str(i)) for i in range(64)]
    connection.close()


def test_importing_the_transport_imports_nothing_heavy() -> None:
    program = (
        "import sys, harness.transports.adb, harness.transports.adb._attach; "
        "sys.exit(any(name in sys.modules for name in ('paramiko', 'adbutils', 'psutil')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_what_a_machine_lacks_is_named_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = "from devices.virtual.requirements import require\ndef test_it(): require('package:no-such', 'root')\n"
    (tmp_path / "test_asking.py").write_text(asking)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(tmp_path / "test_asking.py")]
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.delenv("CI", raising=False)
    skipped = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert skipped.returncode == 0
    said = re.sub(r"\s+", " ", skipped.stdout)
    assert "this machine lacks the Debian packages no-such (apt-get install no-such)" in said
    monkeypatch.setenv("CI", "1")
    failed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert failed.returncode == 1
    assert "in CI nothing may be skipped" in failed.stdout
