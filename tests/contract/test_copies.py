"""A copied file appears whole or not at all, whatever the transport and whatever happens to it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devices.virtual.openssh import small_disk
from devices.virtual.waiting import soon
from harness.errors import OutOfSpace, Stable, Transient
from harness.model import Device
from harness.ports.transports import Connection

MEGABYTE = 1_000_000
TRANSPORTS = ["local", "ssh", "openssh", "unit", "phone"]


def test_fifty_megabytes_come_back_as_they_went(connection: Connection, fifty_megabytes: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "a new folder/it's a model", tmp_path / "back"
    connection.push(fifty_megabytes, str(there))
    connection.pull(str(there), back)
    assert there.read_bytes() == fifty_megabytes.read_bytes() == back.read_bytes()
    assert [path.name for path in there.parent.iterdir()] == [there.name]


def test_a_file_that_changes_while_it_is_pulled_is_refused(
    connection: Connection, fifty_megabytes: Path, tmp_path: Path
) -> None:
    changing, back = tmp_path / "changing", tmp_path / "back"
    changing.write_bytes(fifty_megabytes.read_bytes())
    done = threading.Event()

    def change() -> None:
        with changing.open("r+b") as file:
            while not done.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(change)
        try:
            with pytest.raises(Transient, match=r"\w+: cannot .*sha256 differs, it changed meanwhile"):
                connection.pull(str(changing), back)
        finally:
            done.set()
    assert [path.name for path in tmp_path.iterdir()] == ["changing"]


def test_an_empty_file_is_a_file_too(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    connection.push(tmp_path / "empty", str(tmp_path / "there"))
    connection.pull(str(tmp_path / "there"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b""


def test_a_push_replaces_what_was_there(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("old and longer")
    (tmp_path / "new").write_text("new")
    connection.push(tmp_path / "new", str(tmp_path / "there"))
    assert (tmp_path / "there").read_text() == "new"


def test_a_full_disk_is_named_with_its_free_space_and_left_clean(
    connection: Connection, fifty_megabytes: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=3 * 1024 * 1024) as disk:
        (disk / "model.onnx").write_text("the old one")
        with pytest.raises(OutOfSpace) as caught:
            connection.push(fifty_megabytes, str(disk / "model.onnx"))
        assert [path.name for path in disk.iterdir()] == ["model.onnx"]
        assert (disk / "model.onnx").read_text() == "the old one"
    message = str(caught.value)
    assert message.startswith(tuple(f"{kind}: " for kind in TRANSPORTS))
    assert str(disk) in message
    assert "needs 50.0 MB, 3.14 MB free; free some there" in message


def test_a_full_disk_of_this_host_is_named_when_pulling(
    connection: Connection, fifty_megabytes: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=3 * 1024 * 1024) as disk:
        with pytest.raises(OutOfSpace, match=r"\w+: cannot write .*model\.onnx.* MB free; free some there"):
            connection.pull(str(fifty_megabytes), disk / "model.onnx")
        assert list(disk.iterdir()) == []


def test_a_file_that_is_not_there_is_named(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(Stable, match=r"(?i)\w+: cannot read .*nothing.*no such file.*check the path"):
        connection.pull(str(tmp_path / "nothing"), tmp_path / "back")
    with pytest.raises(Stable, match=r"(?i)\w+: cannot read .*nothing.*no such file.*check the path"):
        connection.push(tmp_path / "nothing", str(tmp_path / "there"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_refused(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("content")
    with pytest.raises(Stable, match=r"\w+: cannot write folder to .*directory"):
        connection.push(tmp_path / "file", str(tmp_path / "folder"))
    assert list((tmp_path / "folder").iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_pushed_file_is_never_seen_unfinished(connection: Connection, fifty_megabytes: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    sizes: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if there.exists():
                sizes.add(there.stat().st_size)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        connection.push(fifty_megabytes, str(there))
        assert soon(lambda: sizes)
        done.set()
        watching.result()
    assert sizes == {50 * MEGABYTE}


ONE_PUSH = """
import pickle, sys
from pathlib import Path
from harness import registry
device = pickle.loads(bytes.fromhex(sys.argv[1]))
connection = registry.load("transports", device.address.scheme, file="", key="").connect(device)
print("connected", flush=True)
connection.push(Path(sys.argv[2]), sys.argv[3])
print("pushed", flush=True)
"""


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_harness_killed_in_the_middle_of_a_push_leaves_no_half_file(
    kind: str, device_of: Callable[[str], Device], tmp_path: Path
) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(200 * MEGABYTE)
    there = tmp_path / "folder" / "there"
    device = pickle.dumps(device_of(kind)).hex()
    command = [sys.executable, "-c", ONE_PUSH, device, str(tmp_path / "source"), str(there)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        assert soon(lambda: list(there.parent.glob("*.part")))
        process.kill()
        assert process.stdout.read() == b"", "it had finished before it was killed"
    assert not there.exists()
    if kind != "local":  # on the device somebody is left to clear away
        assert soon(lambda: not list(there.parent.iterdir()))
