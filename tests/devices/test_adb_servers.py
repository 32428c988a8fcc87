"""The adb server is the one that adb itself would use: never a second one beside it, never one ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import psutil
import pytest

from devices.virtual import adb_server
from devices.virtual.adb_listing import Line, listing
from devices.virtual.phone import Phone
from devices.virtual.streams import relay
from devices.virtual.waiting import soon
from harness.errors import DeviceError, Refused, TimedOut, Unreachable
from harness.model import Address, Device
from harness.transports import adb

VARIABLES = ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT", "ANDROID_SERIAL")
NOBODY = Device("phone", "phone", Address("adb", serial="R58M123ABC"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home to every adb server that this test starts, and an environment that names none."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def servers(home: Path) -> list[int]:
    """Return the adb servers that were started with a home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "adb" and process.environ().get("HOME") == str(home):
                found.append(process.pid)
    return found


def hello(device: Device) -> str:
    connection = adb.connect(device)
    try:
        return connection.run(["echo", "hello"]).text
    finally:
        connection.close()


def refusal(kind: type[DeviceError], *, device: Device = NOBODY, timeout_s: float = 30) -> str:
    with pytest.raises(kind) as caught:
        adb.connect(device, timeout_s=timeout_s)
    assert type(caught.value) is kind
    assert caught.value.remedy
    return str(caught.value)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory, adb_port: int) -> Iterator[int]:
    """Give the port of a server that a user started: another one than the tests' own."""
    assert adb_port
    with adb_server.adb_server(tmp_path_factory.mktemp("user")) as port:
        yield port


