"""`harness.ports.transports.Connection` over whatever carries commands; threads may share it, each has its own way."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final, cast

from harness.agent import contract
from harness.errors import Refused, TimedOut, TooMuch, Unsupported
from harness.model import Device
from harness.ports.transports import Completed
from harness.transports._bounds import Output, Splitter, too_much
from harness.transports._command import Command, Expired, ended, spelled
from harness.transports._copying import DAMAGED, PULL, PUSH, PUSH_ZIPPED, digest_of, failure, landing, part_name
from harness.transports._zipping import Pace, Zipped

#: How long a device may take at most to kill a command, and to show by it that the link still lives; s.
_GRACE_S: Final = 3.0
#: The slowest storage that is still believed in, when a device reads a file back to verify it; B/s.
_READ_BACK: Final = 2e6
#: The longest command line that a Linux takes as one word of another command, which is how servers start it; bytes.
_WORD: Final = (1 << 17) - 1
#: sh -c KILL sh PID. OpenSSH makes each command a process group; dropbear does not, so there the tree is walked.
KILL: Final = """
kill -KILL "-$1" 2>/dev/null && exit
fell() (
  kill -STOP "$1" 2>/dev/null
  for stat in /proc/[0-9]*/stat; do
    read -r line 2>/dev/null < "$stat" || continue
    set -- "$1" ${line##*) }
    [ "$3" != "$1" ] || fell "${line%% *}"
  done
  kill -KILL "$1" 2>/dev/null
)
fell "$1"
true
"""
#: sh -c KILL_AND_CLEAR sh KILL PID PART: a copy that is killed cannot clear away by itself what it leaves. Before, too,
#: because a link that is given up meanwhile may end this script.
_KILL_AND_CLEAR: Final = 'rm -f "$3"; sh -c "$1" sh "$2"; rm -f "$3"'


class Session(ABC):
    """Commands and files on a device.

    Args:
        device: for its id and limits of patience.
        table: the table of the device's file that `stall_s` stands in.
        stall_s: how long a copy may make no progress; s.
    """

    def __init__(self, device: Device, *, table: str, stall_s: float) -> None:
        self._device = device.id
        self._table = table
        self._stall_s = stall_s
        self._grace_s = min(_GRACE_S, stall_s)
        #: what the copies so far have shown of the connection
        self.pace = Pace()

    @abstractmethod
    def _start(
        self,
        argv: Sequence[str],
        *,
        stdin: IO[bytes] | bytes = b"",
        sink: Callable[[bytes], object],
        at_end: Callable[[], object] = lambda: None,
    ) -> Command:
        """Return a command that runs on the device from now on."""

    def _longest(self) -> int:
        """Return how long a command line may be, in bytes; a transport or a server that carries less says so here."""
        return _WORD

    def _short(self, argv: Sequence[str]) -> Sequence[str]:
        """Return a command, unless its line is too long: what is sent then looks like a lost connection."""
        length, longest = len(spelled(argv).encode("utf-8", "surrogateescape")), self._longest()
        if length > longest:
            raise Unsupported(
                f"the command line of `{argv[0]}` has {length} bytes, {self._table} takes {longest} there",
                remedy="give it on standard input or as a file instead",
                device=self._device,
            )
        return argv

    @abstractmethod
    def _broken(self, command: Command, name: str) -> Exception:
        """Return the error for a command that was kept from running to its end."""

    @abstractmethod
    def _unsent(self) -> int:
        """Return how many bytes wait on this host, 0 where that cannot be known."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; what runs on it ends with Unreachable."""

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run `argv` and wait; a program that does not exist gives 127, one killed by signal N gives 128 + N.

        Raises:
            TimedOut: it ran longer than `timeout_s`; it and its children were killed if the link still lives.
            Unreachable: the connection is lost.
            TooMuch: it printed more than is taken.
        """
        out = Output(self._device, f"`{argv[0]}`")
        ends_at = time.monotonic() + timeout_s
        command = self._start(self._short(argv), stdin=stdin, sink=out.add)
        late = f"`{argv[0]}` did not end within {timeout_s:g} s and was given up; allow it more time"
        try:
            self._wait(command, lambda: ends_at, argv[0], late)
        except OSError as error:
            raise failure(self._device, 1, f"read what `{argv[0]}` is to be given", str(error)) from error
        return Completed(command.code, bytes(out), bytes(command.err))

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run `argv` and yield its output line by line, without newlines; leaving the loop early kills it.

        Raises:
            TimedOut: no line came for `silence_s`.
            Unreachable: the connection is lost.
            Transient: it was killed there.
            DeviceError: it ended with an exit code other than 0.
            TooMuch: a line is longer than is taken.
        """
        arrived: queue.Queue[bytes] = queue.Queue(maxsize=256)  # a full queue holds the device back
        left = threading.Event()

        def sink(chunk: bytes) -> None:
            while not left.is_set():
                with contextlib.suppress(queue.Full):
                    arrived.put(chunk, timeout=0.5)
                    break

        command = self._start(self._short(argv), sink=sink, at_end=lambda: sink(b""))
        try:
            yield from self._lines(arrived, argv[0], silence_s)
        finally:
            left.set()
            self._let_go(command)
        self._check(command, argv[0])
        if command.code:
            raise ended(argv[0], command.code, bytes(command.err), device=self._device)

    def _lines(self, arrived: queue.Queue[bytes], name: str, silence_s: float) -> Iterator[bytes]:
        lines = Splitter(self._device, f"`{name}`")
        ends_at = time.monotonic() + silence_s
        while True:
            try:
                chunk = arrived.get(timeout=max(0.0, ends_at - time.monotonic()))
            except queue.Empty:
                raise TimedOut(
                    f"`{name}` was silent for {silence_s:g} s and was given up",
                    remedy="look at what it waits for",
                    device=self._device,
                ) from None
            if not chunk:
                break
            for line in lines.add(chunk):
                yield line
                ends_at = time.monotonic() + silence_s
        if lines.rest:
            yield lines.rest

    def push(self, source: Path, target: str) -> None:
        """Copy a file to `target`, whose missing folders are made.

        Raises:
            OutOfSpace: the device's disk is full; nothing is left behind.
            MissingTool: the device has nothing that computes a sha256.
            TimedOut: nothing moved for `stall_s`.
            Unreachable: the connection is lost; the device clears the part away by itself.
            Stable: `source` cannot be read or `target` not written.
        """
        try:
            size = source.stat().st_size
            zipped = self.pace.pays(source)
            done = self._copied(source, target, size, zipped=zipped)
            if zipped and done.code and b"No space left" not in done.err:
                # what unpacks there is missing, or is not what we think
                self.pace.give_up()
                done = self._copied(source, target, size, zipped=False)
        except OSError as error:
            raise failure(self._device, 1, f"read {source}", error.strerror or str(error)) from error
        if done.code:
            said, space = done.err.decode("utf-8", "replace"), done.out.decode("utf-8", "replace")
            raise failure(self._device, done.code, _writing(target), said, needs=size, space=space)

    def _copied(self, source: Path, target: str, size: int, *, zipped: bool) -> Completed:
        """Return how the device's script ended, after all of a file was sent to it, compressed or as it is."""
        part, out = f"{_split(target)[0].rstrip('/')}/{part_name()}", Output(self._device, _writing(target))
        script = ["sh", "-c", PUSH_ZIPPED if zipped else PUSH, "sh", part, target, digest_of(source)]
        started = time.monotonic()
        with source.open("rb") as file:
            content = cast(IO[bytes], Zipped(file)) if zipped else file
            command = self._start(self._short(script), stdin=content, sink=out.add)
            self._wait_for_copy(command, _writing(target), lambda: size if command.fed else 0, leaves=part)
        if command.code == 0:
            self.pace.learn(size, time.monotonic() - started, zipped=zipped)
        return Completed(command.code, bytes(out), bytes(command.err))

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from `source`.

        Raises:
            OutOfSpace: this host's disk is full; nothing is left behind.
            Transient: `source` changed meanwhile.
            TooMuch: it is larger than is taken.
            TimedOut, Unreachable, MissingTool, Stable: as `push` does.
        """
        _split(source)
        with landing(self._device, target, f"write {target} on this host") as part:
            digest = hashlib.sha256()
            with part.open("wb") as file:

                def sink(chunk: bytes) -> None:
                    if file.tell() + len(chunk) > contract.FILE_BYTES:
                        raise too_much(self._device, source, contract.FILE_BYTES)
                    file.write(chunk)
                    digest.update(chunk)

                command = self._start(self._short(["sh", "-c", PULL, "sh", source]), sink=sink)
                self._wait_for_copy(command, f"read {source}", file.tell)
            said = command.err.decode("utf-8", "replace")
            if command.code:
                raise failure(self._device, command.code, f"read {source}", said)
            if digest.hexdigest() not in said:
                raise failure(self._device, DAMAGED, f"read {source}", said)

    def _wait_for_copy(self, command: Command, what: str, to_verify: Callable[[], int], *, leaves: str = "") -> None:
        """Wait as long as bytes move, and then for the device to read `to_verify()` bytes back."""
        late = (
            f"cannot {what}: no byte moved for {self._stall_s:g} s; check the link, or raise stall_s in [{self._table}]"
        )

        unsent = 0

        def ends_at() -> float:
            # over a slow link the last megabytes wait in our own system long after the last byte was handed over
            nonlocal unsent
            before, unsent = unsent, self._unsent()
            if unsent < before:
                command.moved_at = time.monotonic()
            return command.moved_at + self._stall_s + to_verify() / _READ_BACK

        self._wait(command, ends_at, what, late, leaves=leaves)

    def _wait(self, command: Command, ends_at: Callable[[], float], name: str, late: str, *, leaves: str = "") -> None:
        try:
            command.wait(ends_at)
        except Expired:
            raise TimedOut(late, device=self._device) from None
        finally:
            self._let_go(command, leaves=leaves)
        self._check(command, name)

    def _check(self, command: Command, name: str) -> None:
        """Raise what kept a command from running to its end."""
        if isinstance(command.failure, TooMuch):
            raise TooMuch(command.failure.text, remedy=command.failure.remedy, device=self._device)
        if command.failure is not None or command.code < 0:
            error = self._broken(command, name)
            raise error from (None if error is command.failure else command.failure)
        if command.pid is None:
            # a shell complains on standard error, and its first line tells: csh goes on with every word that follows
            complaint = bytes(command.err).strip().partition(b"\n")[0] or bytes(command.noise).strip()[-300:]
            said = complaint[:300].decode("utf-8", "replace")
            raise Refused(
                f"the account's login shell ran nothing ({said or 'it said nothing'})",
                remedy="give it a POSIX shell",
                device=self._device,
            )

    def _let_go(self, command: Command, *, leaves: str = "") -> None:
        """See that a command which still runs ends, on the device too; a link that does not even do that is cut.

        Args:
            command: one that may have ended.
            leaves: a file on the device that is of no use without it.
        """
        ends_at = time.monotonic() + self._grace_s
        while command.pid is None and not command.over and time.monotonic() < ends_at:
            time.sleep(0.02)
        if command.over:
            return
        script = ["sh", "-c", _KILL_AND_CLEAR, "sh", KILL, str(command.pid), leaves]
        killer = self._start(self._short(script), sink=lambda _: None)
        try:
            killer.wait(lambda: ends_at)
        except Expired:
            self.close()
            return
        try:
            command.wait(lambda: ends_at)
        except Expired:  # something it started in a group of its own keeps its output open
            command.close()


def _writing(target: str) -> str:
    folder, name = _split(target)
    return f"write {name} to {folder}"


def _split(path: str) -> tuple[str, str]:
    """Return folder and name of a path on the device."""
    folder, slash, name = path.rpartition("/")
    if not path.startswith("/") or not name:
        raise ValueError(f"{path!r} is not the absolute path of a file")
    return folder or slash, name
