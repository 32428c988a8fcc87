"""Whatever the transport, a command and a copy behave the same: one body per promise, run on every connection."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from devices.virtual.openssh import Server, small_disk
from harness import registry
from harness.errors import DeviceError, OutOfSpace, Stable, TimedOut, Transient
from harness.model import Address, Device
from harness.ports import Connection
from harness.transports import local, ssh

MEGABYTE = 1_000_000
TRANSPORTS = ["local", "ssh"]


@pytest.fixture(scope="module")
def open_connection(openssh_server: Server) -> Callable[[str], Connection]:
    """Open a connection of a kind: the device's id is the kind's name."""

    def connect(kind: str) -> Connection:
        if kind == "ssh":
            return ssh.connect(openssh_server.device(id="ssh"))
        return local.connect(Device(id="local", kind="workstation", address=Address("local")))

    return connect


@pytest.fixture(scope="module", params=TRANSPORTS)
def connection(request: pytest.FixtureRequest, open_connection: Callable[[str], Connection]) -> Iterator[Connection]:
    opened = open_connection(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def fifty_megabytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "model.onnx"
    path.write_bytes(os.urandom(50 * MEGABYTE))
    return path


def processes_with(word: str) -> list[str]:
    """Return the command lines of living processes that hold `word`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if word in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(words))
    return found


def unique_nap() -> str:
    """Return seconds that no other process on this machine sleeps, so that it can be told apart."""
    return f"60.{secrets.randbelow(10**9):09}"


def none_left(find: Callable[[], object], *, within_s: float = 3.0) -> bool:
    """Return whether `find` finds nothing any more, soon."""
    ends_at = time.monotonic() + within_s
    while find():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.02)
    return True


def test_every_transport_of_the_room_is_in_this_contract_or_has_its_own() -> None:
    assert set(TRANSPORTS) <= set(registry.names("transports"))


def test_exit_code_and_both_streams_come_back_apart(connection: Connection) -> None:
    done = connection.run(["sh", "-c", "echo out; echo err >&2; exit 42"])
    assert (done.code, done.out, done.err) == (42, b"out\n", b"err\n")


@pytest.mark.parametrize(
    "argument",
    [
        "two words",
        "it's",
        'a "quote"',
        "$HOME `id` $(id)",
        "new\nline",
        "ähnlich 超声",
        "back\\slash",
        "*",
        "",
        "-n",
        "a;b|c&d>e",
        "!x",
        "~",
    ],
)
def test_an_argument_survives_whatever_is_in_it(connection: Connection, argument: str) -> None:
    assert connection.run(["printf", "%s|%s", argument, "next"]).out == f"{argument}|next".encode()


def test_a_missing_program_gives_127_and_says_which(connection: Connection) -> None:
    done = connection.run(["edgeward-no-such-program"])
    assert done.code == 127
    assert b"edgeward-no-such-program" in done.err


def test_a_program_that_may_not_run_gives_126(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    assert connection.run([str(tmp_path / "plain")]).code == 126


def test_a_killed_program_gives_128_and_its_signal(connection: Connection) -> None:
    assert connection.run(["sh", "-c", "kill -9 $$"]).code == 137


def test_binary_input_arrives_as_it_is(connection: Connection) -> None:
    content = bytes(range(256)) * 4096
    assert connection.run(["cat"], stdin=content).out == content


def test_input_may_be_an_open_file(connection: Connection, fifty_megabytes: Path) -> None:
    with fifty_megabytes.open("rb") as file:
        file.seek(40 * MEGABYTE)
        done = connection.run(["sha256sum"], stdin=file)
    wanted = hashlib.sha256(fifty_megabytes.read_bytes()[40 * MEGABYTE :]).hexdigest()
    assert done.text.split()[0] == wanted


def test_input_that_cannot_be_read_to_its_end_is_not_taken_for_whole(connection: Connection, tmp_path: Path) -> None:
    script = 'cat > "$1"; touch "$2"'
    said = r"(local|ssh): cannot read what `sh` is to be given: .*Input/output error"
    with (
        Path("/proc/self/mem").open("rb") as broken,
        pytest.raises(Stable, match=said),
    ):  # its first page cannot be read
        connection.run(["sh", "-c", script, "sh", str(tmp_path / "got"), str(tmp_path / "done")], stdin=broken)
    time.sleep(0.1)
    assert not (tmp_path / "done").exists()


def test_a_program_that_does_not_read_its_input_ends_all_the_same(connection: Connection) -> None:
    assert connection.run(["true"], stdin=io.BytesIO(bytes(20 * MEGABYTE)), timeout_s=10).code == 0


def test_much_output_on_both_streams_does_not_deadlock(connection: Connection) -> None:
    script = "head -c 8000000 /dev/zero >&2; head -c 8000000 /dev/zero; head -c 8000000 /dev/zero >&2"
    done = connection.run(["sh", "-c", script], timeout_s=30)
    assert (len(done.out), len(done.err)) == (8_000_000, 16_000_000)


def test_a_passed_deadline_kills_the_program_and_its_children(connection: Connection) -> None:
    nap = unique_nap()
    started = time.monotonic()
    with pytest.raises(TimedOut, match=r"(local|ssh): `sh` did not end within 0\.5 s .*allow it more time"):
        connection.run(["sh", "-c", f"sleep {nap} & sleep {nap}; echo never"], timeout_s=0.5)
    assert time.monotonic() - started < 3
    assert none_left(lambda: processes_with(nap))
    assert connection.run(["echo", "still here"]).text == "still here"


def test_a_stream_yields_each_line_as_it_comes(connection: Connection) -> None:
    arrived = []
    for line in connection.stream(
        ["sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done; printf end"], silence_s=5
    ):
        arrived.append((line, time.monotonic()))
    assert [line for line, _ in arrived] == [b"line 1", b"line 2", b"line 3", b"end"]
    gaps = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(arrived)]
    assert all(gap > 0.15 for gap in gaps), "lines were kept back and came together"


