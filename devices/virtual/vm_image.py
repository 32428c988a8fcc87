"""What the aarch64 machine starts from: Debian's kernel for arm64, a small initrd, a disk with its root. Made once.

Debian's kernel has no i2c-stub, ina2xx and test_power; they are built from its own sources, out of tree. With them the
machine has a power sensor and a battery behind the interfaces of a real kernel, whose values a test sets.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.virtual import foreign_root
from devices.virtual.foreign_root import downloaded, unpacked
from devices.virtual.vm_boot import cpio
from harness import cache_dir

NEEDS: Final = (
    *foreign_root.NEEDS,
    "root",
    "package:e2fsprogs=mke2fs",
    "package:gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc",
    "package:make",
    "package:xz-utils=xz",
)
SUITE: Final = "bookworm"
#: Part of the cached image's name: raise it when something else is made of the same packages.
_RECIPE: Final = 1
#: libstdc++6 and libgomp1 are what runtimes are linked with.
_PACKAGES: Final = (
    *("busybox-static", "i2c-tools", "libgomp1", "libstdc++6", "linux-image-arm64"),
    *("openssh-server", "openssh-sftp-server", "python3"),
)
_FREE_BYTES: Final = 3_000_000_000
_DISK: Final = "1500M"
#: What it needs to find its disk, in any order; what they depend on comes with them.
_BOOT: Final = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "crc32c_generic")
_LATER: Final = ("i2c-dev",)
_SENSORS: Final = {
    "i2c-stub": "drivers/i2c/i2c-stub.c",
    "ina2xx": "drivers/hwmon/ina2xx.c",
    "test_power": "drivers/power/supply/test_power.c",
}

_SSHD: Final = """HostKey /etc/ssh/host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 50
MaxSessions 20
Subsystem sftp internal-sftp
"""


class ImageError(RuntimeError):
    """The image could not be made; its text says why."""


@dataclass(frozen=True, slots=True)
class Image:
    """What qemu is given; `initrd` lacks what `vm_boot.initrd` adds for each machine."""

    kernel: Path
    initrd: Path
    disk: Path


def image() -> Image:
    """Return the image, from the cache or made now.

    Raises:
        ImageError: it cannot be made, or there is no room for it.
        RootError: its packages cannot be had.
    """
    wanted = repr([_RECIPE, _PACKAGES, SUITE, _SSHD, _BOOT, _LATER, _DISK, sorted(_SENSORS)])
    folder = cache_dir() / "virtual" / f"vm-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder.parent).free < _FREE_BYTES:
            raise ImageError(f"the image needs {_FREE_BYTES / 1e9:.0f} GB for a while in {folder.parent}; free some")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".vm-") as work:
            made = _made(Path(work))
            if not folder.exists():  # another process may have been first; its image is as good
                made.rename(folder)
    return Image(folder / "kernel", folder / "initrd", folder / "disk")


def _made(work: Path) -> Path:
    root = unpacked(work / "root", downloaded(work / "root-debs", _PACKAGES, suite=SUITE, architecture="arm64"))
    version = next(path.name for path in (root / "lib/modules").iterdir())
    sensors = _sensors(work, version)
    made = work / "made"
    made.mkdir()
    shutil.copy(root / f"boot/vmlinuz-{version}", made / "kernel")
    modules = {path.stem.replace("-", "_"): path for path in (root / f"usr/lib/modules/{version}").rglob("*.ko")}
    modules |= {path.stem.replace("-", "_"): path for path in sensors}
    boot = _with_dependencies(_BOOT, modules)
    later = [name for name in _with_dependencies([*_LATER, *_SENSORS], modules) if name not in boot]
    _write_initrd(made / "initrd", root, [modules[name] for name in boot])
    _furnish(root, [modules[name] for name in later])
    command = ["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made / "disk"), _DISK]
    _done(command, "make the disk", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return made


def _sensors(work: Path, version: str) -> list[Path]:
    """Return the modules that Debian leaves out, built for its kernel `version`."""
    headers, release = f"linux-headers-{version}", version.removesuffix("-arm64")
    names = [headers, f"linux-headers-{release}-common", "linux-source-6.1"]
    archives = downloaded(work / "source-debs", names, suite=SUITE, architecture="arm64", alone=True)
    archives += downloaded(work / "tool-debs", ["linux-kbuild-6.1"], suite=SUITE, alone=True)
    tree = unpacked(work / "source", archives)
    sources, build = tree / "usr/src", work / "sensors"
    build.mkdir()
    with tempfile.TemporaryDirectory(dir=work) as unpacked_to:
        paths = [f"linux-source-6.1/{path}" for path in _SENSORS.values()]
        tarball = sources / "linux-source-6.1.tar.xz"
        _done(["tar", "-xJf", str(tarball), "-C", unpacked_to, *paths], "unpack the kernel's sources")
        for path in paths:
            shutil.copy(Path(unpacked_to) / path, build)
    (build / "Makefile").write_text("".join(f"obj-m += {name}.o\n" for name in _SENSORS))
    _make_at_home(tree, sources / headers)
    compiler = ["ARCH=arm64", "CROSS_COMPILE=aarch64-linux-gnu-"]
    _done(["make", "-C", str(sources / headers), f"M={build}", *compiler, "modules"], "build the sensors' modules")
    return [build / f"{name}.ko" for name in _SENSORS]


def _make_at_home(tree: Path, headers: Path) -> None:
    """Let the headers' absolute paths and links point into the folder that they were unpacked to."""
    makefile = headers / "Makefile"
    makefile.write_text(re.sub(r"(?<![\w/])/usr/", f"{tree}/usr/", makefile.read_text()))
    for folder in (headers, *tree.glob("usr/src/linux-headers-*-common")):
        for link in folder.iterdir():
            if link.is_symlink() and "kbuild" in str(link.readlink()):
                kind = link.name
                link.unlink()
                link.symlink_to(tree / "usr/lib/linux-kbuild-6.1" / kind)


