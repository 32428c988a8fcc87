"""A process beside this one that cleans the devices up if this one is killed, when it cannot do so itself.

It is started with the first lease and ends with the last, waits at a pipe and costs nothing meanwhile. When the pipe
ends and a device is still held, it does what the next campaign would: it takes the lease of the dead one, ends its job,
removes what it left and lets go. Only a process can tell the end of another from a cut cable: the device sees the same
of both, and waits longer (`harness.agent.presence`).
"""

from __future__ import annotations

import base64
import itertools
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from harness.model import Device

#: Holds "NUMBER DEVICE" for each device until "NUMBER" alone comes; it imports nothing before it is needed.
_WAIT: Final = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
held = {}
for line in sys.stdin:
    number, _, device = line.strip().partition(" ")
    held.pop(number, None)
    if device:
        held[number] = device
if held:
    from harness.deploy.lease import clean_up
    clean_up(held.values())
"""
_lock = threading.Lock()
_numbers = itertools.count()
_process: subprocess.Popen[bytes] | None = None
_held: set[int] = set()


@contextmanager
def kept(device: Device) -> Iterator[None]:
    """Let the device be cleaned up if this process is killed meanwhile."""
    with _lock:
        number = next(_numbers)
        _held.add(number)
        _tell(f"{number} {base64.b64encode(pickle.dumps(device)).decode()}\n")
    try:
        yield
    finally:
        with _lock:
            _held.discard(number)
            _tell(f"{number}\n")
            if not _held:
                _end()


def _tell(line: str) -> None:
    """Send a line to the process, which is started for the first one."""
    global _process
    if _process is None:
        path = json.dumps([str(Path(entry).absolute()) for entry in sys.path])
        _process = subprocess.Popen(
            [sys.executable, "-c", _WAIT, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    assert _process.stdin is not None
    try:
        _process.stdin.write(line.encode())
        _process.stdin.flush()
    except BrokenPipeError:
        # It was killed: leases still end by their beat.
        return


def _end() -> None:
    global _process
    if _process is not None:
        try:
            _process.communicate()
        finally:
            _process = None
