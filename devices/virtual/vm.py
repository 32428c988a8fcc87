"""An aarch64 board in qemu: its own kernel, memory and disk, a power sensor and a battery that a test sets.

Its processor is emulated, so its times say nothing about any board. What is real: the instruction set, the kernel's
interfaces for sensors and batteries, memory that runs out, a disk that outlives a reset, a plug that can be pulled.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devices.virtual import vm_boot, vm_image
from devices.virtual.openssh import free_port, make_key
from devices.virtual.requirements import lacking, program
from devices.virtual.vm_image import Image, image
from devices.virtual.waiting import ssh_answers
from harness.model import Address, Device

NEEDS: Final = (*vm_image.NEEDS, "package:qemu-system-arm=qemu-system-aarch64", "package:openssh-client=ssh-keygen")
_WORKDIR: Final = "/var/lib/edgeward"
#: Of the INA226 as the kernel's driver calibrates it, behind its 10 mOhm; W.
_POWER_STEP_W: Final = 0.00625
#: How long it may take to log in on a busy machine; s.
_LOGIN_S: Final = 120.0
#: Where the sensor answers, and which of its registers holds the power.
_SENSOR, _POWER = "0x40", "0x03"

#: Lines of `seconds until the next one` and `word` on standard input; says when each was set. One process writes them
#: all (SMBus words by ioctl, as i2cset does): to start one for each takes the emulated processor longer than a step.
_PLAY: Final = f"""
import ctypes, fcntl, sys, time
class Data(ctypes.Union):
    _fields_ = [("word", ctypes.c_uint16), ("block", ctypes.c_uint8 * 34)]
class Write(ctypes.Structure):
    _fields_ = [("read", ctypes.c_uint8), ("register", ctypes.c_uint8), ("size", ctypes.c_uint32),
                ("data", ctypes.POINTER(Data))]
bus = open("/dev/i2c-0", "r+b", buffering=0)
fcntl.ioctl(bus, 0x0706, {_SENSOR})
due = time.monotonic()
for line in sys.stdin.read().splitlines():
    wait, word = line.split()
    fcntl.ioctl(bus, 0x0720, Write(0, {_POWER}, 3, ctypes.pointer(Data(word=int(word, 16)))))
    print(time.clock_gettime(time.CLOCK_BOOTTIME), word)
    due += float(wait)
    time.sleep(max(0.0, due - time.monotonic()))
