"""A phone: Android's own adbd with mksh and toybox, in a root and a network of its own, started in a second.

The daemon is the real one (AOSP 34 as Debian trixie builds it), the userland is what Android's is made of, and the
shell is an unprivileged user's. What a phone of glass has and this one has not: bionic, another processor, USB.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from devices.virtual import contained, foreign_root
from devices.virtual.contained import FURNISH, Contained, shared
from devices.virtual.phone_gate import Gate, gate
from devices.virtual.requirements import lacking
from devices.virtual.waiting import accepts, listens, soon
from harness.model import Address, Device

NEEDS: Final = (*contained.NEEDS, *foreign_root.NEEDS)
#: libstdc++6 and zlib1g are what a model's runtime is linked with.
_PACKAGES: Final = ("adbd", "mksh", "toybox", "libstdc++6", "zlib1g")
_SUITE: Final = "trixie"
_PORT: Final = 5555
_WORKDIR: Final = "/data/local/tmp/edgeward"
#: uid of Android's user `shell`, as which adbd runs.
_SHELL: Final = 2000
#: What of toybox is on its PATH: what Android has, too.
_APPLETS: Final = """
[ base64 basename blockdev cal cat chgrp chmod chown chroot chrt cksum clear cmp comm cp cut date df dirname dmesg du
echo egrep env expand factor fallocate false fgrep file find flock fmt free getconf grep groups gunzip head hostname
id inotifyd ionice iorenice kill ln logname ls lsmod lsof md5sum microcom mkdir mkfifo mknod mktemp more mount
mountpoint mv nice nl nohup nproc nsenter od paste patch pgrep pidof pkill pmap printenv printf prlimit ps pwd readelf
readlink realpath renice rev rm rmdir sed seq setsid sha1sum sha224sum sha256sum sha384sum sha512sum sleep sort split
stat strings sync tac tail tar taskset tee test time timeout top touch true truncate tty ulimit umount uname uniq
unlink unshare uptime usleep uudecode uuencode uuidgen vmstat watch wc which whoami xargs xxd yes zcat
"""

#: ROOT SHARE NAME USERLAND DATA UID: the system is read-only, and Android's init starts adbd again as well.
_INIT: Final = (
    """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/usr" "$1/data" "$1/etc"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
mount --bind "$4/usr" "$1/usr"
mount -o remount,bind,ro "$1/usr"
mount --bind "$5" "$1/data"
printf 'root:x:0:0::/data:/bin/sh\\nshell:x:2000:2000::/data/local/tmp:/bin/sh\\n' > "$1/etc/passwd"
printf 'root:x:0:\\nshell:x:2000:\\n' > "$1/etc/group"
"""
    + FURNISH
    + """
while :; do
  env -i PATH=/usr/sbin:/usr/bin ADBD_PORT=5555 chroot --userspec="$3:$3" --groups="$3" "$root" /usr/sbin/adbd
  sleep 0.2
done
"""
)


class PhoneError(RuntimeError):
    """The phone did not start; its text ends with its log."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A running phone.

    Attributes:
        folder: its log, and `folder/"data"`, its /data.
        machine: its processes and its cable.
        host: where adb reaches it.
        port: likewise.
        gate: what asks for authorisation in front of adbd, None if nothing does.
    """

    folder: Path
    machine: Contained
    host: str
    port: int
    gate: Gate | None = None

    @property
    def serial(self) -> str:
        """What `adb devices` calls it once it is connected."""
        return f"{self.host}:{self.port}"

    @property
    def workdir(self) -> Path:
        """The harness's folder on the phone, as this host sees it."""
        return self.folder / "data" / Path(_WORKDIR).relative_to("/data")

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "phone.log").read_text(errors="replace")

    def device_toml(self, *, runtimes: Sequence[str] = (), runner: str = "native") -> str:
        """Return a device file that reaches this phone."""
        wanted = ", ".join(f'"{text}"' for text in runtimes)
        return (
            f'kind = "phone"\naddress = "adb://{self.serial}"\n'
            'description = "Android\'s adbd 34, mksh and toybox, started by devices/virtual/phone.py"\n'
            f'runner = "{runner}"\nruntimes = [{wanted}]\nworkdir = "{_WORKDIR}"\n'
        )

    def device(self, *, id: str = "phone", **options: object) -> Device:
        """Return the Device that `write_device` describes, with `options` as the keys of `[adb]`."""
        return Device(
            id=id,
            kind="phone",
            address=Address("adb", host=self.host, port=self.port),
            workdir=_WORKDIR,
            options=options,
            file=Path("devices") / f"{id}.toml",
        )

    def write_device(
        self, lab: Path, *, id: str = "phone", runtimes: Sequence[str] = (), runner: str = "native"
    ) -> Path:
        """Write devices/`id`.toml into a lab and return its path."""
        path = lab / "devices" / f"{id}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.device_toml(runtimes=runtimes, runner=runner))
        return path

    def adbd(self) -> list[int]:
        """Return the pid of its adbd, or nothing while it is being started again."""
        found = []
        for process in self.machine.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "adbd":
                    found.append(process.pid)
        return found

    def listens(self) -> bool:
        """Return whether its adbd takes connections, which a cut cable does not change."""
        return any(listens(pid, _PORT) for pid in self.adbd())

    def signal_adbd(self, signum: int) -> None:
        """Send adbd a signal: SIGKILL cuts every connection, SIGSTOP makes them silent."""
        for pid in self.adbd():
            os.kill(pid, signum)


