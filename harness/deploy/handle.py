"""One device, held open: its connection, the harness's workspace there, and how a lost connection is made again."""

from __future__ import annotations

import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import IO, Concatenate, Final, ParamSpec, Self, TypeVar

from harness import registry
from harness.deploy.recovery import Resets
from harness.errors import Busy, DeviceError, OutOfSpace, Stable, Stopped, Transient
from harness.model import Device
from harness.ports.runners import NOTHING, Wanted, Workspace
from harness.ports.transports import Completed, Connection, Transport
from harness.units import printable

T = TypeVar("T")
P = ParamSpec("P")

#: How often a step that needs the connection all the time is begun.
TRIES: Final = 4
#: How long a lost connection is tried again before the cases are given up (a small board needs a minute to boot), and
#: how long between two tries; s.
PATIENCE_S: Final = 120.0
_RECONNECT_S: Final = 4.0
#: How much longer a job waits for its host than the host tries to come back, and how long on this very machine, where
#: no cable can be cut; how long a command beside the others may take; s.
_GONE_S: Final = 60.0
_GONE_HERE_S: Final = 15.0
_BESIDE_S: Final = 30.0


class DeviceHandle:
    """What the house holds of a device: the device file's noun, its connection and its workspace.

    Commands and copies reconnect and are repeated when the connection is lost; so is a whole function that is marked
    `persistent`, from its beginning. Only Transient errors are retried. One thread uses a handle for steps; any
    thread may `interrupt` it.

    Args:
        device: the noun.
        say: called with a line when the connection is lost and made again, and with what is being done.
        timeout_s: longest time for opening the connection, s; None for what the device's file says.
        patience_s: how long a lost connection is tried again, s.
        resets: how the device is reset when it does not answer; None to leave it as it is.

    Raises:
        DeviceError: no connection could be opened.
    """

    def __init__(
        self,
        device: Device,
        say: Callable[[str], None] = lambda _: None,
        *,
        timeout_s: float | None = None,
        patience_s: float = PATIENCE_S,
        resets: Resets | None = None,
    ) -> None:
        self.device = device
        #: What is said may hold words of the device.
        self.say: Callable[[str], None] = lambda text: say(printable(text))
        self._transport = transport(device)
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._workspace: Workspace | None = None
        self._root = ""
        self._in_step = False
        self._cleaning = False
        self._gave_up = False
        self._interrupted = threading.Event()
        self._streams = 0
        self._resets = resets
        self._connection: Connection = self._opened(0.0)
        #: Why something was repeated, or a job gone on with, over a new connection: once for each time.
        self.repeated: list[str] = []
        #: The lease's beat on the device, "" while it is not leased or has none.
        self.beat = ""
        #: Names of jobs that the next lease leaves alone, for they may still be collected; `KEPT` for any such.
        self.spared: tuple[str, ...] = ()
        #: What the device is about to be given.
        self.wanted: Wanted = NOTHING
        #: Makes sure of the lease, which may have passed on while the device was out of reach; nothing without a lease.
        self.renew: Callable[[], object] = lambda: None
        #: Keeps the name of a job whose confidential images were looked for and are gone; None where nobody keeps it.
        self.wiped: Callable[[str], object] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def workspace(self) -> Workspace:
        """The harness's place on the device, once `harness.deploy.prepare` has made it."""
        if self._workspace is None:
            raise AssertionError(f"{self.device.id}: not prepared yet: call deploy.prepare(handle) first")
        return self._workspace

    @workspace.setter
    def workspace(self, made: Workspace) -> None:
        self._workspace = made

    @property
    def root(self) -> str:
        """The harness's folder on the device, absolute: its file's `workdir`, else the transport's own."""
        if not self._root:
            wanted = self.device.workdir or self._transport.workdir(self.device)
            self._root = posixpath.normpath(wanted)
            if wanted.startswith("~/"):
                done = self.run(["sh", "-c", "cd && pwd"])
                home = checked(done, self.device, "the user has no home", remedy="set workdir").text
                self._root = posixpath.join(home, wanted[2:])
        return self._root

    @property
    def interrupted(self) -> bool:
        """Whether the user of the handle shall come to an end."""
        return self._interrupted.is_set()

    @property
    def quiet(self) -> bool:
        """Whether a stream is open, as while a job runs: nothing else is sent then."""
        return self._streams > 0

    @property
    def gone_s(self) -> float:
        """How long a job waits for its host before it ends itself: longer than a lost connection is tried again, s."""
        return _GONE_HERE_S if self.device.address.here else self._patience_s + _GONE_S

    @property
    def resets(self) -> int:
        """How often the device was reset in this campaign."""
        return self._resets.tried if self._resets is not None else 0

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the handle is interrupted."""
        self._interrupted.wait(seconds)

    def beside(self, argv: Sequence[str]) -> Completed:
        """Run a command from another thread than the one that takes steps; raises Transient if the connection is lost.

        It is not repeated, and the connection is left as it is.
        """
        return self._connection.run(argv, timeout_s=_BESIDE_S)

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Run `argv` and wait, as `harness.ports.transports.Connection.run` does; repeated when the connection is lost.

        A command must therefore bear being run twice, as every command of the harness does.
        """
        return self.retry(lambda: self._connection.run(argv, timeout_s=timeout_s, stdin=stdin))

    def stream(self, argv: Sequence[str], *, silence_s: float) -> Iterator[bytes]:
        """Run `argv` and yield its lines, as `harness.ports.transports.Connection.stream` does.

        Raises:
            Transient: the connection is lost; the reader knows from where to go on, after `reconnect`.
            Stopped: the handle was.
        """
        self._streams += 1
        try:
            yield from self._connection.stream(argv, silence_s=silence_s)
        except Transient as error:
            self.unless_interrupted(error)
            raise
        finally:
            self._streams -= 1

    def push(self, source: Path, target: str) -> None:
        """Copy a file to the device, as `harness.ports.transports.Connection.push` does; repeated like `run`."""
        self.retry(lambda: self._connection.push(source, target))

    def pull(self, source: str, target: Path) -> None:
        """Copy a file from the device, as `harness.ports.transports.Connection.pull` does; repeated like `run`."""
        self.retry(lambda: self._connection.pull(source, target))

    def retry(self, step: Callable[[], T]) -> T:
        """Return what `step` gives; if the connection is lost meanwhile it is made again, and the step begun again.

        A step within a step is not repeated by itself: the outer one is.

        Raises:
            Transient: the connection was lost `TRIES` times.
            Busy: meanwhile somebody else has begun to measure on the device.
            Stopped: the handle was.
        """
        if self._in_step:
            return step()
        self._in_step = True
        try:
            return self._tried(step)
        finally:
            self._in_step = False

    def _tried(self, step: Callable[[], T]) -> T:
        lost = 0
        while True:
            try:
                if lost:
                    self.renew()
                return step()
            except Busy:
                raise
            except Transient as error:
                if not self._cleaning:
                    self.unless_interrupted(error)
                lost += 1
                if lost == TRIES:
                    raise
                if not self._gave_up:
                    self.say(f"connection lost ({error}); connecting again")
                self.reconnect(error)
                if not self._cleaning:
                    self.unless_interrupted(error)

    def reconnect(self, because: Transient | None = None) -> None:
        """Open the connection again, trying for a while, but only once if that failed before.

        Args:
            because: why what was under way is repeated or gone on with, which is counted; None where nothing is.

        Raises:
            Transient: what the last try raised.
            Stopped: the handle was, and the one try that is made then failed.
            Stable: the device is there and does not let us in any more; that is not tried again.
        """
        self._connection.close()
        if because is not None:
            self.repeated.append(because.text)
        self._connection = self._opened(0.0 if self._gave_up else self._patience_s)

    def _opened(self, patience_s: float) -> Connection:
        """Return a new connection, tried for so long and, if the device is reset then, for a while after each reset."""
        ends_at = time.monotonic() + patience_s
        while True:
            try:
                connection = self._transport.connect(self.device, timeout_s=self._timeout_s)
            except Transient as error:
                self.unless_interrupted(error)
                if time.monotonic() < ends_at:
                    self._interrupted.wait(_RECONNECT_S)
                elif self._resets is not None and self._resets.reset(error):
                    self.unless_interrupted(error)
                    ends_at = time.monotonic() + self._patience_s
                else:
                    self._gave_up = True
                    if self._resets is None or not self._resets.tried:
                        raise
                    raise self._resets.explained(error) from error
            except Stable:
                self._gave_up = True
                raise
            else:
                self._gave_up = False
                return connection

    def ensure_connected(self) -> None:
        """Open the connection again if it does not carry a command: asked for on the way out of an error.

        Raises:
            DeviceError: it could not be opened.
        """
        try:
            self._connection.run(["true"], timeout_s=10)
        except Transient:
            self.reconnect()

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Repeat lost steps meanwhile, interrupted or not: they remove what must not stay."""
        before, self._cleaning = self._cleaning, True
        try:
            yield
        finally:
            self._cleaning = before

    def interrupt(self) -> None:
        """End whatever waits for the device just now, from another thread; the device is still cleaned up."""
        self._interrupted.set()
        self._connection.close()

    def unless_interrupted(self, error: Transient) -> None:
        """Raise Stopped if the handle was: that is why the connection was lost, and a new one is for cleaning up."""
        if self.interrupted:
            raise Stopped("interrupted", remedy="--resume does what is left", device=self.device.id) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def transport(device: Device) -> Transport:
    """Return the transport of a device's address."""
    module: Transport = registry.load("transports", device.address.scheme, file=str(device.file), key="address")
    return module


