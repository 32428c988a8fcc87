"""A machine that shares this one's kernel: processes, mounts, name and network of its own, gone with its first one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from devices.virtual import cable
from devices.virtual.cable import Cable

NEEDS: Final = (*cable.NEEDS, "package:util-linux=unshare", "package:mount", "package:coreutils=chroot")

#: Begins the script of a first process: sh -c SCRIPT sh ROOT SHARE NAME …; what is mounted goes with the namespace.
FURNISH: Final = """
set -e
root=$1 share=$2 name=$3
shift 3
hostname "$name" 2>/dev/null || echo "$name" > /proc/sys/kernel/hostname
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
if [ -n "$share" ]; then
  mkdir -p "$root$share"
  mount --rbind "$share" "$root$share"
fi
set +e
"""


@dataclass(frozen=True, slots=True)
class Contained:
    """A machine that runs.

    Attributes:
        pid: of its first process, as this host counts.
        cable: the network cable that it hangs on.
    """

    pid: int
    cable: Cable

    def processes(self) -> list[psutil.Process]:
        """Return everything that runs on it, parents first."""
        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def named(self, program: str) -> list[psutil.Process]:
        """Return what runs on it under a name; what ends while one looks is not there."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == program:
                    found.append(process)
        return found


@contextlib.contextmanager
def contained(script: str, arguments: Sequence[str], log: IO[bytes]) -> Iterator[Contained]:
    """Run a machine whose first process is the shell `script` until the block is left.

    Args:
        script: POSIX shell; it is root in namespaces of its own, where nothing else runs.
        arguments: of the script, from `$1` on.
        log: where its output and errors go.

    Raises:
        CableError: it ended before its cable was laid, or this kernel knows no such cables.
    """
    spaces = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "slave"]
    command = [*spaces, "sh", "-c", script, "sh", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=_environment()
    )
    try:
        yield Contained(process.pid, cable.lay(process.pid))
    finally:
        _end(process)


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """Make what is mounted below `folder` meanwhile appear on contained machines that share it, too."""
    bind = subprocess.run(["mount", "--bind", str(folder), str(folder)], check=False, capture_output=True)
    bind.check_returncode()
    try:
        subprocess.run(["mount", "--make-rshared", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _environment() -> dict[str, str]:
    """Return the environment of a machine that was just switched on: nothing of this process's."""
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the first process; the kernel then kills everything else in its namespace, stopped ones too.

    `unshare` itself is left to bury its child and to end by that: an orphan would wait for this system's init.
    """
    first = psutil.Process(process.pid).children() if process.poll() is None else []
    for member in first:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    if not first:
        process.kill()
    process.wait()
