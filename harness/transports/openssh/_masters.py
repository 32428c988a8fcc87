"""The clients that keep the connections to one device (ControlMaster), and which of them has room for a command.

A client lives as long as this process wants it: its standard input is a pipe from here, and a small shell beside it
ends it when that pipe ends, so that a campaign which is killed leaves neither client nor socket behind.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from harness.errors import MissingTool, TimedOut
from harness.model import Device
from harness.transports.openssh import Options
from harness.transports.openssh._trouble import trouble

#: sh -c GUARD sh FOLDER ssh …: the client, until standard input ends; then its folder goes as well.
_GUARD: Final = """
folder=$1; shift; exec 3<&0
"$@" </dev/null 3<&- & client=$!
(read -r _ <&3; kill "$client" 2>/dev/null) >/dev/null 2>&1 & guard=$!
exec 3<&-
wait "$client"; code=$?
kill "$guard" 2>/dev/null
rm -rf "$folder"
exit $code
"""
#: Printed by the client once the user is let in and it listens for commands.
_READY: Final = b"edgeward-ready"
_SOCKET: Final = "c"
#: The path of a socket has 107 bytes, and the client binds another 17 behind the name.
_LONGEST_FOLDER: Final = 70
#: Signs of life that may stay unanswered before a link is lost, as with ssh://.
_UNANSWERED: Final = 4
_GRACE_S: Final = 3.0
#: How long a client that lost its link may take to end; s.
_DYING_S: Final = 0.2
_ENGLISH: Final = {"LC_ALL": "C"}


class Refusal(Exception):
    """A connection grants no further session; its text is what the client said."""


class Master:
    """One client that keeps a connection, from the moment it is made until `close`.

    Args:
        device: the device.
        options: the keys of `[openssh]`.
        timeout_s: until the user is let in, s.

    Attributes:
        running: how many commands it carries.
        full: how many it carries at most, None while that is not known.
    """

    def __init__(self, device: Device, options: Options, *, timeout_s: float) -> None:
        self.running = 0
        self.full: int | None = None
        words = [_program(device), *_target_words(device, options), *_settings(options)]
        self._folder = Path(tempfile.mkdtemp(prefix="edgeward-", dir=_short_folder()))
        self._log = self._folder / "log"
        self._closing = threading.Lock()
        words += ["-S", str(self._folder / _SOCKET), "-M", "-N", "-T", "--", device.address.host]
        with self._log.open("wb") as log:
            #: also read once the client has ended, when its folder is gone, which may be at once
            self._heard = self._log.open("rb")
            self._process = subprocess.Popen(
                ["sh", "-c", _GUARD, "sh", str(self._folder), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is meant for us
                env={**os.environ, **_ENGLISH},
            )
        try:
            self._await(device, options, timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the client still runs."""
        return self._process.poll() is None

    def ended_soon(self) -> bool:
        """Return whether the client has ended, or does within a moment: its commands learn of a lost link first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_S)
        return not self.alive

    @property
    def said(self) -> str:
        """What the client wrote to standard error so far."""
        return os.pread(self._heard.fileno(), 1 << 16, 0).decode("utf-8", "replace")

    def command(self, text: str) -> list[str]:
        """Return the words that run a command over it and over nothing else: without the client there is no way on."""
        alone = ["-F", "none", "-o", "ProxyCommand=false", "-o", "LogLevel=ERROR", "-T"]
        return ["ssh", *alone, "-S", str(self._folder / _SOCKET), "--", "edgeward", text]

    def acknowledged(self) -> int:
        """Return how many bytes the client has written that no longer wait on this host, 0 where that is not known."""
        total = 0
        for pid in self._clients():
            with contextlib.suppress(OSError, ValueError, IndexError):  # it may just have ended
                written = Path(f"/proc/{pid}/io").read_text().split("wchar:")[1].split()[0]
                total += int(written) - _waiting(pid)
        return total

    def close(self) -> None:
        """End the client and all that it started."""
        with self._closing:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):  # then it is killed
                self._process.wait(_GRACE_S)
            with contextlib.suppress(ProcessLookupError, PermissionError):  # a ProxyCommand that outlives its client
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process.stdout.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _await(self, device: Device, options: Options, timeout_s: float) -> None:
        """Wait until the user is let in; raises what `openssh.connect` promises."""
        assert self._process.stdout is not None
        by_hand = shlex.join(["ssh", *_target_words(device, options), device.address.host])
        ends_at, heard = time.monotonic() + timeout_s, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while _READY not in heard:
                if not selector.select(max(0.0, ends_at - time.monotonic())):
                    last = self.said.strip().splitlines()
                    raise TimedOut(
                        f"`{by_hand}` was not let in within {timeout_s:g} s{f' ({last[-1]})' if last else ''}",
                        remedy=(
                            f"try it by hand, and look with -v how far it comes. A slow one needs a longer "
                            f"connect_timeout_s under [openssh] in {device.file}"
                        ),
                        device=device.id,
                    )
                chunk = os.read(self._process.stdout.fileno(), 1 << 12)
                if not chunk:
                    self._process.wait()
                    in_full = partial(_of_ticket, device, options, timeout_s)
                    raise trouble(device, self.said, by_hand=by_hand, in_full=in_full)
                heard += chunk

    def _clients(self) -> Iterator[str]:
        """Yield the pids of the group: the shell, its guard, the client."""
        with contextlib.suppress(OSError):
            yield from Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()


class Masters:
    """As many of them as a device's server needs: most carry any number of commands at once.

    Args:
        device: the device.
        options: the keys of `[openssh]`.
        timeout_s: for each, until the user is let in; s.
    """

    def __init__(self, device: Device, options: Options, *, timeout_s: float) -> None:
        self._device, self._options, self._timeout_s = device, options, timeout_s
        self._lock = threading.Lock()
        self._closed = False
        self.first = Master(device, options, timeout_s=timeout_s)
        self._all = [self.first]

    def take(self) -> Master:
        """Return one that has room for a command; raises what `openssh.connect` promises."""
        with self._lock:
            for master in self._all:
                if not self.first.alive or (master.alive and (master.full is None or master.running < master.full)):
                    master.running += 1
                    return master
        another = Master(self._device, self._options, timeout_s=self._timeout_s)
        another.running = 1
        with self._lock:
            self._all.append(another)
            another.full = self.first.full
            late = self._closed
        if late:
            another.close()
        return another

    def give_back(self, master: Master) -> None:
        """Let the next command have its place."""
        with self._lock:
            master.running -= 1

    def refused(self, master: Master, said: str) -> None:
        """Take note that one has no room for the command it was taken for; raises Refusal when it carries no other."""
        with self._lock:
            master.running -= 1
            if master.running == 0 and master.full == 1:
                raise Refusal(said)
            for one in self._all:
                one.full = max(1, master.running)

    def acknowledged(self) -> int:
        """Return how many bytes have been acknowledged in all, 0 where that is not known."""
        return sum(master.acknowledged() for master in list(self._all))

    def close(self) -> None:
        """End all of them."""
        self._closed = True
        for master in list(self._all):
            master.close()


def _program(device: Device) -> str:
    program = shutil.which("ssh")
    if program is None:
        raise MissingTool(
            "there is no OpenSSH client on this host",
            remedy="install the Debian package openssh-client, or write ssh:// as the scheme of `address`",
            device=device.id,
        )
    return program


def _target_words(device: Device, options: Options) -> list[str]:
    """Return the words that say where, besides the name."""
    address = device.address
    words = ["-F", str(Path(options.config).expanduser())] if options.config else []
    words += ["-l", address.user] if address.user else []
    return [*words, *(["-p", str(address.port)] if address.port else [])]


def _settings(options: Options) -> list[str]:
    """Return what holds whatever the configuration says: no question, nothing but commands, a sign that it is ready."""
    settings = {
        "BatchMode": "yes",
        "ControlPersist": "no",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "RemoteCommand": "none",
        "ForkAfterAuthentication": "no",
        "PermitLocalCommand": "yes",
        "LocalCommand": f"echo {_READY.decode()}",
        "LogLevel": "INFO",  # where no algorithm is shared it says so no louder
    }
    if options.keepalive_s:
        settings["ServerAliveInterval"] = str(max(1, round(options.keepalive_s)))
        settings["ServerAliveCountMax"] = str(_UNANSWERED)
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _of_ticket(device: Device, options: Options, timeout_s: float) -> str:
    """Return what the client says when it tries a Kerberos ticket and tells all, as far as it comes in time."""
    settings = ["LogLevel=DEBUG1", "PreferredAuthentications=gssapi-with-mic", "ControlPath=none"]
    words = [_program(device), *(word for one in settings for word in ("-o", one)), *_target_words(device, options)]
    words += [*_settings(options), "-T", "--", device.address.host, "true"]
    with tempfile.TemporaryFile() as log:
        with contextlib.suppress(subprocess.TimeoutExpired):
            nothing = subprocess.DEVNULL
            environment = {**os.environ, **_ENGLISH}
            subprocess.run(
                words, stdin=nothing, stdout=nothing, stderr=log, env=environment, timeout=timeout_s, check=False
            )
        log.seek(0)
        return log.read().decode("utf-8", "replace").replace("\r", "")


def _short_folder() -> str:
    """Return a folder for sockets, whose path must be short."""
    asked = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp"]
    return next(one for one in asked if one and (len(os.fsencode(one)) < _LONGEST_FOLDER or one == "/tmp"))


def _waiting(pid: str) -> int:
    """Return how many bytes wait in the TCP sockets of a process."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = str(entry.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    total = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[9] in inodes:
                total += int(parts[4].partition(":")[0], 16)
    return total
