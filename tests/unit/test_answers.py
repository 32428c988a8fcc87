"""What a device prints where an answer in JSON is due: the answer is found, or the error shows what came."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.deploy import answer, checked
from harness.errors import DeviceError
from harness.model import Address, Device
from harness.ports.transports import Completed

HERE = Device("here", "sbc", Address("local"))


@pytest.mark.parametrize(
    "printed",
    [b'{"a": 1}', b'Activating lab environment\n{"a": 1}\n', b'[1]\n7\n{"a": 1}\nbye\n', b'\xff\n{"a": 1}\r\n'],
    ids=["alone", "a line before", "lines before and behind", "bytes that are no text"],
)
def test_the_answer_is_found_among_what_start_files_print(printed: bytes) -> None:
    assert answer(Completed(0, printed, b""), HERE, "the agent does not run") == {"a": 1}


@pytest.mark.parametrize("printed", [b"", b"Welcome!\n", b'{"a": ', b"[1]", b"nan"])
def test_whatever_else_came_is_a_device_error_that_shows_it(printed: bytes) -> None:
    with pytest.raises(DeviceError) as caught:
        answer(Completed(0, printed, b""), HERE, "the agent does not run")
    shown = printed.decode().strip() or "nothing"
    assert f"the agent does not run (it printed {shown} where an answer in JSON is due)" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("code", "said", "remedy"),
    [
        (1, b"mkdir: can't create directory '/x': Permission denied\n", "set workdir in dut.toml to a folder where"),
        (1, b"tar: /x: Read-only file system\n", "set workdir in dut.toml to a folder where"),
        (137, b"", "look there why it was ended (signal 9)"),
        (2, b"tar: short read\n", "run `edgeward clean dut --all`"),
    ],
    ids=["no right", "read-only", "killed", "damaged"],
)
def test_a_command_that_failed_has_the_remedy_that_its_words_call_for(code: int, said: bytes, remedy: str) -> None:
    dut = Device("dut", "sbc", Address("local"), file=Path("devices/dut.toml"))
    with pytest.raises(DeviceError) as caught:
        checked(Completed(code, b"", said), dut, "it could not be unpacked")
    assert caught.value.remedy.startswith(remedy)
