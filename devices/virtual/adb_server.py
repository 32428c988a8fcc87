"""An adb server of its own: its port, its key, and none of the phones that hang on this machine's usual one."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from devices.virtual.requirements import lacking
from devices.virtual.waiting import accepts, soon

NEEDS: Final = ("package:adb",)


class AdbServerError(RuntimeError):
    """The server did not start; its text ends with its log."""


@contextlib.contextmanager
def adb_server(folder: Path, *, port: int = 0) -> Iterator[int]:
    """Run a server until the block is left and give its port, which programs find in ANDROID_ADB_SERVER_PORT.

    Args:
        folder: for its key and its log; a phone that asks knows the computer by that key.
        port: where it listens on loopback; 0 for any free one.

    Raises:
        AdbServerError: adb is not installed or did not start, with what it said.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise AdbServerError(f"an adb server needs {missing}")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    variables = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}
    with (folder / "adb.log").open("wb") as log:
        process = subprocess.Popen(
            ["adb", "-P", str(port), "nodaemon", "server"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=variables,
            start_new_session=True,
        )
    try:
        if not soon(lambda: process.poll() is not None or accepts(("127.0.0.1", port))) or process.poll() is not None:
            raise AdbServerError(f"the adb server did not start on port {port}:\n{(folder / 'adb.log').read_text()}")
        yield port
    finally:
        process.kill()
        process.wait()


def state(port: int, serial: str) -> str:
    """Return what the server on `port` says of a device: `device`, `unauthorized`, `offline`, ... or nothing."""
    said = subprocess.run(["adb", "-P", str(port), "devices"], capture_output=True, text=True, check=True, timeout=60)
    found = [line.split("\t", 1) for line in said.stdout.splitlines()]
    return next((line[1] for line in found if len(line) == 2 and line[0] == serial), "")


def free_port() -> int:
    """Return a port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