def test_a_long_stream_loses_no_line_while_its_reader_is_slow(connection: Connection) -> None:
    count = 0
    for count, line in enumerate(connection.stream(["seq", "1", "200000"], silence_s=10), start=1):
        assert line == b"%d" % count
        if count % 50_000 == 0:
            time.sleep(0.1)
    assert count == 200_000


def test_a_silent_stream_ends_with_its_program_killed(connection: Connection) -> None:
    nap = unique_nap()
    lines = connection.stream(["sh", "-c", f"echo first; sleep {nap}"], silence_s=0.5)
    assert next(lines) == b"first"
    with pytest.raises(TimedOut, match=r"(local|ssh): `sh` was silent for 0\.5 s"):
        next(lines)
    assert none_left(lambda: processes_with(nap))


def test_leaving_a_stream_early_kills_its_program(connection: Connection) -> None:
    script = f"while :; do echo tick; sleep 0.1; done # {unique_nap()}"
    lines = connection.stream(["sh", "-c", script], silence_s=5)
    assert next(lines) == b"tick"
    lines.close()  # type: ignore[attr-defined]
    assert none_left(lambda: processes_with(script))


def test_a_stream_that_fails_says_so_after_its_last_line(connection: Connection) -> None:
    lines = connection.stream(["sh", "-c", "echo one; echo broken >&2; exit 3"], silence_s=5)
    assert next(lines) == b"one"
    with pytest.raises(DeviceError, match=r"(local|ssh): `sh` ended with code 3: broken"):
        next(lines)


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
            with pytest.raises(Transient, match=r"(local|ssh): cannot .*sha256 differs, it changed meanwhile"):
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
    assert message.startswith(("local: ", "ssh: "))
    assert str(disk) in message
    assert "needs 50.0 MB, 3.14 MB free; free some there" in message


def test_a_full_disk_of_this_host_is_named_when_pulling(
    connection: Connection, fifty_megabytes: Path, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size_bytes=3 * 1024 * 1024) as disk:
        with pytest.raises(OutOfSpace, match=r"(local|ssh): cannot write .*model\.onnx.* MB free; free some there"):
            connection.pull(str(fifty_megabytes), disk / "model.onnx")
        assert list(disk.iterdir()) == []


def test_a_file_that_is_not_there_is_named(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(Stable, match=r"(local|ssh): cannot read .*nothing.*No such file.*check the path"):
        connection.pull(str(tmp_path / "nothing"), tmp_path / "back")
    with pytest.raises(Stable, match=r"(local|ssh): cannot read .*nothing.*No such file.*check the path"):
        connection.push(tmp_path / "nothing", str(tmp_path / "there"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_refused(connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("content")
    with pytest.raises(Stable, match=r"(local|ssh): cannot write folder to .*directory"):
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
        time.sleep(0.05)
        done.set()
        watching.result()
    assert sizes == {50 * MEGABYTE}


ONE_PUSH = """
import sys
from pathlib import Path
from harness.model import Address, Device
from harness.transports import local, ssh
kind, port, user, host_key, identity, source, target = sys.argv[1:]
options = {"host_key": host_key, "identity": identity}
device = Device("killed", "workstation", Address("ssh", "127.0.0.1", user, int(port)), options=options)
connection = ssh.connect(device) if kind == "ssh" else local.connect(device)
print("connected", flush=True)
connection.push(Path(source), target)
print("pushed", flush=True)
"""


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_harness_killed_in_the_middle_of_a_push_leaves_no_half_file(
    kind: str, openssh_server: Server, tmp_path: Path
) -> None:
    with (tmp_path / "source").open("wb") as file:
        file.truncate(200 * MEGABYTE)
    there = tmp_path / "folder" / "there"
    arguments = [kind, openssh_server.port, openssh_server.user, openssh_server.host_key, openssh_server.identity]
    command = [sys.executable, "-c", ONE_PUSH, *map(str, arguments), str(tmp_path / "source"), str(there)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"connected\n"
        ends_at = time.monotonic() + 10
        while not list(there.parent.glob("*.part")):
            assert time.monotonic() < ends_at
        process.kill()
        assert process.stdout.read() == b"", "it had finished before it was killed"
    assert not there.exists()
    if kind == "ssh":  # on the device somebody is left to clear away
        assert none_left(lambda: list(there.parent.iterdir()))


def test_two_threads_share_a_connection(connection: Connection, fifty_megabytes: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(connection.push, fifty_megabytes, str(tmp_path / "there"))
        answers = [connection.run(["echo", str(i)]).text for i in range(30)]
        pushing.result()
    assert answers == [str(i) for i in range(30)]
    assert (tmp_path / "there").stat().st_size == 50 * MEGABYTE


@pytest.mark.parametrize("kind", TRANSPORTS)
def test_a_closed_connection_may_be_closed_again(kind: str, open_connection: Callable[[str], Connection]) -> None:
    opened = open_connection(kind)
    assert opened.run(["true"]).code == 0
    opened.close()
    opened.close()


def test_a_connection_leaves_no_process_and_no_thread_behind(open_connection: Callable[[str], Connection]) -> None:
    before = {thread.name for thread in threading.enumerate()}
    for kind in TRANSPORTS:
        opened = open_connection(kind)
        opened.run(["true"])
        opened.close()
    assert none_left(lambda: {thread.name for thread in threading.enumerate()} - before)
