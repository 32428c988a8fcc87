"""What a device's Python is, asked of itself: version, ABI, C library, and whether the agent can live there.

The kernel says what the processor could run; the interpreter that will load the wheels says what it can. Whatever is
not as it must be is said before anything is pushed.
"""

from __future__ import annotations

import ast
import io
import re
import signal
import sys
import threading
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from harness.deploy.answers import words
from harness.errors import MissingTool, Unsupported
from harness.model import Device
from harness.ports.runners import Handle, Target
from harness.ports.transports import Completed

_MIN: Final = (3, 9)
#: Held while Python makes a syntax tree: before 3.11.8 and 3.12.2 it counts in one number how deep those of all threads
#: are, and raises SystemError (CPython issue 106905). Devices are begun side by side, and pytest makes trees of the
#: modules that are imported meanwhile, which no lock of ours holds back.
_parsing: Final = threading.Lock()
_MARK: Final = "edgeward-python "
#: PYTHON -I -S -c PROBE WORKDIR MODULE...; prints a Python literal, for a pruned Python may have no json. Importing a
#: module of a pruned or broken Python may raise anything: what that leaves open is empty or listed, and judged here.
_PROBE: Final = """
import sys
found = {"version": list(sys.version_info[:2]), "name": sys.implementation.name, "program": sys.executable}
found["flags"], found["wide"] = getattr(sys, "abiflags", ""), sys.maxsize > 2 ** 32
found["bionic"] = hasattr(sys, "getandroidapilevel")
try:
    import _imp
    found["suffix"] = _imp.extension_suffixes()[0]
except Exception:
    found["suffix"] = ""
lacks = []
for name in sys.argv[2:]:
    try:
        __import__(name)
    except Exception:
        lacks.append(name)
found["lacks"] = lacks
import os
found["machine"] = os.uname().machine
try:
    found["libc"] = os.confstr("CS_GNU_LIBC_VERSION") or ""
except Exception:
    found["libc"] = ""
found["musl"] = ""
try:
    with open("/proc/self/maps") as maps:
        found["musl"] = next((line.split()[-1] for line in maps if "/ld-musl-" in line), "")
except OSError:
    pass
place = sys.argv[1]
while not os.path.isdir(place) and place != os.path.dirname(place):
    place = os.path.dirname(place)
try:
    found["noexec"] = place if os.statvfs(place).f_flag & getattr(os, "ST_NOEXEC", 8) else ""
except OSError:
    found["noexec"] = ""
print("\\n" + "edgeward-python " + ascii(found))
"""
#: What a 32-bit interpreter's wheels are called, by what its kernel is called; likewise of 64-bit ones.
_NARROW: Final = {"x86_64": "i686", "aarch64": "armv7l", "armv8l": "armv7l"}
_WIDE: Final = {"i686": "x86_64", "armv7l": "aarch64", "armv8l": "aarch64"}
#: Of the names of extension modules whose 32-bit ABI no wheels are made for: soft floating point, and x32.
_NO_WHEELS: Final = re.compile(r"-(gnueabi|musleabi|gnux32)\.so$")


def interpreter(handle: Handle, sources: Iterable[bytes]) -> tuple[str, Target]:
    """Return a device's Python and what wheels must fit there.

    It is the one that the device's file names, else python3; on this machine the one that runs pytest.

    Args:
        handle: of the device.
        sources: of what will run there, whose modules the interpreter must have.

    Raises:
        MissingTool: there is none, it does not run, it is too old, or it lacks a module.
        Unsupported: no wheels are made for it, or no library can be loaded from the workdir.
    """
    device, wanted = handle.device, modules(sources)
    program = device.python or (sys.executable if device.address.here else "python3")
    facts, noise = _asked(handle, program, wanted)
    if noise:
        facts, program = _behind(handle, program, facts, noise, wanted)
    _refuse_unfit(device, facts)
    musl = handle.run([facts["musl"]]).err if facts["musl"] else b""
    return program, target_of(facts, musl, device=device)


def modules(sources: Iterable[bytes]) -> list[str]:
    """Return what of the standard library sources import, and what unpacks them there; sorted."""
    found = {"tarfile", *(name for source in sources for name in _imported(source))}
    return sorted(name for name in found if name.partition(".")[0] in sys.stdlib_module_names)


def _imported(source: bytes) -> Iterator[str]:
    """Yield the modules that a source imports, but for those of its own package.

    By tokens, for no syntax tree can be made safely here: see `_parsing`.
    """
    words: list[str] = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP) and token.string != ";":
            if token.string in ("import", "from") and words[-1:] == [":"]:
                words = []  # behind the colon of an `if` or a `try`
            words.append(token.string)
        elif token.type == tokenize.NEWLINE or token.string == ";":
            yield from _of_statement(words)
            words = []


def _of_statement(words: Sequence[str]) -> Iterator[str]:
    if words[:1] == ["from"] and "import" in words:
        name = "".join(words[1 : words.index("import")])
        if not name.startswith("."):
            yield name
    elif words[:1] == ["import"]:
        for name in "".join(" as " if word == "as" else word for word in words[1:]).split(","):
            yield name.partition(" as ")[0]