@pytest.mark.parametrize(
    "variables",
    [
        {"ADB_SERVER_SOCKET": "tcp:{port}"},
        {"ADB_SERVER_SOCKET": "tcp:localhost:{port}", "ANDROID_ADB_SERVER_PORT": "1"},
        {"ADB_SERVER_SOCKET": "tcp:127.0.0.1:{port}", "ANDROID_ADB_SERVER_ADDRESS": "no-such-host.invalid"},
        {"ANDROID_ADB_SERVER_ADDRESS": "127.0.0.1", "ANDROID_ADB_SERVER_PORT": "{port}"},
        {"ANDROID_ADB_SERVER_ADDRESS": "localhost", "ANDROID_ADB_SERVER_PORT": "{port}"},
        {"ANDROID_ADB_SERVER_PORT": "{port}", "ANDROID_SERIAL": "nobody"},
    ],
    ids=lambda variables: " ".join(f"{name}={value}" for name, value in variables.items()),
)
def test_the_servers_place_is_what_adb_takes_for_it(
    variables: dict[str, str], users: int, android: Phone, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(port=users))
    assert hello(android.device()) == "hello"
    assert servers(home) == []
    listed = subprocess.run(["adb", "devices"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"{android.serial}\tdevice" in listed
    assert servers(home) == [], "adb itself takes another place: the test is void"


@pytest.mark.parametrize("spec", ["localfilesystem:{home}/adb.socket", "localabstract:{home}", "tcp:localhost:{port}"])
def test_a_server_is_started_where_adb_would_start_it_and_then_used_by_adb_too(
    spec: str, android: Phone, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", spec.format(home=home, port=adb_server.free_port()))
    try:
        assert hello(android.device()) == "hello"
        assert hello(android.device()) == "hello"
        started = servers(home)
        assert len(started) == 1
        listed = subprocess.run(["adb", "devices"], capture_output=True, text=True, check=True, timeout=60).stdout
        assert f"{android.serial}\tdevice" in listed
        assert servers(home) == started
        assert psutil.Process(started[0]).ppid() != os.getpid(), "it would end, or be a zombie, with this program"
    finally:
        subprocess.run(["adb", "kill-server"], check=True, timeout=60)
    assert soon(lambda: servers(home) == [])


def test_a_server_on_another_machine_is_used_and_never_started(
    users: int, android: Phone, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = str(IPv4Address(android.machine.cable.address) - 1)  # an address that is not loopback's
    with relay(("127.0.0.1", users), host=here) as way:
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"tcp:{here}:{way.port}")
        assert hello(android.device()) == "hello"
        gone = way.port
    message = refusal(Unreachable)
    assert f"phone: no adb server answers at tcp:{here}:{gone}, which ADB_SERVER_SOCKET names (" in message
    assert "Connection refused); start it on that machine (`adb -a nodaemon server`)" in message
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:no-such-host.invalid:5037")
    assert "no adb server answers at tcp:no-such-host.invalid:5037" in refusal(Unreachable)
    assert servers(home) == []


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ADB_SERVER_SOCKET", "", "it is none of tcp:PORT, tcp:HOST:PORT, localfilesystem:PATH and"),
        ("ADB_SERVER_SOCKET", "vsock:2:5037", "it is none of tcp:PORT"),
        ("ADB_SERVER_SOCKET", "localfilesystem:", "it is none of tcp:PORT"),
        ("ADB_SERVER_SOCKET", "tcp:localhost", "it is neither tcp:PORT nor tcp:HOST:PORT"),
        ("ADB_SERVER_SOCKET", "tcp:99999", "'99999' behind the colon is no port"),
        ("ADB_SERVER_SOCKET", "tcp:::1:5037", "several colons; an IPv6 address stands in brackets"),
        ("ANDROID_ADB_SERVER_ADDRESS", "", "'' is no host"),
        ("ANDROID_ADB_SERVER_PORT", "99999", "which is no port"),
        ("ANDROID_ADB_SERVER_PORT", "²", "which is no port"),
    ],
)
def test_a_place_that_is_none_is_refused_by_the_variable_that_names_it(
    name: str, value: str, why: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    message = refusal(Refused)
    assert message.startswith(f"phone: {name} ")
    assert why in message
    assert message.endswith("; correct or unset it")
    assert servers(home) == []


@pytest.mark.parametrize("version", ["0028", "002a"])
def test_a_server_that_this_hosts_adb_would_end_is_refused_and_lives(
    version: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listing(Line("R58M123ABC"), version=version) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        message = refusal(Refused)
        assert server.asked == ["host:version"]
        assert f"tcp:{server.port}, which ANDROID_ADB_SERVER_PORT names is of version {int(version, 16)} and" in message
        assert "of version 41: any command of the latter ends that server, and what is measured through it" in message
    assert servers(home) == []


def test_a_server_of_another_version_is_used_where_no_adb_is_that_could_end_it(
    android: Phone, adb_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello(android.device())
    with listing(Line("R58M123ABC", real=android.serial), behind=adb_port, version="0028") as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.port))
        monkeypatch.setenv("PATH", str(tmp_path))
        assert hello(NOBODY) == "hello"
        assert "host:kill" not in server.asked


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answers b'HTTP', which no adb server does"),
        (b"OKAYzzzz", "it answers b'zzzz', which no adb server does"),
        (b"OKAY0004cats", "its version is 'cats'"),
        (b"", "it hung up in the middle of an answer"),
    ],
)
def test_what_is_no_adb_server_is_named_and_no_other_is_started(
    answer: bytes, why: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> None:
        plug = listener.accept()[0]
        with plug:
            plug.recv(1 << 10)
            plug.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listener.getsockname()[1]))
        message = refusal(Unreachable)
        serving.join()
    assert f"names is no adb server that works ({why}); see what it is (`ss -lntxp`)" in message
    assert servers(home) == []


def test_a_file_where_the_servers_socket_should_be_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "notes").write_text("mine")
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{home}/notes")
    assert f"localfilesystem:{home}/notes, which ADB_SERVER_SOCKET names is no socket" in refusal(Refused)
    assert (home / "notes").read_text() == "mine"
    assert servers(home) == []


def test_a_server_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{home}/no/socket")
    message = refusal(Unreachable)
    assert f"phone: the adb server did not start at localfilesystem:{home}/no/socket, which" in message
    assert "could not install *smartsocket* listener" in message
    assert f"run `adb -L localfilesystem:{home}/no/socket nodaemon server`, which says why" in message
    assert servers(home) == []


def test_a_socket_where_nobody_answers_is_given_up_in_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{home}/silent")
        silent.listen()
        monkeypatch.setenv("ADB_SERVER_SOCKET", f"localfilesystem:{home}/silent")
        message = refusal(TimedOut, timeout_s=0.5)
    assert "silent, which ADB_SERVER_SOCKET names does not answer; see what listens there" in message
    assert servers(home) == []


def test_several_devices_at_once_start_one_server(android: Phone, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.free_port()))
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(hello(android.device()))) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == ["hello"] * 4
        assert soon(lambda: len(servers(home)) == 1)
    finally:
        subprocess.run(["adb", "kill-server"], check=True, timeout=60)
