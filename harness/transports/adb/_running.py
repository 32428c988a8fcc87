"""The adb server that the environment names: found, or started where none runs; one that runs is never ended.

Any command of the program `adb` ends a server of another version than its own and starts one. So that program is never
run beside a server: requests go to the server itself, and a server is started as `adb start-server` would start it in
the end, by the program's own words for that (`fork-server`), which give way to a server that came first.
"""

from __future__ import annotations

import functools
import os
import re
import select
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from harness.errors import MissingTool, Refused, TimedOut, Unreachable
from harness.transports.adb._endpoint import Absent, Endpoint, Gone, chosen, left
from harness.transports.adb._server import Refusal, Server

#: `adb version` needs nobody, so it answers at once or never; s.
_VERSION_S: Final = 10.0
_VERSION: Final = re.compile(r"Android Debug Bridge version \d+\.\d+\.(\d+)")
#: Lets a server outlive the program that starts it: the shell's child is nobody's.
_APART: Final = '"$@" < /dev/null &'


def running(device: str, ends_at: float) -> Server:
    """Return the server, started if nothing listens where it belongs.

    Args:
        device: the id of the device it is wanted for.
        ends_at: when to give up, on the monotonic clock; s.

    Raises:
        MissingTool: none runs, and adb is not installed on this host.
        Unreachable: it did not start, with what it said; or none runs on another machine; or it is no adb server.
        Refused: the environment names no place for it, or this host's adb is of another version and would end it.
        TimedOut: what listens there does not answer.
    """
    endpoint = chosen(device)
    server = Server(endpoint)
    try:
        try:
            version = _version(server, ends_at)
        except Absent as error:
            if not endpoint.startable:
                raise _absent(endpoint, device, error) from None
            said = _started(endpoint, device, ends_at)
            try:
                version = _version(server, ends_at)
            except Absent:
                raise Unreachable(
                    f"the adb server did not start at {endpoint}: {said or 'it said nothing'}",
                    remedy=f"run `adb -L {endpoint.spec} nodaemon server`, which says why",
                    device=device,
                ) from None
    except TimeoutError:
        raise TimedOut(
            f"the adb server at {endpoint} does not answer",
            remedy="see what listens there (`ss -lntxp`), and end it or name another place in ADB_SERVER_SOCKET",
            device=device,
        ) from None
    except Gone as error:
        raise Unreachable(
            f"what listens at {endpoint} is no adb server that works ({error})",
            remedy="see what it is (`ss -lntxp`), and end it or name another place in ADB_SERVER_SOCKET",
            device=device,
        ) from error
    _check_version(endpoint, version, device)
    return server


def _version(server: Server, ends_at: float) -> int:
    """Return the server's version, 0 of one that is too old to be asked."""
    try:
        said = server.ask("host:version", ends_at)
    except Refusal:
        return 0
    try:
        return int(said, 16)
    except ValueError as error:
        raise Gone(f"its version is {said[:30]!r}") from error


def _absent(endpoint: Endpoint, device: str, error: Absent) -> Unreachable:
    return Unreachable(
        f"no adb server answers at {endpoint} ({error})",
        remedy=(
            "start it on that machine (`adb -a nodaemon server`), or let it be `localhost`, the only name at which one "
            "is started from here"
        ),
        device=device,
    )


def _check_version(endpoint: Endpoint, version: int, device: str) -> None:
    program = shutil.which("adb")
    own = _own_version(program, Path(program).stat().st_mtime_ns) if program else 0
    if own and own != version:
        raise Refused(
            f"the adb server at {endpoint} is of version {version or 'none'} and {program} of version {own}: any"
            " command of the latter ends that server, and what is measured through it",
            remedy="put the adb of the server's version first in PATH, or end the server",
            device=device,
        )


@functools.lru_cache
def _own_version(program: str, changed_ns: int) -> int:
    """Return the version of an adb, 0 if it does not say: `41` of `1.0.41`.

    Args:
        program: its path.
        changed_ns: when that file changed, so that another one is asked again.
    """
    del changed_ns
    try:
        done = subprocess.run(
            [program, "version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_S,
            start_new_session=True,  # Ctrl-C is meant for us
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = _VERSION.search(done.stdout.decode("utf-8", "replace"))
    return int(found[1]) if found else 0


def _started(endpoint: Endpoint, device: str, ends_at: float) -> str:
    """Start the server, wait until it has seen what is plugged in, and return what it said if it did not start."""
    program = shutil.which("adb")
    if program is None:
        raise MissingTool(
            "adb is not on this host",
            remedy="install the Debian package `adb` or Android's platform-tools",
            device=device,
        )
    _check_place(endpoint, device)
    log = Path(os.environ.get("TMPDIR") or "/tmp") / f"adb.{os.getuid()}.log"
    logged = log.stat().st_size if log.exists() else 0
    reading, writing = os.pipe()
    # a file, for the server keeps what it was given as its output, and a pipe would never end
    with tempfile.TemporaryFile() as output, os.fdopen(reading, "rb") as answer:
        try:
            words = ["-L", endpoint.spec, "fork-server", "server", "--reply-fd", str(writing)]
            subprocess.run(
                ["/bin/sh", "-c", _APART, "sh", program, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writing,),
                start_new_session=True,
                check=False,
            )
        finally:
            os.close(writing)
        if not select.select([answer], [], [], left(ends_at))[0]:
            raise TimeoutError
        if answer.read(2) == b"OK":
            return ""
        output.seek(0)
        said = output.read()
    if log.exists():
        said += log.read_bytes()[logged:]
    return said.decode("utf-8", "replace").strip().replace("\n", " ")[-300:]


def _check_place(endpoint: Endpoint, device: str) -> None:
    """Refuse a path that a server would replace by its socket, whatever stands there."""
    path = "" if endpoint.path.startswith("\0") else endpoint.path
    if path and Path(path).exists() and not Path(path).is_socket():
        raise Refused(f"{endpoint} is no socket", remedy="name another path there, or unset it", device=device)
