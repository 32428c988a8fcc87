"""Who this process is, so that any host can tell whether it still runs, and no other one is taken for it."""

from __future__ import annotations

import getpass
import os
import socket
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from harness.ports.leases import Owner

_HERE: Final = f"{getpass.getuser()}@{socket.gethostname()}"
#: Place of the start time, in ticks since the system's start, behind the name in /proc/PID/stat (proc(5): field 22).
_START: Final = 19


def this_process(root: str = "") -> Owner:
    """Return this process as the owner of one lease more; `root` is its workdir on the device."""
    return Owner(
        _HERE,
        os.getpid(),
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        _boot_id(),
        _namespace(),
        _started(os.getpid()),
        root,
        uuid.uuid4().hex[:8],
    )


def is_gone(owner: Owner) -> bool:
    """Return whether an owner was a process of this host that no longer runs: killed before it could let go.

    One of another host, or of another container here, cannot be seen and is never said to be gone.
    """
    if not is_visible(owner):
        return False
    return not psutil.pid_exists(owner.process) or _started(owner.process) not in ("", owner.started)


def is_visible(owner: Owner) -> bool:
    """Return whether an owner is, or was, a process that this host can see: of this boot and this container."""
    return bool(owner.boot_id) and (owner.boot_id, owner.namespace) == (_boot_id(), _namespace())


def is_this_process(owner: Owner) -> bool:
    """Return whether an owner is this very process, which measures by another device file."""
    own = (owner.boot_id, owner.namespace, owner.process, owner.started)
    return own == (_boot_id(), _namespace(), os.getpid(), _started(os.getpid()))


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{socket.gethostname()} since {psutil.boot_time():.0f}"


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(process: int) -> str:
    """Return when a process began, "ended" for one that is dead and not yet buried, "" for one that cannot be seen."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        try:
            return str(psutil.Process(process).create_time())
        except psutil.Error:
            return ""
    except OSError:
        return ""
    return "ended" if words[0] in "ZX" else words[_START]