"""


class VmError(RuntimeError):
    """The machine did not start or did not do what it was asked; its text ends with its console."""


@dataclass(frozen=True, slots=True)
class Vm:
    """A running machine.

    Attributes:
        folder: keys, console, the socket that commands for qemu go through.
        pid: of qemu; killing it is pulling the plug for good.
    """

    folder: Path
    host: str
    port: int
    host_key: str
    pid: int

    @property
    def identity(self) -> Path:
        """The private key that lets root in."""
        return self.folder / "identity"

    @property
    def console(self) -> str:
        """What its kernel and its first process said so far."""
        return (self.folder / "console.log").read_text(errors="replace")

    def device_toml(
        self,
        *,
        runtimes: Sequence[str] = (),
        tags: Sequence[str] = (),
        meter: bool = False,
        runner: str = "python",
    ) -> str:
        """Return a device file that reaches this machine; with `meter` its sensor is read."""
        wanted, named = (", ".join(f'"{text}"' for text in texts) for texts in (runtimes, tags))
        return (
            f'kind = "sbc"\naddress = "ssh://root@{self.host}:{self.port}"\n'
            'description = "aarch64 in qemu (emulated: its times are no board\'s), started by devices/virtual/vm.py"\n'
            f'tags = [{named}]\nrunner = "{runner}"\nruntimes = [{wanted}]\nworkdir = "{_WORKDIR}"\n\n'
            f'[ssh]\nhost_key = "{self.host_key}"\nidentity = "{self.identity}"\n'
            # its emulated processor shares this machine's with whatever else runs, and a key exchange takes its time
            + f"connect_timeout_s = {_LOGIN_S:g}\n"
            + ('\n[meter]\nkind = "hwmon"\nchannel = "power1_input"\n' if meter else "")
        )

    def device(self, *, id: str = "vm", **options: object) -> Device:
        """Return the Device that `write_device` describes, with the keys of `[ssh]` replaced by `options`."""
        return Device(
            id=id,
            kind="sbc",
            address=Address("ssh", host=self.host, user="root", port=self.port),
            workdir=_WORKDIR,
            options={
                "host_key": self.host_key,
                "identity": str(self.identity),
                "connect_timeout_s": _LOGIN_S,
                **options,
            },
            file=Path("devices") / f"{id}.toml",
        )

    def write_device(
        self,
        lab: Path,
        *,
        id: str = "vm",
        runtimes: Sequence[str] = (),
        tags: Sequence[str] = (),
        meter: bool = False,
    ) -> Path:
        """Write devices/`id`.toml into a lab and return its path."""
        path = lab / "devices" / f"{id}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.device_toml(runtimes=runtimes, tags=tags, meter=meter))
        return path

    def run(self, script: str, *, stdin: str = "") -> str:
        """Run a shell script on it by OpenSSH's own client, apart from the harness, and return what it printed."""
        command = ["ssh", "-F", "none", "-i", str(self.identity), "-p", str(self.port), "-o", "BatchMode=yes"]
        command += ["-o", f"UserKnownHostsFile={self.folder}/known_hosts", f"root@{self.host}"]
        done = subprocess.run(
            [*command, f"sh -c {shlex.quote(script)}"], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise VmError(f"`{script.strip().splitlines()[0]}` ended with {done.returncode}: {done.stderr[-500:]}")
        return done.stdout

    def play(self, trace: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Let the sensor show a course of power and return it as it really was.

        Args:
            trace: (for how long, power) pairs; s and W, which is rounded to the sensor's 6.25 mW.

        Returns:
            (since when, power) pairs, by the machine's clock since it was started (CLOCK_BOOTTIME); s and W.
        """
        lines = "".join(f"{seconds} {_word(power)}\n" for seconds, power in trace)
        command = f"exec python3 -I -S -c {shlex.quote(_PLAY)}"
        said = [line.split() for line in self.run(command, stdin=lines).splitlines()]
        return [(float(moment), _power(word)) for moment, word in said]

    def battery(self, *, ratio: float | None = None, charging: bool | None = None) -> None:
        """Set what the battery says: its charge, 0..1, and whether it is being charged."""
        values = {"battery_capacity": None if ratio is None else str(round(ratio * 100))}
        if charging is not None:
            values |= {
                "battery_status": "charging" if charging else "discharging",
                "ac_online": "on" if charging else "off",
                "usb_online": "on" if charging else "off",
            }
        set_ = [f"echo {value} > /sys/module/test_power/parameters/{name}" for name, value in values.items() if value]
        self.run(" && ".join(set_))

    def cut(self) -> None:
        """Pull its network cable: nothing arrives any more, and nobody gets a message."""
        self.tell("set_link", name="net", up=False)

    def mend(self) -> None:
        """Plug its network cable in again."""
        self.tell("set_link", name="net", up=True)

    def reset(self) -> None:
        """Press its reset button; its disk keeps what was written, and it is back in seconds."""
        self.tell("system_reset")

    def tell(self, command: str, **arguments: object) -> Any:
        """Give qemu a command (QMP) and return its answer.

        Raises:
            VmError: qemu refused it.
        """
        with socket.socket(socket.AF_UNIX) as plug:
            plug.settimeout(10)
            plug.connect(str(self.folder / "qmp"))
            with plug.makefile("rw") as talk:
                talk.readline()
                for name, values in (("qmp_capabilities", {}), (command, arguments)):
                    talk.write(json.dumps({"execute": name, "arguments": values}) + "\n")
                    talk.flush()
                    answer = json.loads(talk.readline())
                    while "event" in answer:
                        answer = json.loads(talk.readline())
                    if "error" in answer:
                        raise VmError(f"qemu refused {name}: {answer['error']['desc']}")
        return answer["return"]


def _word(power_w: float) -> str:
    """Return the register's value as i2cset wants it: the sensor's bytes come the other way round."""
    steps = round(power_w / _POWER_STEP_W)
    return f"0x{(steps & 0xFF) << 8 | steps >> 8:04x}"


def _power(word: str) -> float:
    value = int(word, 16)
    return ((value & 0xFF) << 8 | value >> 8) * _POWER_STEP_W


@contextlib.contextmanager
def vm(folder: Path, *, memory_mib: int = 1024, processors: int = 2, boot_s: float = 120.0) -> Iterator[Vm]:
    """Run a machine until the block is left; its console stays in `folder` and is shown if the block fails.

    Args:
        folder: an empty folder, whose path must be short enough for a socket in it.
        memory_mib: its memory; MiB.
        processors: how many it has.
        boot_s: how long it may take to answer; s.

    Raises:
        VmError: it did not start, with its console.
        ImageError, RootError: its image could not be made.
    """
    missing = lacking(*NEEDS)
    if missing:
        raise VmError(f"an aarch64 machine needs {missing}")
    made = image()
    folder.mkdir(parents=True)
    make_key(folder / "identity")
    make_key(folder / "host_key")
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    files = {"authorized_keys": folder / "identity.pub", "host_key": folder / "host_key"}
    seed = {name: path.read_bytes() for name, path in files.items()}
    (folder / "initrd").write_bytes(vm_boot.initrd(made.initrd.read_bytes(), seed))
    port = free_port()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    command = _command(folder, made, port, memory_mib, processors)
    with (folder / "qemu.log").open("wb") as log:
        variables = {**os.environ, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables)
    running = Vm(folder, "127.0.0.1", port, host_key, process.pid)
    try:
        if not ssh_answers(running.host, port, within_s=boot_s):
            raise VmError(f"it did not answer: {(folder / 'qemu.log').read_text()[-500:]}")
        yield running
    except BaseException:
        print(f"--- {folder}/console.log\n{running.console[-4000:]}")
        raise
    finally:
        process.kill()
        process.wait()


def _command(folder: Path, made: Image, port: int, memory_mib: int, processors: int) -> list[str]:
    return [
        *(program("qemu-system-aarch64") or "", "-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg,thread=multi"),
        *("-smp", str(processors), "-m", str(memory_mib), "-display", "none", "-monitor", "none", "-no-user-config"),
        *("-kernel", str(made.kernel), "-initrd", str(folder / "initrd")),
        *("-append", "console=ttyAMA0 quiet panic=1"),
        *("-drive", f"file={made.disk},if=none,id=disk,format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=disk"),
        *("-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *("-serial", f"file:{folder}/console.log", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
    ]