@contextlib.contextmanager
def phone(
    folder: Path, *, asks: bool = False, port: int = 0, root: bool = False, share: Path | None = None
) -> Iterator[Phone]:
    """Run a phone until the block is left; its log stays in `folder` and is shown if the block fails.

    Args:
        folder: an empty folder for its /data and its log.
        asks: whether it wants its user's consent before it lets a computer in; then it is reached at this host's
            loopback, and `Phone.gate` is the user.
        port: where a phone that asks is reached; 0 for any free one.
        root: whether its shell is root's, as on a developer's phone; otherwise it is the user `shell`, number 2000.
        share: a folder of this host that it has under the same path, with what is mounted below it meanwhile.

    Raises:
        PhoneError: it did not start, with what it said.
        RootError: its packages cannot be had.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise PhoneError(f"a phone needs {missing}")
    _prepare(folder, root)
    with contextlib.ExitStack() as stack:
        if share:
            stack.enter_context(shared(share))
        running = stack.enter_context(_started(folder, root, share))
        if asks:
            keeper = stack.enter_context(gate((running.host, running.port), port=port))
            running = Phone(folder, running.machine, "127.0.0.1", keeper.port, keeper)
        yield running


def userland() -> Path:
    """Return the phone's system, made now if the cache has none; raises RootError."""
    links = {f"usr/bin/{name}": "toybox" for name in _APPLETS.split()}
    return foreign_root.foreign_root("phone", _PACKAGES, suite=_SUITE, links={**links, "usr/bin/sh": "mksh"})


def _prepare(folder: Path, root: bool) -> None:
    (folder / "root").mkdir(parents=True)
    work = folder / "data" / "local" / "tmp"
    work.mkdir(parents=True)
    (folder / "data").chmod(0o771)
    if not root:
        shutil.chown(work, _SHELL, _SHELL)
        shutil.chown(folder / "data", _SHELL, _SHELL)


@contextlib.contextmanager
def _started(folder: Path, root: bool, share: Path | None) -> Iterator[Phone]:
    uid = "0" if root else str(_SHELL)
    arguments = [str(folder / "root"), str(share or ""), "phone", str(userland()), str(folder / "data"), uid]
    with (folder / "phone.log").open("wb") as log, contained.contained(_INIT, arguments, log) as machine:
        try:
            running = Phone(folder, machine, machine.cable.address, _PORT)
            if not soon(lambda: accepts((running.host, running.port))):
                raise PhoneError(f"adbd did not start on {running.serial}:\n{running.log[-2000:]}")
            yield running
        except BaseException:
            print(f"--- {folder}/phone.log\n{(folder / 'phone.log').read_text(errors='replace')[-4000:]}")
            raise
