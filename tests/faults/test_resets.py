"""Devices that are there and do not answer are reset as their files say, a few times, and the report says so."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual import fleet
from devices.virtual.openssh import Server
from devices.virtual.requirements import require
from devices.virtual.waiting import soon
from harness import lab
from harness.deploy import DeviceHandle
from harness.deploy.recovery import Resets
from harness.errors import Busy, DeviceError, HostKeyMismatch, LabError, MissingTool, TimedOut, Unsupported
from harness.model import Address, Device, Recover
from harness.recoveries import uhubctl
from tests import small_models as small
from tests.faults.campaigns import Night

#: The server accepts connections (its kernel does) and never says a word; it is waited for so long, s.
HUNG = "\nconnect_timeout_s = 2\n"


def write_device(server: Server, folder: Path, recover: str, *, workdir: Path | None = None) -> Path:
    path = server.write_device(folder, runtimes=[small.ONNXRUNTIME], workdir=workdir)
    path.write_text(path.read_text() + HUNG + f"\n[recover]\nback_off_s = 0\n{recover}\n")
    return path


def counting(path: Path, then: str) -> str:
    """Return `command` of a script that notes in a file that it ran."""
    return f"command = ['sh', '-c', 'echo reset >> {path}; {then}']"


def handled(device: Device, said: list[str]) -> DeviceHandle:
    resets = Resets(device, said.append, lambda _: False)
    return DeviceHandle(device, said.append, patience_s=0, resets=resets)


def test_a_host_that_hangs_at_the_beginning_is_reset_measured_and_reported(
    own_server: Server, tmp_path: Path, device_workdir: Path
) -> None:
    counted = tmp_path / "counted"
    write_device(own_server, tmp_path, counting(counted, f"kill -CONT {own_server.pid}"), workdir=device_workdir)
    suite = small.write_suite(tmp_path, "halves", ("good", small.good))
    os.kill(own_server.pid, signal.SIGSTOP)
    night = Night(tmp_path)
    (result,) = night.measure([suite]).values()
    assert result.outcome.status == "passed"
    assert counted.read_text() == "reset\n"
    (remark,) = (text for text in night.store.runs()[0].notes["remarks"] if "reset" in text)
    assert remark.startswith("measured at attempt 2, after a reset of the device: ")
    assert "did not answer within 2 s" in remark
    assert any("resetting it by command, 1 of 2" in text for text in night.said)


def test_a_host_that_hangs_in_the_middle_is_reset_and_its_step_repeated(own_server: Server, tmp_path: Path) -> None:
    counted, said = tmp_path / "counted", list[str]()
    again = f"pkill -CONT -P {own_server.pid}; kill -CONT {own_server.pid}"
    device = lab.read_device(write_device(own_server, tmp_path, counting(counted, again)))
    with handled(device, said) as handle:
        assert handle.run(["echo", "before"]).text.strip() == "before"
        os.kill(own_server.pid, signal.SIGSTOP)
        own_server.signal_sessions(signal.SIGKILL)
        assert handle.run(["echo", "behind"]).text.strip() == "behind"
    assert counted.read_text() == "reset\n"


@pytest.mark.usefixtures("no_jobs")
def test_a_host_that_a_reset_starts_afresh_measures_its_group_once_more(tmp_path: Path, device_workdir: Path) -> None:
    require(*fleet.NEEDS)
    suite, asked = small.write_suite(tmp_path, "halves", ("good", small.good)), tmp_path / "asked"
    with fleet.fleet(tmp_path / "hosts", ["h1"]) as (host,):
        command = f"command = ['sh', '-c', 'touch {asked}; while test -e {asked}; do sleep 0.1; done']"
        write_device(host.server, tmp_path, command, workdir=device_workdir)
        night, cut = Night(tmp_path), list[str]()

        def outlet() -> None:
            assert soon(asked.exists, within_s=300)
            host.restart()
            host.cable.mend()
            asked.unlink()

        def when(text: str) -> None:
            if text.startswith("timed pass: launch 1") and not cut:
                cut.append(text)
                host.server.signal_sessions(signal.SIGKILL)
                host.cable.cut()

        with ThreadPoolExecutor(1) as pool:
            switched = pool.submit(outlet)
            (result,) = night.measure([suite], when, patience_s=8.0).values()
            switched.result()
    assert result.outcome.status == "passed", result.error
    (run,) = night.store.runs()
    (remark,) = (text for text in run.notes["remarks"] if "reset" in text)
    assert remark.startswith("measured at attempt 2, after a reset of the device: ")
    assert any("measuring it again (a reset started it afresh while it measured" in text for text in night.said)


def test_a_device_that_stays_away_is_reset_as_often_as_its_file_says_and_no_more(
    own_server: Server, tmp_path: Path
) -> None:
    counted, said = tmp_path / "counted", list[str]()
    device = lab.read_device(write_device(own_server, tmp_path, f"attempts = 3\n{counting(counted, 'true')}"))
    os.kill(own_server.pid, signal.SIGSTOP)
    with pytest.raises(TimedOut, match=r"did not answer within 2 s; it was reset 3 times in this campaign") as caught:
        handled(device, said)
    assert caught.value.remedy
    assert counted.read_text() == "reset\n" * 3


def test_what_cannot_pass_by_itself_is_never_reset(own_server: Server, tmp_path: Path) -> None:
    counted, said = tmp_path / "counted", list[str]()
    path = write_device(own_server, tmp_path, counting(counted, "true"))
    path.write_text(path.read_text().replace(own_server.host_key[-20:], "A" * 20))
    with pytest.raises(HostKeyMismatch):
        handled(lab.read_device(path), said)
    resets = Resets(lab.read_device(path), said.append, lambda _: False)
    assert not resets.reset(Busy("somebody measures", device="openssh"))
    assert not counted.exists()
    assert not said


@pytest.mark.parametrize(
    ("recover", "kind", "tried", "text"),
    [
        ('command = ["no-such-program"]', MissingTool, 1, "there is no program no-such-program on this host"),
        ('command = ["sh", "-c", "echo outlet 7 is stuck; exit 3"]', None, 2, "sh ended with 3 (outlet 7 is stuck)"),
        ('limit_s = 0.2\ncommand = ["sleep", "60"]', None, 2, "sleep did not end within 0.2 s"),
    ],
)  # fmt: skip
def test_a_reset_that_fails_says_how_and_is_tried_again_only_if_it_may_pass(
    recover: str, kind: type[DeviceError] | None, tried: int, text: str, own_server: Server, tmp_path: Path
) -> None:
    said = list[str]()
    device = lab.read_device(write_device(own_server, tmp_path, recover))
    resets = Resets(device, said.append, lambda _: False)
    lost = TimedOut("it did not answer", device=device.id, remedy="look")
    more = [resets.reset(lost) for _ in range(4)]
    assert more == [kind is None, False, False, False]
    assert sum("resetting it" in line for line in said) == tried
    explained = resets.explained(lost)
    assert explained.text == f"it did not answer; its reset failed, too: {text}"
    assert explained.remedy
    assert not resets.remark()


def test_resets_wait_ever_longer_and_end_with_the_campaign() -> None:
    pauses = list[float]()

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 4

    recover = Recover("command", {"command": ["true"]}, attempts=9, back_off_s=200.0)
    device = Device("pi5", "sbc", Address("ssh", host="pi5"), recover=recover)
    resets = Resets(device, lambda _: None, pause)
    more = [resets.reset(TimedOut("it is silent", device="pi5")) for _ in range(5)]
    assert more == [True, True, True, True, False]
    for seconds, longest in zip(pauses, (200, 400, 600, 600), strict=True):
        assert longest / 2 <= seconds <= longest


def test_the_real_uhubctl_says_that_there_is_no_such_hub() -> None:
    require("package:uhubctl=uhubctl")
    options = uhubctl.Options(location="99-9", port=3, off_s=2.5)
    assert uhubctl.command(options) == [
        "uhubctl", "--location", "99-9", "--ports", "3", "--action", "cycle", "--delay", "2.5",
    ]  # fmt: skip
    with pytest.raises(Unsupported, match="uhubctl finds no hub at 99-9 whose ports it can switch") as caught:
        uhubctl.reset(options, "pixel", 10.0)
    assert "write the location that it lists" in caught.value.remedy


@pytest.mark.parametrize(
    ("recover", "message"),
    [
        ("attempts = 2", "recover: names no way to reset the device; write one of command,.* uhubctl"),
        ('command = ["a"]\nuhubctl = { location = "1-1", port = 3 }', "names several ways .*; keep one of"),
        ('comand = ["a"]', r"recover\.comand: unknown key; did you mean 'command'"),
        ("command = []", "command names no program: write command ="),
        ('command = "reboot"', r"recover\.command: "),
        ('uhubctl = { location = "1-1; reboot", port = 3 }', "location is no hub"),
        ('uhubctl = { location = "1-1", port = 0 }', "port must be 1 or more"),
        ('uhubctl = { location = "1-1", prt = 3 }', r"recover\.uhubctl\.prt: unknown key; did you mean 'port'"),
        ('attempts = 0\ncommand = ["a"]', r"recover\.attempts: .*greater than or equal to 1"),
    ],
)  # fmt: skip
def test_a_wrong_table_names_its_key_and_what_to_write(recover: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "devices" / "pi5.toml"
    path.parent.mkdir()
    path.write_text(f'kind = "sbc"\naddress = "ssh://pi5"\n[recover]\n{recover}\n')
    with pytest.raises(LabError, match=message):
        lab.read_device(path)
