"""address = "local:"

The machine the harness runs on. There is no table for it. Commands run in a process group of their own, which a
passed deadline kills as a whole.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from harness.agent import contract
from harness.errors import TimedOut, Unreachable, Unsupported
from harness.model import Address, Device
from harness.ports.transports import Completed, Connection
from harness.transports._bounds import Output, Splitter, too_much
from harness.transports._command import ended
from harness.transports._copying import DAMAGED, digest_of, failure, landing

#: How much is read of what a stream wrote to standard error; bytes.
_LAST_WORDS = 1 << 16
#: Settings of the host's own Python, which must not reach the Python that is measured.
_PRIVATE = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")


EXAMPLE = "local:"
ENCRYPTED = True  # nothing leaves the machine


@dataclass(frozen=True, slots=True)
class Options:
    """There is nothing to set."""


def address(text: str) -> Address:
    """Return this machine's address; raises ValueError if anything stands behind the scheme."""
    if text.strip("/"):
        raise ValueError("nothing may stand behind local:")
    return Address("local")


def connect(device: Device, *, timeout_s: float | None = None) -> Connection:
    """Return a connection to this machine; it cannot fail, so `timeout_s` is not needed."""
    del timeout_s
    return LocalConnection(device)


def workdir(device: Device) -> str:
    """Return a folder of the user's cache, which survives from one campaign to the next."""
    del device
    return "~/.cache/edgeward/device"