def _with_dependencies(names: Iterable[str], modules: Mapping[str, Path]) -> list[str]:
    """Return modules and what they depend on, in the order in which they go in; what is built in is left out."""
    ordered: list[str] = []

    def add(name: str) -> None:
        name = name.replace("-", "_")
        if name in ordered or name not in modules:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", modules[name].read_bytes())
        for other in (depends[1].decode() if depends else "").split(","):
            add(other)
        ordered.append(name)

    for name in names:
        add(name)
    return ordered


def _write_initrd(target: Path, root: Path, modules: list[Path]) -> None:
    files = {"bin/busybox": (root / "usr/bin/busybox").read_bytes()}
    files |= {f"modules/{path.name}": path.read_bytes() for path in modules}
    files["modules/order"] = "\n".join(path.stem for path in modules).encode()
    target.write_bytes(cpio(files))


def _furnish(root: Path, modules: list[Path]) -> None:
    """Make a machine of the unpacked packages, whose own scripts were not run."""
    for folder in ("proc", "sys", "dev", "run", "tmp", "root", "seed", "lib/virtual", "etc/ssh"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path in modules:
        shutil.copy(path, root / "lib/virtual")
    for folder in ("boot", "usr/lib/modules", "usr/share/perl", "usr/share/locale"):
        shutil.rmtree(root / folder, ignore_errors=True)
    (root / "lib/virtual/order").write_text("\n".join(path.stem for path in modules))
    (root / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
        "nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
    )
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    (root / "etc/ssh/sshd_config").write_text(_SSHD)
    (root / "root").chmod(0o700)
    _compile_library(root)


def _compile_library(root: Path) -> None:
    """Compile Python's library here, where it takes seconds, if this Python is of the same kind as the machine's."""
    library = root / f"usr/lib/python3.{sys.version_info.minor}"
    if library.is_dir():
        command = [sys.executable, "-m", "compileall", "-q", "-s", str(root), "-p", "/", str(library)]
        subprocess.run(command, check=False, capture_output=True)  # what does not compile is compiled there


def _done(command: list[str], what: str, *, path: str = "") -> None:
    variables = {**os.environ, "LC_ALL": "C", **({"PATH": path} if path else {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        raise ImageError(f"cannot {what}: {(done.stderr or done.stdout).strip()[-800:]}")
