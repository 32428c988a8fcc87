"""Which Python a device has: asked of the interpreter that will run there, not of the kernel, and before any copying.

A 32-bit system under a 64-bit kernel, musl and free-threaded builds need wheels of their own. How the interpreter names
its extension modules says which processor, C library and ABI it was built for (PEP 3149).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from typing import Final

from harness.errors import DeviceError, MissingTool, Unsupported
from harness.model import Device
from harness.ports import Completed, Handle, Target

_PYTHON_MIN: Final = (3, 9)
#: The module that unpacks what is brought, and is imported by no source.
_UNPACKS: Final = "tarfile"
#: Before each line of the answer: start scripts of an interpreter may print lines of their own.
_MARK: Final = "edgeward-python:"
#: python -c PROBE WORKDIR MODULE …: needs no module but sys, for what is lacking is to be said, too.
_PROBE: Final = f"""
import sys
def say(*words):
    print("{_MARK}", *words)
def lacks(name):
    try:
        __import__(name)
    except ImportError:
        return True
    return False
say("version", *sys.version_info[:2])
say("bits", 64 if sys.maxsize > 2**32 else 32)
say("lacking", *[name for name in sys.argv[2:] if lacks(name)])
import os
say("machine", os.uname()[4])
try:
    import _imp
    say("suffix", _imp.extension_suffixes()[0])
    import platform
    say("libc", *platform.libc_ver())
except ImportError:
    say("libc")
folder = sys.argv[1]
while not os.path.isdir(folder) and folder != "/":
    folder = os.path.dirname(folder)
say("noexec", 1 if os.statvfs(folder).f_flag & 8 else 0)
"""
#: sh -c MUSL: the loader of musl says its version when it is called without a program.
_MUSL: Final = 'for loader in /lib/ld-musl-*.so.1; do "$loader" 2>&1; done'
#: What comes behind the version in an extension module's suffix -> the machine that wheels name.
_MACHINES: Final = {"x86_64": "x86_64", "i386": "i686", "aarch64": "aarch64", "arm": "armv7l", "riscv64": "riscv64"}
_SUFFIX: Final = re.compile(r"\.cpython-\d+(?P<abi>t?)\w*-(?P<machine>\w+?)-linux-(?P<libc>gnu|musl)")
_BITS: Final = {"x86_64": 64, "aarch64": 64, "riscv64": 64, "ppc64le": 64, "s390x": 64}


def interpreter(handle: Handle, sources: Iterable[bytes]) -> tuple[str, Target]:
    """Return a device's Python and what wheels must fit there.

    Args:
        handle: of the device.
        sources: of what will run there, whose modules the interpreter must have.

    Raises:
        MissingTool: there is no Python 3.9 or newer that runs, or modules of it are missing.
        Unsupported: no wheel can be chosen for it, or its folder lies where no library may be loaded.
    """
    device = handle.device
    python = device.python or (sys.executable if device.address.here else "python3")
    done = handle.run([python, "-I", "-S", "-c", _PROBE, handle.root, *modules(sources)])
    said = _facts(done)
    if done.code or "version" not in said or "noexec" not in said:
        raise _broken(device, python, done)
    version = tuple(int(part) for part in said["version"])
    if version < _PYTHON_MIN:
        text = f"{python} is Python {'.'.join(said['version'])}, the agent needs 3.9 or newer"
        raise MissingTool(text, remedy=f"install a newer one there, {_elsewhere(device)}", device=device.id)
    if said["lacking"]:
        text = f"{python} lacks {', '.join(said['lacking'])} of Python's own modules, which the agent needs"
        raise MissingTool(text, remedy=f"install the whole of Python there, {_elsewhere(device)}", device=device.id)
    if said["noexec"] == ["1"]:
        text = f"{handle.root} lies on a disk from which no library may be loaded (noexec)"
        raise Unsupported(text, remedy=f"set workdir in {device.file.name} to another disk", device=device.id)
    return python, _target(handle, said)


def modules(sources: Iterable[bytes]) -> list[str]:
    """Return the modules of Python's own library that sources import, sorted; those of other systems left out."""
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return sorted((found & sys.stdlib_module_names) | {_UNPACKS})


def _facts(done: Completed) -> dict[str, list[str]]:
    lines = (line.split() for line in done.text.splitlines() if line.startswith(_MARK))
    return {words[1]: words[2:] for words in lines if len(words) > 1}


def _target(handle: Handle, said: dict[str, list[str]]) -> Target:
    """Return what wheels must fit, as the interpreter says it."""
    suffix = _SUFFIX.match(" ".join(said.get("suffix", ())))
    machine, bits = said["machine"][0], int(said["bits"][0])
    if _BITS.get(machine, 32) != bits:
        # The kernel's word for itself; the interpreter was built for another processor.
        built = _MACHINES.get(suffix["machine"] if suffix else "", "")
        if _BITS.get(built, 32) != bits or not built:
            text = f"its Python has {bits} bits under a kernel of {machine}, and does not say for which processor it is"
            raise Unsupported(text, remedy=_elsewhere(handle.device), device=handle.device.id)
        machine = built
    libc = said.get("libc", [])
    version = (int(said["version"][0]), int(said["version"][1]))
    abi = suffix["abi"] if suffix else ""
    if (suffix and suffix["libc"] == "musl") or libc[:1] == ["musl"]:
        return Target(version, machine, _musl(handle), "musl", abi)
    # glibc itself says its version; where it does not, 2.17 is what the oldest wheels of today are built for.
    parts = re.match(r"(\d+)\.(\d+)", libc[1]) if libc[:1] == ["glibc"] and len(libc) > 1 else None
    return Target(version, machine, (int(parts[1]), int(parts[2])) if parts else (2, 17), "glibc", abi)


def _musl(handle: Handle) -> tuple[int, int]:
    found = re.search(r"Version (\d+)\.(\d+)", handle.run(["sh", "-c", _MUSL]).text)
    if found is None:
        text = "its C library is musl, whose version its loader does not say"
        raise Unsupported(text, remedy=_elsewhere(handle.device), device=handle.device.id)
    return int(found[1]), int(found[2])


def _broken(device: Device, python: str, done: Completed) -> DeviceError:
    """Return why an interpreter that gave no answer gave none."""
    said = [*done.err.decode("utf-8", "replace").strip().splitlines(), *done.text.strip().splitlines()]
    if done.code == 127 and not device.python and all("not found" in line for line in said):
        text = "the python runner needs python3 on the device"
        return MissingTool(text, remedy=f"install it there, {_elsewhere(device)}", device=device.id)
    text = f"{python} does not run on the device ({said[-1].strip() if said else f'code {done.code}'})"
    return MissingTool(text, remedy=f"mend it there, {_elsewhere(device)}", device=device.id)


def _elsewhere(device: Device) -> str:
    return f'or write python = "/path/of/another/python3" in {device.file.name}, or runner = "native"'