class LocalConnection:
    """Processes and files of this machine, with the promises of `harness.ports.transports.Connection`."""

    def __init__(self, device: Device) -> None:
        self._device = device.id
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run `argv` and wait; a program that does not exist gives 127, one killed by signal N gives 128 + N.

        Raises:
            TimedOut: it ran longer than `timeout_s`; it and its children were killed.
            TooMuch: it printed more than is taken, and was killed.
        """
        try:
            process = _start(argv, stderr=subprocess.PIPE)
        except OSError as error:
            self._refuse_too_long(argv, error)
            return _not_started(argv, error)
        with process, self._held(process):
            unread: list[OSError] = []
            threading.Thread(target=_feed, args=(process, process.stdin, stdin, unread), daemon=True).start()
            process.stdin = None  # the feeder's from here on, not of the `with`
            out, err = self._printed(process, argv[0], timeout_s)
        if unread:
            raise failure(self._device, 1, f"read what `{argv[0]}` is to be given", str(unread[0])) from unread[0]
        return Completed(_code(process.returncode), out, err)

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run `argv` and yield its output line by line, without newlines; leaving the loop early kills it.

        Raises:
            TimedOut: no line came for `silence_s`.
            Transient: it was killed.
            DeviceError: it ended with an exit code other than 0.
        """
        with tempfile.TemporaryFile() as err:
            try:
                process = _start(argv, stderr=err)
            except OSError as error:
                self._refuse_too_long(argv, error)
                self._ended(argv, _not_started(argv, error))
                return
            with process, self._held(process):
                assert process.stdin is not None
                process.stdin.close()
                yield from self._lines(process, argv, silence_s)
            err.seek(max(0, err.seek(0, os.SEEK_END) - _LAST_WORDS))
            self._ended(argv, Completed(_code(process.returncode), b"", err.read()))

    def _printed(self, process: subprocess.Popen[bytes], name: str, timeout_s: float) -> tuple[bytes, bytes]:
        """Return what a process writes to its output and as its errors, until it has ended."""
        assert process.stdout is not None
        assert process.stderr is not None
        ends_at = time.monotonic() + timeout_s
        taken = {stream: Output(self._device, f"`{name}`") for stream in (process.stdout, process.stderr)}
        with selectors.DefaultSelector() as selector:
            for stream in taken:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, ends_at - time.monotonic()))
                if not ready and time.monotonic() >= ends_at:
                    raise self._late(name, timeout_s)
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 18)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    taken[cast(IO[bytes], key.fileobj)].add(chunk)
        try:
            process.wait(max(0.0, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._late(name, timeout_s) from None
        return bytes(taken[process.stdout]), bytes(taken[process.stderr])

    def _late(self, name: str, timeout_s: float) -> TimedOut:
        return TimedOut(
            f"`{name}` did not end within {timeout_s:g} s and was killed",
            remedy="allow it more time",
            device=self._device,
        )

    def _refuse_too_long(self, argv: Sequence[str], error: OSError) -> None:
        """Raise Unsupported if the system took the command line for too long."""
        if error.errno == errno.E2BIG:
            raise Unsupported(
                f"the command line of `{argv[0]}` has {sum(map(len, argv))} bytes, more than this machine takes",
                remedy="give it on standard input or as a file instead",
                device=self._device,
            ) from error

    def _lines(self, process: subprocess.Popen[bytes], argv: Sequence[str], silence_s: float) -> Iterator[bytes]:
        assert process.stdout is not None
        lines = Splitter(self._device, f"`{argv[0]}`")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            ends_at = time.monotonic() + silence_s
            while selector.select(max(0.0, ends_at - time.monotonic())):
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    if lines.rest:
                        yield lines.rest
                    process.wait()
                    return
                for line in lines.add(chunk):
                    yield line
                    ends_at = time.monotonic() + silence_s
        raise TimedOut(
            f"`{argv[0]}` was silent for {silence_s:g} s and was killed",
            remedy="look at what it waits for",
            device=self._device,
        )

    def _ended(self, argv: Sequence[str], done: Completed) -> None:
        if done.code:
            raise ended(argv[0], done.code, done.err, device=self._device)

    def push(self, source: Path, target: str) -> None:
        """Copy a file to `target`, whose missing folders are made.

        Raises:
            OutOfSpace: the disk is full; nothing is left behind.
            Stable: `source` cannot be read or `target` not written.
        """
        self._copy(source, Path(target).expanduser())

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from `source`; raises as `push` does, and TooMuch if it is larger than is taken."""
        path = Path(source).expanduser()
        # A link or a pipe is none that the device side wrote.
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise failure(self._device, 1, f"read {source}", "Not a regular file")
        if path.exists() and path.stat().st_size > contract.FILE_BYTES:
            raise too_much(self._device, source, contract.FILE_BYTES)
        self._copy(path, target)

    def _copy(self, source: Path, target: Path) -> None:
        try:
            size = source.stat().st_size
            digest = digest_of(source)
        except OSError as error:
            raise failure(self._device, 1, f"read {source}", error.strerror or str(error)) from error
        what = f"write {target.name} to {target.parent}"
        with landing(self._device, target, what, needs=size) as part:
            shutil.copyfile(source, part)
            if digest_of(part) != digest:
                raise failure(self._device, DAMAGED, what, "")

    def close(self) -> None:
        """Kill what still runs on it, which then ends with Unreachable."""
        self._closed = True
        for process in list(self._running):
            _kill(process)

    @contextlib.contextmanager
    def _held(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Kill the process group if the block is left before the process has ended, whatever the reason."""
        self._running.add(process)
        try:
            yield
        finally:
            self._running.discard(process)
            if process.returncode is None:
                _kill(process)
                process.wait()
        if self._closed:
            raise Unreachable("the connection was closed", remedy="open another", device=self._device)


def _start(argv: Sequence[str], *, stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
    home = Path.home()
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
        cwd=home if home.is_dir() else "/",  # where a login would be, not the folder the user happens to stand in
        env={name: value for name, value in os.environ.items() if name not in _PRIVATE},
    )


def _not_started(argv: Sequence[str], error: OSError) -> Completed:
    """Return what a shell would: 127 for a program that is not there, 126 for one that may not run."""
    code = 127 if isinstance(error, FileNotFoundError) else 126
    return Completed(code, b"", f"{argv[0]}: {error.strerror}\n".encode())


def _code(returncode: int) -> int:
    return 128 - returncode if returncode < 0 else returncode


def _feed(
    process: subprocess.Popen[bytes], pipe: IO[bytes] | None, stdin: IO[bytes] | bytes, unread: list[OSError]
) -> None:
    """Write `stdin` to the process; what keeps it from being read is left in `unread`."""
    assert pipe is not None
    source = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
    # a program may end, or close its input, without reading all of it: that is its own affair
    with contextlib.suppress(BrokenPipeError), pipe:
        while chunk := _read(source, unread):
            pipe.write(chunk)
        if unread:
            _kill(process)  # before the pipe ends, so that it does not take its input for whole


def _read(source: IO[bytes], unread: list[OSError]) -> bytes:
    try:
        return source.read(1 << 18)
    except OSError as error:
        unread.append(error)
        return b""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group, unless it has ended by itself a moment ago."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
