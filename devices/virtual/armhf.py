"""A 32-bit ARM board, as old ones are: its Python and its SSH server run under qemu's user mode, on this host's kernel.

Good for what a device says of its ABI, what is then brought to it, and that a model computes the same there. How fast
it is says nothing of a real board; memory is this host's, and its /sys is empty: for memory and sensors see `vm`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual import contained, foreign_root
from devices.virtual.contained import Contained
from devices.virtual.openssh import Server, prepared
from devices.virtual.requirements import lacking, program
from devices.virtual.waiting import ssh_answers

NEEDS: Final = (
    *contained.NEEDS,
    *foreign_root.NEEDS,
    "package:qemu-user-static=qemu-arm-static",
    "package:openssh-client=ssh-keygen",
)
#: Not busybox: its shell runs itself by /proc/self/exe, which under qemu is qemu.
#: numpy is the board's own, as on any 32-bit board: no index has wheels of it.
_PACKAGES: Final = (
    *("coreutils", "dash", "findutils", "grep", "libgomp1", "libstdc++6", "openssh-server", "python3"),
    "python3-numpy",
)
#: What the packages' scripts would have linked.
_LINKS: Final = {f"usr/lib/arm-linux-gnueabihf/lib{name}.so.3": f"{name}/lib{name}.so.3" for name in ("blas", "lapack")}
_SUITE: Final = "bookworm"
WORKDIR: Final = Path("/var/lib/edgeward")
#: How the kernel knows a 32-bit ARM program, and by what it is run (Documentation/admin-guide/binfmt-misc.rst).
_MAGIC: Final = (
    r"\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x28\x00",
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
)
#: sh -c SERVE sh BASE FOLDER INTERPRETER MAGIC MASK
_SERVE: Final = """
base=$1 folder=$2 interpreter=$3 magic=$4 mask=$5
set -e
echo armhf > /proc/sys/kernel/hostname
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/edgeward-arm ] ||
  printf '%s' ":edgeward-arm:M::$magic:$mask:$interpreter:F" > /proc/sys/fs/binfmt_misc/register
mount -t tmpfs tmpfs "$folder/layers"
mkdir "$folder/layers/upper" "$folder/layers/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/layers/upper,workdir=$folder/layers/work" "$folder/root"
root=$folder/root
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/run/sshd" "$root/etc/ssh" "$root/root" "$root/server"
mount -t proc proc "$root/proc"
printf 'model name : ARMv7, emulated by qemu-arm\\n' > "$root/server/cpuinfo"
mount --bind "$root/server/cpuinfo" "$root/proc/cpuinfo"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
[ -e "$root/bin/sh" ] || ln -s dash "$root/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\\n' > "$root/etc/passwd"
printf 'root:x:0:\\nnogroup:x:65534:\\n' > "$root/etc/group"
cp "$folder/host_key_ed25519" "$folder/authorized_keys" "$folder/sshd_config" "$root/server/"
chmod 600 "$root"/server/*
set +e
while :; do
  chroot "$root" /usr/sbin/sshd -D -e -f /server/sshd_config
  sleep 0.2
done
"""


class BoardError(RuntimeError):
    """The board did not start; its text ends with its log."""


@dataclass(frozen=True, slots=True)
class Board:
    """A running board.

    Attributes:
        server: its sshd, for a device file.
        machine: its processes.
    """

    server: Server
    machine: Contained


@contextlib.contextmanager
def armhf(folder: Path) -> Iterator[Board]:
    """Run a board until the block is left; its log stays in `folder`.

    The kernel goes on knowing how to run 32-bit ARM programs afterwards, until it is started anew.

    Raises:
        BoardError: it did not start, with what it said.
        RootError: its packages cannot be had.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise BoardError(f"an armhf board needs {missing}")
    base = foreign_root.foreign_root("armhf", _PACKAGES, suite=_SUITE, links=_LINKS, architecture="armhf")
    server = prepared(folder, "0.0.0.0", 22, ("ed25519",), {"LC_ALL": "C"}, ["UseDNS no"])
    for name in ("layers", "root"):
        (folder / name).mkdir()
    config = folder / "sshd_config"
    config.write_text(config.read_text().replace(str(folder), "/server"))
    shutil.rmtree(folder / "work")
    words = [str(base), str(folder), program("qemu-arm-static") or "", *_MAGIC]
    with (folder / "sshd.log").open("wb") as log, contained.contained(_SERVE, words, log) as machine:
        if not ssh_answers(machine.cable.address, 22, within_s=60):
            raise BoardError(f"it did not answer:\n{server.log[-2000:]}")
        yield Board(dataclasses.replace(server, host=machine.cable.address, pid=machine.pid), machine)
