"""How the aarch64 machine comes up: from an initrd to its disk, then network, sensors and the SSH server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

#: The first process: it mounts the disk and hands over.
_FIRST: Final = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /disk
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t ext4 /dev/vda /disk
/bin/busybox cp -a /seed /disk/
/bin/busybox umount /proc
exec /bin/busybox switch_root /disk /seed/start
"""
#: What it hands over to: network as qemu's user mode gives it, sensors, and the SSH server.
_SECOND: Final = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm /run/sshd
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs tmpfs /dev/shm
busybox mount -t tmpfs tmpfs /tmp
busybox hostname vm
busybox ip link set lo up
busybox ip addr add 10.0.2.15/24 dev eth0
busybox ip link set eth0 up
busybox ip route add default via 10.0.2.2
[ -e /bin/sh ] || ln -s busybox /bin/sh
cp /seed/authorized_keys /seed/host_key /etc/ssh/
chmod 600 /etc/ssh/host_key /etc/ssh/authorized_keys
for module in $(cat /lib/virtual/order); do
  case $module in
    i2c-stub) insmod /lib/virtual/$module.ko chip_addr=0x40 ;;
    *) insmod /lib/virtual/$module.ko ;;
  esac
done
echo ina226 0x40 > /sys/bus/i2c/devices/i2c-0/new_device
echo 4 > /proc/sys/kernel/printk
while :; do /usr/sbin/sshd -D -e -o AuthorizedKeysFile=/etc/ssh/authorized_keys < /dev/null; sleep 0.2; done
"""


def initrd(base: bytes, seed: Mapping[str, bytes]) -> bytes:
    """Return what one machine boots from.

    Args:
        base: busybox and modules, as `vm_image.Image.initrd` holds them.
        seed: authorized_keys and host_key, of this machine.
    """
    scripts = {"init": _FIRST.encode(), "seed/start": _SECOND.encode()}
    return base + cpio({**scripts, **{f"seed/{name}": content for name, content in seed.items()}})


def cpio(files: Mapping[str, bytes]) -> bytes:
    """Return files (mode 0755, with the folders they are in) as an archive that Linux takes for an initrd."""
    folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
    entries = [(name, 0o040755, b"") for name in sorted(folders)]
    entries += [(name, 0o100755, content) for name, content in files.items()]
    archive = bytearray()
    for number, (name, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        links = 1 if content else 2
        fields = [number, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
