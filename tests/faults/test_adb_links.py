"""What can go wrong on the way to a phone, each fault injected for real; every message names device and remedy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from devices.virtual import adb_server
from devices.virtual.openssh import small_disk
from devices.virtual.phone import Phone
from devices.virtual.waiting import runs, soon
from harness.errors import DeviceError, OutOfSpace, Refused, TimedOut, Unreachable
from harness.model import Address, Device
from harness.ports.transports import Connection
from harness.transports import adb

TICKING = ["sh", "-c", "while sleep 0.05; do echo tick; done"]


def refusal(device: Device, kind: type[DeviceError], *, timeout_s: float | None = 5) -> str:
    """Return the message with which `device` cannot be reached, after checking its form."""
    with pytest.raises(kind) as caught:
        adb.connect(device, timeout_s=timeout_s)
    message = str(caught.value)
    assert type(caught.value) is kind
    assert caught.value.device == device.id
    assert message.startswith(f"{device.id}: ")
    assert message.count("\n") <= 1
    return message


def target(phone: Phone) -> str:
    return phone.device().workdir + "/model.onnx"


@pytest.fixture
def big_file(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    return path


def test_a_serial_number_that_is_not_there_is_unreachable_and_those_seen_are_listed(android: Phone) -> None:
    adb.connect(android.device()).close()
    message = refusal(Device("pixel", "phone", Address("adb", serial="R58M123ABC")), Unreachable)
    assert "adb sees no R58M123ABC; it sees" in message
    assert f"{android.serial} (device)" in message
    assert "Correct `address`, or switch on USB debugging there" in message


def test_a_phone_that_is_switched_off_is_unreachable(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path
) -> None:
    with start_phone(tmp_path / "phone", asks=True) as running:
        device = running.device()
    message = refusal(device, Unreachable)
    assert f"adb cannot reach {running.serial} (failed to connect to" in message
    assert "Connection refused); check `address` and the network" in message


def test_a_phone_that_is_switched_off_while_adb_holds_a_link_to_it_is_unreachable(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path, adb_port: int
) -> None:
    with start_phone(tmp_path / "phone", asks=True) as running:
        assert running.gate is not None
        refusal(running.device(), Refused)
        running.gate.authorise()
        assert soon(lambda: adb_server.state(adb_port, running.serial) == "device")
    assert soon(lambda: adb_server.state(adb_port, running.serial) == "offline")
    assert "Connection refused); check `address`" in refusal(running.device(), Unreachable)


def test_a_name_that_does_not_resolve_is_unreachable(android: Phone) -> None:
    address = Address("adb", host="no-such-host.invalid", port=5555)
    message = refusal(Device("lost", "phone", address, options=android.device().options), Unreachable)
    assert "adb cannot reach no-such-host.invalid:5555 (failed to resolve host" in message


def test_an_emulator_that_hangs_is_offline(adb_port: int) -> None:
    with socket.create_server(("127.0.0.1", adb_server.free_port() | 1)) as silent:
        port = silent.getsockname()[1]
        with socket.create_connection(("127.0.0.1", adb_port), timeout=60) as plug:
            text = f"host:emulator:{port}"
            plug.sendall(f"{len(text):04x}{text}".encode())
            plug.recv(4)
        serial = f"emulator-{port - 1}"
        assert soon(lambda: adb_server.state(adb_port, serial) == "offline")
        message = refusal(Device("pixel", "phone", Address("adb", serial=serial)), Unreachable, timeout_s=10)
    assert f"{serial} is offline: adb sees it and gets no answer; wake it, plug it in again" in message


def test_a_phone_that_froze_is_timed_out_though_adb_calls_it_a_device(own_phone: Phone, adb_port: int) -> None:
    adb.connect(own_phone.device()).close()
    own_phone.signal_adbd(signal.SIGSTOP)
    assert adb_server.state(adb_port, own_phone.serial) == "device"
    message = refusal(own_phone.device(connect_timeout_s=2), TimedOut, timeout_s=None)
    assert f"{own_phone.serial} did not answer within 2 s: adb called it `device`, but that link is dead" in message
    assert "no new one comes; is it switched on, awake and in reach?" in message
    assert message.endswith("A slow one needs a longer connect_timeout_s under [adb] in devices/phone.toml")
    own_phone.signal_adbd(signal.SIGCONT)
    adb.connect(own_phone.device()).close()


def test_a_phone_back_in_reach_is_found_though_adb_holds_a_dead_link_to_it(own_phone: Phone, adb_port: int) -> None:
    adb.connect(own_phone.device()).close()
    own_phone.machine.cable.cut()
    refusal(own_phone.device(), TimedOut, timeout_s=1)
    own_phone.signal_adbd(signal.SIGKILL)  # what the phone had of the link is gone, and it cannot say so
    assert soon(own_phone.listens)
    own_phone.machine.cable.mend()
    connection = adb.connect(own_phone.device())
    assert connection.run(["echo", "hello"]).text == "hello"
    assert adb_server.state(adb_port, own_phone.serial) == "device"
    connection.close()


def test_a_withdrawn_authorisation_is_told_apart_from_a_lost_link(asking_phone: Phone, adb_port: int) -> None:
    device, user = asking_phone.device(), asking_phone.gate
    assert user is not None
    refusal(device, Refused)
    user.authorise()
    assert soon(lambda: adb_server.state(adb_port, asking_phone.serial) == "device")
    lines = adb.connect(device).stream(TICKING, silence_s=10)
    assert next(lines) == b"tick"
    user.withdraw()
    with pytest.raises(Refused, match=r"phone: .* has not authorised this computer"):
        list(lines)
    assert soon(lambda: adb_server.state(adb_port, asking_phone.serial) == "unauthorized")
    message = refusal(device, Refused)
    assert "has not authorised this computer; unlock it and allow USB debugging" in message
    user.authorise()
    assert soon(lambda: adb_server.state(adb_port, asking_phone.serial) == "device")
    adb.connect(device).close()


def test_adbd_killed_during_a_push_is_unreachable_and_leaves_no_half_file(own_phone: Phone, big_file: Path) -> None:
    connection = adb.connect(own_phone.device())
    with ThreadPoolExecutor(1) as pool:
        pushing = pool.submit(connection.push, big_file, target(own_phone))
        assert soon(lambda: list(own_phone.workdir.glob(".*.part")))
        own_phone.signal_adbd(signal.SIGKILL)
        with pytest.raises(Unreachable, match=r"phone: the connection to .* was lost during `write .*check power and"):
            pushing.result(timeout=60)
    assert soon(lambda: not list(own_phone.workdir.iterdir())), "the phone did not clear the part away"
    with pytest.raises(Unreachable, match=r"was lost during .*; connect again"):
        connection.run(["true"])
    again = adb.connect(own_phone.device())
    again.push(big_file, target(own_phone))
    assert (own_phone.workdir / "model.onnx").stat().st_size == big_file.stat().st_size
    again.close()


def test_adbd_killed_during_a_pull_leaves_no_half_file(own_phone: Phone, big_file: Path, tmp_path: Path) -> None:
    connection = adb.connect(own_phone.device())
    connection.push(big_file, target(own_phone))
    back = tmp_path / "back"
    back.mkdir()
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(connection.pull, target(own_phone), back / "model.onnx")
        assert soon(lambda: list(back.glob(".*.part")))
        own_phone.signal_adbd(signal.SIGKILL)
        with pytest.raises(Unreachable, match="phone: "):
            pulling.result(timeout=60)
    assert list(back.iterdir()) == []


def test_adbd_killed_during_a_stream_is_unreachable_at_once(own_phone: Phone) -> None:
    lines = adb.connect(own_phone.device()).stream(["sh", "-c", "echo first; sleep 76.5"], silence_s=3600)
    assert next(lines) == b"first"
    own_phone.signal_adbd(signal.SIGKILL)
    with pytest.raises(Unreachable, match=r"phone: the connection to .* was lost during `sh`"):
        next(lines)


def test_adbd_killed_during_a_run_is_unreachable_at_once(own_phone: Phone) -> None:
    connection = adb.connect(own_phone.device())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connection.run, ["sleep", "65.4"], timeout_s=3600)
        assert soon(lambda: runs("sleep", "65.4", among=own_phone.machine.processes()))
        own_phone.signal_adbd(signal.SIGKILL)
        with pytest.raises(
            Unreachable, match=r"phone: the connection to .* was lost during `sleep`.*; check power and"
        ):
            running.result()


def silent(
    phone: Phone, use: Callable[[Connection], object], *, begun: Callable[[], object], stall_s: float
) -> TimedOut:
    """Stop adbd without a word while a connection is used, once that has `begun`, and return how it ended."""
    connection = adb.connect(phone.device(stall_s=stall_s))
    with ThreadPoolExecutor(1) as pool:
        using = pool.submit(use, connection)
        assert soon(begun)
        phone.signal_adbd(signal.SIGSTOP)
        with pytest.raises(TimedOut) as caught:
            using.result(timeout=60)
    with pytest.raises(Unreachable, match="connect again"):  # given up for good: the next user need not wait as well
        connection.run(["true"], timeout_s=3600)
    connection.close()
    return caught.value


def test_a_link_that_falls_silent_during_a_push_is_given_up_in_time(own_phone: Phone, big_file: Path) -> None:
    def arriving() -> list[Path]:
        return list(own_phone.workdir.glob(".*.part"))

    error = silent(own_phone, lambda c: c.push(big_file, target(own_phone)), begun=arriving, stall_s=3)
    assert "phone: cannot write model.onnx to" in str(error)
    assert "no byte moved for 3 s; check the link, or raise stall_s in [adb]" in str(error)
    assert not (own_phone.workdir / "model.onnx").exists()
    own_phone.signal_adbd(signal.SIGCONT)
    assert soon(lambda: not list(own_phone.workdir.iterdir())), "the phone did not clear the part away"


def test_a_link_that_falls_silent_during_a_run_is_given_up_in_time(own_phone: Phone) -> None:
    late = ["sh", "-c", "sleep 65.6; echo late"]

    def begun() -> bool:
        return runs("sleep", "65.6", among=own_phone.machine.processes())

    error = silent(own_phone, lambda c: c.run(late, timeout_s=3), begun=begun, stall_s=3)
    assert "phone: `sh` did not end within 3 s" in str(error)


def test_a_link_that_falls_silent_during_a_stream_is_given_up_in_time(own_phone: Phone) -> None:
    ticks = []

    def listen(connection: Connection) -> None:
        for tick in connection.stream(TICKING, silence_s=3):
            ticks.append(tick)

    error = silent(own_phone, listen, begun=lambda: ticks, stall_s=3)
    assert "phone: `sh` was silent for 3 s" in str(error)


def test_a_cable_that_is_cut_during_a_run_is_given_up_in_time(own_phone: Phone, adb_port: int) -> None:
    connection = adb.connect(own_phone.device(stall_s=3))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connection.run, ["sleep", "65.3"], timeout_s=3)
        assert soon(lambda: runs("sleep", "65.3", among=own_phone.machine.processes()))
        own_phone.machine.cable.cut()
        with pytest.raises(TimedOut, match=r"phone: `sleep` did not end within 3 s and was given up"):
            running.result()
    assert adb_server.state(adb_port, own_phone.serial) == "device", "adb noticed: the test is void"


def test_a_command_on_a_silent_link_does_not_wait_for_ever_to_begin(own_phone: Phone) -> None:
    connection = adb.connect(own_phone.device(stall_s=3))
    own_phone.signal_adbd(signal.SIGSTOP)
    with pytest.raises(TimedOut, match=r"phone: `true` did not end within 3 s"):
        connection.run(["true"], timeout_s=3)


def test_one_phone_that_froze_does_not_hold_up_the_other(own_phone: Phone, android: Phone) -> None:
    frozen, well = adb.connect(own_phone.device(id="frozen", stall_s=3)), adb.connect(android.device(id="well"))
    own_phone.signal_adbd(signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(frozen.run, ["echo", "thawed"], timeout_s=3600)
        assert [well.run(["echo", str(i)]).text for i in range(20)] == [str(i) for i in range(20)]
        assert not waiting.done(), "the phone was not frozen: the test is void"
        own_phone.signal_adbd(signal.SIGCONT)
        assert waiting.result().text == "thawed"
    well.close()
    frozen.close()


def test_a_connection_closed_by_another_thread_ends_what_runs_on_it(android: Phone) -> None:
    connection = adb.connect(android.device())
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(connection.run, ["sleep", "65.2"], timeout_s=3600)
        assert soon(lambda: runs("sleep", "65.2", among=android.machine.processes()))
        connection.close()
        with pytest.raises(Unreachable, match=r"phone: the connection to .* was closed"):
            running.result()


def test_an_adb_server_killed_during_a_run_is_started_again(
    android: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with adb_server.adb_server(tmp_path / "adb") as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        kill = ["adb", "-P", str(port), "kill-server"]
        connection = adb.connect(android.device())
        try:
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(connection.run, ["sleep", "65.1"], timeout_s=3600)
                assert soon(lambda: runs("sleep", "65.1", among=android.machine.processes()))
                subprocess.run(kill, check=True, timeout=60)
                with pytest.raises(
                    Unreachable, match=r"together with the adb server at tcp:.*; run again, which starts"
                ):
                    running.result()
            again = adb.connect(android.device())
            assert again.run(["echo", "hello"]).text == "hello"
            again.close()
        finally:
            subprocess.run(kill, check=True, timeout=60)


def test_a_port_where_something_else_listens_than_an_adb_server_is_timed_out(
    android: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(silent_port.getsockname()[1]))
        message = refusal(android.device(), TimedOut, timeout_s=3)
    assert "which ANDROID_ADB_SERVER_PORT names does not answer; see what listens there (`ss -lntxp`)" in message


def test_a_full_disk_of_the_phone_is_named_with_its_free_space_and_left_clean(
    start_phone: Callable[..., AbstractContextManager[Phone]], tmp_path: Path
) -> None:
    (tmp_path / "model").write_bytes(os.urandom(5_000_000))
    tmp_path.chmod(0o755)
    with (
        start_phone(tmp_path / "phone", share=tmp_path) as running,
        small_disk(tmp_path / "disk", size_bytes=3 * 1024 * 1024) as disk,
    ):
        disk.chmod(0o777)
        connection = adb.connect(running.device())
        with pytest.raises(
            OutOfSpace, match=r"phone: cannot write model to .*: the disk is full, needs 5\.00 MB, 3\.1"
        ):
            connection.push(tmp_path / "model", str(disk / "model"))
        assert list(disk.iterdir()) == []
        connection.close()
