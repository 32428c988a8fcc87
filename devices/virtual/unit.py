"""A closed ultrasound unit: dropbear and busybox, a shell and nothing else. No Python, no SFTP, no scp, no bash.

It has the C and C++ libraries of this host, as such units have theirs: a native program runs there.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual import contained
from devices.virtual.contained import FURNISH, Contained, shared
from devices.virtual.openssh import make_key
from devices.virtual.requirements import lacking, program
from devices.virtual.waiting import ssh_answers
from harness.model import Address, Device

NEEDS: Final = (
    *contained.NEEDS,
    "package:dropbear-bin=dropbear",
    "package:busybox-static=busybox",
    "package:openssh-client=ssh-keygen",
    "package:libc-bin=ldd",
)
_PORT: Final = 22
_WORKDIR: Final = "/data/edgeward"
#: Some clients make a dropbear without an RSA key die.
_HOST_KEYS: Final = ("ed25519", "rsa")
#: What a runtime for models is linked with, besides what dropbear needs.
_LIBRARIES: Final = ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1")
_SERVE: Final = (
    FURNISH
    + """
"$root/bin/busybox" chroot "$root" /bin/busybox --install -s /bin
exec 3>&-
while :; do
  chroot "$root" /usr/sbin/dropbear -F -E -s -m -p 22 -r /etc/dropbear/ed25519 -r /etc/dropbear/rsa
  sleep 0.2
done
"""
)


class UnitError(RuntimeError):
    """The unit did not start; its text ends with its log."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A running unit.

    Attributes:
        folder: its root, keys and log.
        machine: its processes and its cable.
        host_key: its public key as a line: type and base64.
    """

    folder: Path
    machine: Contained
    host_key: str

    @property
    def host(self) -> str:
        """Where it is reached."""
        return self.machine.cable.address

    @property
    def identity(self) -> Path:
        """The private key that lets root in."""
        return self.folder / "identity"

    @property
    def workdir(self) -> Path:
        """The harness's folder on the unit, as this host sees it."""
        return self.folder / "root" / _WORKDIR.lstrip("/")

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self.folder / "unit.log").read_text(errors="replace")

    def device_toml(self, *, runtimes: Sequence[str] = (), tags: Sequence[str] = ()) -> str:
        """Return a device file that reaches this unit, its host key pinned."""
        wanted, named = (", ".join(f'"{text}"' for text in texts) for texts in (runtimes, tags))
        return (
            f'kind = "ultrasound"\naddress = "ssh://root@{self.host}"\n'
            'description = "dropbear and busybox, no Python, started by devices/virtual/unit.py"\n'
            f'tags = [{named}]\nrunner = "native"\nruntimes = [{wanted}]\nworkdir = "{_WORKDIR}"\n\n'
            f'[ssh]\nhost_key = "{self.host_key}"\nidentity = "{self.identity}"\n'
        )

    def device(self, *, id: str = "unit", **options: object) -> Device:
        """Return the Device that `write_device` describes, with the keys of `[ssh]` replaced by `options`."""
        return Device(
            id=id,
            kind="ultrasound",
            address=Address("ssh", host=self.host, user="root"),
            runner="native",
            workdir=_WORKDIR,
            options={"host_key": self.host_key, "identity": str(self.identity), **options},
            file=Path("devices") / f"{id}.toml",
        )

    def write_device(
        self, lab: Path, *, id: str = "unit", runtimes: Sequence[str] = (), tags: Sequence[str] = ()
    ) -> Path:
        """Write devices/`id`.toml into a lab and return its path."""
        path = lab / "devices" / f"{id}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.device_toml(runtimes=runtimes, tags=tags))
        return path

    def servers(self) -> list[int]:
        """Return the pids of its dropbear processes: the listener first, then one for each connection."""
        return [process.pid for process in self.machine.named("dropbear")]


@contextlib.contextmanager
def unit(folder: Path, *, share: Path | None = None) -> Iterator[Unit]:
    """Run a unit until the block is left; its log stays in `folder` and is shown if the block fails.

    Args:
        folder: an empty folder for its root, keys and log.
        share: a folder of this host that it has under the same path, with what is mounted below it meanwhile.

    Raises:
        UnitError: it did not start, with what it said.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise UnitError(f"a closed unit needs {missing}")
    host_key = _prepared(folder)
    with contextlib.ExitStack() as stack:
        if share:
            stack.enter_context(shared(share))
        log = stack.enter_context((folder / "unit.log").open("wb"))
        script = [str(folder / "root"), str(share or ""), "unit"]
        machine = stack.enter_context(contained.contained(_SERVE, script, log))
        running = Unit(folder, machine, host_key)
        try:
            if not ssh_answers(running.host, _PORT):
                raise UnitError(f"dropbear did not answer on {running.host}")
            yield running
        except BaseException:
            print(f"--- {folder}/unit.log\n{running.log[-4000:]}")
            raise


def _prepared(folder: Path) -> str:
    """Make root and keys; return the public host key."""
    root = folder / "root"
    for name in ("bin", "usr/sbin", "usr/bin", "etc/dropbear", "root/.ssh", "tmp", "var/run", "run"):
        (root / name).mkdir(parents=True)
    (root / _WORKDIR.lstrip("/")).mkdir(parents=True)
    for path in (root, root / "root", root / "root/.ssh"):
        path.chmod(0o755 if path == root else 0o700)
    shutil.copy(program("busybox") or "", root / "bin/busybox")
    shutil.copy(program("dropbear") or "", root / "usr/sbin/dropbear")
    for library in _libraries():
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    make_key(folder / "identity")
    shutil.copyfile(folder / "identity.pub", root / "root/.ssh/authorized_keys")
    (root / "root/.ssh/authorized_keys").chmod(0o600)
    said = [_host_key(root / "etc/dropbear" / kind, kind) for kind in _HOST_KEYS]
    return said[0]


def _host_key(path: Path, kind: str) -> str:
    command = ["dropbearkey", "-t", kind, "-f", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"^(ssh-\S+ \S+)", said, re.MULTILINE)
    if not found:
        raise UnitError(f"dropbearkey printed no public key:\n{said}")
    return found[1]


def _libraries() -> list[str]:
    """Return the shared libraries that the unit is given, by the paths at which its programs look for them."""
    said = subprocess.run(["ldd", program("dropbear") or ""], check=True, capture_output=True, text=True).stdout
    found = set(re.findall(r"(/\S+) \(0x", said))
    folder = next(Path(path).parent for path in found if Path(path).name == "libc.so.6")
    more = [folder / name for name in _LIBRARIES]
    return sorted({*found, *(str(path) for path in more if path.exists())})
