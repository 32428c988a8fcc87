"""Whatever the transport, a command behaves the same: one body per promise, run on every connection."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from devices.virtual.waiting import soon
from harness import registry
from harness.errors import DeviceError, Stable, TimedOut
from harness.model import Device
from harness.ports.transports import Connection

MEGABYTE = 1_000_000
TRANSPORTS = ["local", "ssh", "openssh", "unit", "phone"]


def processes_with(word: str) -> list[str]:
    """Return the command lines of living processes that hold `word`."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if word in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(words))
    return found


def unique_nap() -> str:
    """Return seconds that no other process on this machine sleeps, so that it can be found among others."""
    return f"60.{secrets.randbelow(10**9):09}"


def test_every_transport_of_the_room_is_in_this_contract_or_has_its_own(device_of: Callable[[str], Device]) -> None:
    assert {device_of(kind).address.scheme for kind in TRANSPORTS} <= set(registry.names("transports"))


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


@pytest.mark.parametrize("size", [7_900, 8_500, 8_780, 8_900, 9_100])
def test_input_arrives_whether_it_goes_with_the_command_or_after_it(connection: Connection, size: int) -> None:
    content = (b'"a path with spaces and quotes\'s": "0123456789abcdef",\n' * 200)[:size]
    assert connection.run(["cat"], stdin=b"x" * size).out == b"x" * size
    assert connection.run(["cat"], stdin=content).out == content


def test_input_may_be_an_open_file(connection: Connection, fifty_megabytes: Path) -> None:
    with fifty_megabytes.open("rb") as file:
        file.seek(40 * MEGABYTE)
        done = connection.run(["sha256sum"], stdin=file)
    wanted = hashlib.sha256(fifty_megabytes.read_bytes()[40 * MEGABYTE :]).hexdigest()
    assert done.text.split()[0] == wanted


def test_input_that_cannot_be_read_to_its_end_is_not_taken_for_whole(connection: Connection, tmp_path: Path) -> None:
    script = 'cat > "$1"; touch "$2"'
    said = r"\w+: cannot read what `sh` is to be given: .*Input/output error"
    with (
        Path("/proc/self/mem").open("rb") as broken,
        pytest.raises(Stable, match=said),
    ):  # its first page cannot be read
        connection.run(["sh", "-c", script, "sh", str(tmp_path / "got"), str(tmp_path / "done")], stdin=broken)
    assert soon(lambda: not processes_with(str(tmp_path / "done"))), "it still runs"
    assert not (tmp_path / "done").exists()


def test_a_program_that_does_not_read_its_input_ends_all_the_same(connection: Connection) -> None:
    assert connection.run(["true"], stdin=io.BytesIO(bytes(20 * MEGABYTE)), timeout_s=60).code == 0


def test_much_output_on_both_streams_does_not_deadlock(connection: Connection) -> None:
    script = "head -c 8000000 /dev/zero >&2; head -c 8000000 /dev/zero; head -c 8000000 /dev/zero >&2"
    done = connection.run(["sh", "-c", script], timeout_s=60)
    assert (len(done.out), len(done.err)) == (8_000_000, 16_000_000)


def test_a_passed_deadline_kills_the_program_and_its_children(connection: Connection) -> None:
    nap = unique_nap()
    with pytest.raises(TimedOut, match=r"\w+: `sh` did not end within 0\.5 s .*allow it more time"):
        connection.run(["sh", "-c", f"sleep {nap} & sleep {nap}; echo never"], timeout_s=0.5)
    assert soon(lambda: not processes_with(nap))
    assert connection.run(["echo", "still here"]).text == "still here"


def test_a_stream_yields_each_line_as_it_comes(connection: Connection, tmp_path: Path) -> None:
    # Each line is written only when the one before has been seen: lines that are kept back would never come.
    script = 'for i in 1 2 3; do echo line $i; until [ -e "$1/$i" ]; do sleep 0.05; done; done; printf end'
    arrived = []
    for line in connection.stream(["sh", "-c", script, "sh", str(tmp_path)], silence_s=30):
        arrived.append(line)
        (tmp_path / str(len(arrived))).touch()
    assert arrived == [b"line 1", b"line 2", b"line 3", b"end"]


def test_a_long_stream_loses_no_line_while_its_reader_is_slow(connection: Connection) -> None:
    count = 0
    for count, line in enumerate(connection.stream(["seq", "1", "200000"], silence_s=30), start=1):
        assert line == b"%d" % count
        if count % 50_000 == 0:
            time.sleep(0.1)  # the slow reader, who is the question
    assert count == 200_000


def test_a_silent_stream_ends_with_its_program_killed(connection: Connection) -> None:
    nap = unique_nap()
    lines = connection.stream(["sh", "-c", f"echo first; sleep {nap}"], silence_s=3)
    assert next(lines) == b"first"
    with pytest.raises(TimedOut, match=r"\w+: `sh` was silent for 3 s"):
        next(lines)
    assert soon(lambda: not processes_with(nap))


def test_leaving_a_stream_early_kills_its_program(connection: Connection) -> None:
    script = f"while :; do echo tick; sleep 0.1; done # {unique_nap()}"
    lines = connection.stream(["sh", "-c", script], silence_s=30)
    assert next(lines) == b"tick"
    lines.close()  # type: ignore[attr-defined]
    assert soon(lambda: not processes_with(script))


def test_a_stream_that_fails_says_so_after_its_last_line(connection: Connection) -> None:
    lines = connection.stream(["sh", "-c", "echo one; echo broken >&2; exit 3"], silence_s=30)
    assert next(lines) == b"one"
    with pytest.raises(DeviceError, match=r"\w+: `sh` ended with code 3: broken"):
        next(lines)


def test_two_threads_share_a_connection(connection: Connection, fifty_megabytes: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        pushing = pool.submit(connection.push, fifty_megabytes, str(tmp_path / "there"))
        answers = [connection.run(["echo", str(i)]).text for i in range(30)]
        pushing.result()
    assert answers == [str(i) for i in range(30)]
    assert (tmp_path / "there").stat().st_size == 50 * MEGABYTE


def test_of_many_commands_side_by_side_none_is_lost(connection: Connection) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda turn: connection.run(["echo", str(turn)]).text, range(300)))
    assert answers == [str(turn) for turn in range(300)]


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
    assert soon(lambda: not {thread.name for thread in threading.enumerate()} - before)