def target_of(facts: Mapping[str, Any], musl: bytes, *, device: Device) -> Target:
    """Return what wheels must fit an interpreter.

    Args:
        facts: what the probe printed.
        musl: what musl's loader prints of itself, where there is one.
        device: for the error.

    Raises:
        Unsupported: no wheels are made for such an interpreter.
    """
    named = f"Python {'.'.join(map(str, facts['version']))} on {facts['machine']}"
    if facts["name"] != "cpython":
        raise _no_wheels(device, f"the device's Python is {facts['name']}, and runtimes are made for CPython only")
    if not facts["wide"] and (_NO_WHEELS.search(facts["suffix"]) or _is_wide(facts["machine"])):
        raise _no_wheels(device, f"no wheels are made for the device's 32-bit {named} ({facts['suffix']})")
    machine = (_WIDE if facts["wide"] else _NARROW).get(facts["machine"], facts["machine"])
    version = (facts["version"][0], facts["version"][1])
    threads = "t" if "t" in facts["flags"] else ""
    if glibc := re.fullmatch(r"glibc (\d+)\.(\d+).*", facts["libc"]):
        return Target(version, machine, (int(glibc[1]), int(glibc[2])), abi=threads)
    if found := re.search(rb"Version (\d+)\.(\d+)", musl):
        return Target(version, machine, (int(found[1]), int(found[2])), "musl", threads)
    library = (
        "Android's own C library (bionic)" if facts["bionic"] else "neither glibc nor a musl that says its version"
    )
    raise _no_wheels(device, f"the device's {named} uses {library}, for which no wheels are made")


def _is_wide(machine: str) -> bool:
    """Return whether a kernel is a 64-bit one on whose 32-bit side no wheels are known to run."""
    return "64" in machine and machine not in _NARROW


def _no_wheels(device: Device, text: str) -> Unsupported:
    return Unsupported(text, remedy=f'{_name_another(device)}, or set runner = "native"', device=device.id)


def _name_another(device: Device) -> str:
    return f'name another one in {device.file.name or "its file"}: python = "/PATH/OF/python3"'


def _asked(handle: Handle, program: str, modules: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return what a Python says of itself, and what was printed besides; raises MissingTool if it does not run."""
    done = handle.run([program, "-I", "-S", "-c", _PROBE, handle.root, *modules])
    noise = []
    facts: dict[str, Any] | None = None
    for line in done.out.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            facts = _literal(line.removeprefix(_MARK))
        elif line.strip():
            noise.append(line.strip())
    if done.code or facts is None:
        raise _does_not_run(handle, program, done)
    return facts, " ".join(noise)[:100]


def _literal(text: str) -> dict[str, Any] | None:
    for last in (False, False, True):
        try:
            with _parsing:
                found = ast.literal_eval(text)
            break
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        except SystemError:
            if last:
                raise
    return found if isinstance(found, dict) else None


def _does_not_run(handle: Handle, program: str, done: Completed) -> MissingTool:
    device = handle.device
    where = handle.run(["sh", "-c", 'command -v "$1"', "sh", program]).text
    if not where:
        text = "the python runner needs python3 on the device"
        if device.python:
            return MissingTool(f"{program} is not on the device", remedy="correct `python`", device=device.id)
        remedy = f'install it there, {_name_another(device)}, or set runner = "native"'
        return MissingTool(text, remedy=remedy, device=device.id)
    said = words(done.err) or words(done.out)
    if not said and done.code > 128:
        said = f"it was killed by {_signal(done.code - 128)}"
    text = f"{where} is on the device and does not run: {said or f'it ended with code {done.code}'}"
    return MissingTool(text, remedy=f"repair it, or {_name_another(device)}", device=device.id)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _behind(
    handle: Handle, program: str, facts: dict[str, Any], noise: str, modules: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Return the interpreter that a script which prints lines starts: itself it answers with nothing else.

    Args:
        handle: of the device.
        program: the script.
        facts: what the interpreter behind it said.
        noise: what was printed besides.
        modules: that it must have.

    Raises:
        MissingTool: that one does not run without the script, or is another.
    """
    device, behind = handle.device, str(facts["program"])
    if behind and behind != program:
        again, more = _asked(handle, behind, modules)
        if not more and again == facts:
            return again, behind
    raise MissingTool(
        f"{program} on the device prints {noise!r} besides what it is asked, which then cannot be read",
        remedy=f"let it print that to standard error, or {_name_another(device)}",
        device=device.id,
    )


def _refuse_unfit(device: Device, facts: Mapping[str, Any]) -> None:
    """Raise what keeps the agent from running there, or a runtime from being loaded."""
    said = ".".join(map(str, facts["version"]))
    if tuple(facts["version"]) < _MIN:
        raise MissingTool(
            f"the device has Python {said}, the agent needs 3.9 or newer",
            remedy=f"install a newer one there, or {_name_another(device)}",
            device=device.id,
        )
    if facts["lacks"]:
        raise MissingTool(
            f"the device's Python {said} lacks what the agent imports: {', '.join(facts['lacks'])}",
            remedy="install the whole standard library there (Debian: python3; Yocto: python3-modules), "
            f"or {_name_another(device)}",
            device=device.id,
        )
    if facts["noexec"]:
        raise Unsupported(
            f"{facts['noexec']} on the device is mounted noexec, so that no library can be loaded from there",
            remedy="set workdir to a folder on another disk, or mount it with exec",
            device=device.id,
        )