def persistent(step: Callable[Concatenate[DeviceHandle, P], T]) -> Callable[Concatenate[DeviceHandle, P], T]:
    """Mark a function of a handle as one that is begun again, as a whole, when the connection is lost meanwhile."""

    @wraps(step)
    def whole(handle: DeviceHandle, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return handle.retry(lambda: step(handle, *args, **kwargs))

    return whole


def checked(done: Completed, device: Device, meaning: str, *, remedy: str = "") -> Completed:
    """Return `done` if it ended well.

    Args:
        done: how a command on the device ended.
        device: the device, for the error.
        meaning: what it means if the command did not end well.
        remedy: what to do about that; by default what the device's own words call for.

    Raises:
        DeviceError: it did not end well; says what that means and what the device said.
        OutOfSpace: the device said that its disk is full.
    """
    if done.code == 0:
        return done
    said = done.err.decode("utf-8", "replace").strip().splitlines()
    text = f"{meaning} ({said[-1] if said else f'code {done.code}'})"
    if b"No space left" in done.err:
        raise OutOfSpace(text, device=device.id, remedy=remedy or "free some space there")
    raise DeviceError(text, device=device.id, remedy=remedy or _remedy(done, device))


def _remedy(done: Completed, device: Device) -> str:
    """Return what to do about a command that failed: whether the device runs or lets write shows in its words."""
    said, file = done.err.decode("utf-8", "replace"), device.file.name or "its file"
    if any(words in said for words in ("Permission denied", "Read-only file system", "not permitted")):
        return f"set workdir in {file} to a folder where its user may write and run programs"
    if done.code > 128:
        return f"look there why it was ended (signal {done.code - 128}): for want of memory, `dmesg` says so"
    again = f"`edgeward clean {device.id} --all`, which has all of it brought anew"
    return f"run {again}" if device.file.parent.name else "remove its workdir, all of which is brought anew"


def answered(error: DeviceError) -> bool:
    """Return whether the device itself gave an error, rather than the way to it."""
    return not isinstance(error, Transient | Stable) or isinstance(error, OutOfSpace)
