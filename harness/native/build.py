"""Compiles the native runner for an ABI with the compiler that is there, and collects what it runs on."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from harness import cache_dir
from harness.errors import MissingTool, Unsupported
from harness.native import header

PROGRAM: Final = "edgeward-native"
#: The name under which the dynamic loader lies beside the program; src/process.c looks for it.
LOADER: Final = "ld.so"
SOURCES: Final = Path(__file__).with_name("src")
#: No contraction: float32 sums are rounded step by step, as numpy does.
FLAGS: Final = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=off")

#: What libonnxruntime asks for (`readelf -d`), beside the loader.
_LIBRARIES: Final = (
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libgcc_s.so.1",
)


@dataclass(frozen=True, slots=True)
class Abi:
    """An ABI as GNU names it: what `uname -m` says there, its loader, and Debian's name for the architecture."""

    name: str
    machines: tuple[str, ...]
    loader: str
    debian: str


ABIS: Final = (
    Abi("x86_64-linux-gnu", ("x86_64", "amd64"), "ld-linux-x86-64.so.2", "amd64"),
    Abi("aarch64-linux-gnu", ("aarch64", "arm64"), "ld-linux-aarch64.so.1", "arm64"),
    Abi("arm-linux-gnueabihf", ("armv7l", "armv8l"), "ld-linux-armhf.so.3", "armhf"),
    Abi("riscv64-linux-gnu", ("riscv64",), "ld-linux-riscv64-lp64d.so.1", "riscv64"),
)


@dataclass(frozen=True, slots=True)
class Kit:
    """The runner for one ABI: a folder with the program, its loader and its libraries.

    Attributes:
        files: name in the folder -> sha256.
        glibc: version of the C library brought along, (0, 0) where none is.
        digest: of all of them: the name of the folder on the device.
    """

    abi: str
    folder: Path
    files: dict[str, str]
    glibc: tuple[int, int]
    digest: str


def abi_of(machine: str, *, device: str) -> str:
    """Return the ABI for what `uname -m` says; raises Unsupported for a processor that the runner is not built for."""
    for abi in ABIS:
        if machine in abi.machines:
            return abi.name
    known = ", ".join(name for abi in ABIS for name in abi.machines)
    text = f"there is no native runner for {machine or 'an unnamed processor'} (known: {known})"
    raise Unsupported(text, remedy='set runner = "python"', device=device)


@cache
def kit(abi: str, *, cc: str = "", device: str = "this host") -> Kit:
    """Return the runner for `abi`, from the cache or compiled now.

    Args:
        abi: a name of `ABIS`, or another that `cc` compiles for; libraries are brought along for those of `ABIS` only.
        cc: the compiler; by default the one that Debian installs for the ABI.
        device: the device that an error is about.

    Raises:
        MissingTool: there is no such compiler, it lacks a library, or it cannot compile the runner.
    """
    compiler = _compiler(abi, cc, device)
    libraries = _libraries(abi, compiler, device)
    folder = cache_dir() / "native" / _key(abi, compiler, libraries)
    if not (folder / "manifest.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            _fill(Path(work) / "made", compiler, libraries, device)
            # Another process may have been first; its folder is as good.
            if not folder.exists():
                shutil.move(Path(work) / "made", folder)
    files: dict[str, str] = json.loads((folder / "manifest.json").read_text())
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return Kit(abi, folder, files, _glibc(folder / "libc.so.6"), digest)


def _known(abi: str) -> Abi | None:
    return next((one for one in ABIS if one.name == abi), None)


def _compiler(abi: str, cc: str, device: str) -> str:
    known = _known(abi)
    own = known is not None and platform.machine() in known.machines and platform.system() == "Linux"
    wanted = [cc] if cc else [f"{abi}-gcc", *(("gcc", "cc") if own else ())]
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found:
        return found
    if known is None or cc:
        raise MissingTool(f"there is no compiler {wanted[0]} on this host", remedy="name one with --cc", device=device)
    raise MissingTool(
        f"no compiler for {abi} on this host", remedy=f"{_remedy(known, own)}, or name one with --cc", device=device
    )


def _remedy(abi: Abi, own: bool) -> str:
    if own:
        return "apt-get install gcc libc6-dev libstdc++6"
    cross = f"{abi.debian}-cross"
    return f"apt-get install gcc-{abi.name} libc6-dev-{cross} libstdc++6-{cross}"


def _libraries(abi: str, compiler: str, device: str) -> dict[str, Path]:
    """Return name on the device -> file of the loader and the libraries, as the compiler's own tree holds them."""
    known = _known(abi)
    if known is None:
        return {}
    found = {}
    for name, asked in ((LOADER, known.loader), *((name, name) for name in _LIBRARIES)):
        done = subprocess.run([compiler, f"-print-file-name={asked}"], capture_output=True, text=True, check=False)
        path = Path(done.stdout.strip())
        # A compiler that does not know the file gives back its bare name.
        if not path.is_absolute() or not path.is_file():
            own = platform.machine() in known.machines
            raise MissingTool(f"{compiler} has no {asked} for {abi}", remedy=_remedy(known, own), device=device)
        found[name] = path
    return found


def _key(abi: str, compiler: str, libraries: dict[str, Path]) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    parts = [abi.encode(), compiler.encode(), version, " ".join(FLAGS).encode()]
    parts += [path.name.encode() + path.read_bytes() for path in sorted(SOURCES.iterdir())] + [header.text().encode()]
    parts += [name.encode() + _sha256(path).encode() for name, path in libraries.items()]
    key = hashlib.sha256()
    for part in parts:
        key.update(hashlib.sha256(part).digest())
    return f"{abi}-{key.hexdigest()[:16]}"


def _fill(folder: Path, compiler: str, libraries: dict[str, Path], device: str) -> None:
    folder.mkdir()
    compile_program([compiler, *FLAGS], folder / PROGRAM, device=device)
    for name, path in libraries.items():
        shutil.copyfile(path, folder / name)
    for name in {PROGRAM, LOADER} & {path.name for path in folder.iterdir()}:
        (folder / name).chmod(0o755)
    files = {path.name: _sha256(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(files))


def compile_program(
    command: Sequence[str], program: Path, *, device: str = "this host", changes: Mapping[str, object] | None = None
) -> None:
    """Compile the sources, with the header that holds the contract, into `program`.

    Args:
        command: a compiler and its flags.
        program: the file to write.
        device: the device that an error is about.
        changes: name -> value of constants of the contract that are not to have their own; for tests.

    Raises:
        MissingTool: with what the compiler said.
    """
    sources = [str(path) for path in sorted(SOURCES.glob("*.c"))]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / header.NAME).write_text(header.text(changes))
        done = subprocess.run(
            [*command, f"-I{folder}", *sources, "-o", str(program), "-ldl", "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return
    errors = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
    said = errors[0].strip() if errors else f"code {done.returncode}"
    raise MissingTool(
        f"{command[0]} cannot compile the native runner: {said}", remedy="try another with --cc", device=device
    )


def _glibc(libc: Path) -> tuple[int, int]:
    """Return the version that a libc.so.6 says of itself when it is run: its text stands in the file."""
    if not libc.exists():
        return (0, 0)
    found = re.search(rb"GNU C Library .{0,80}? release version (\d+)\.(\d+)", libc.read_bytes())
    return (int(found[1]), int(found[2])) if found else (2, 17)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
