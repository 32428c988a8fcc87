"""runner = "native"

A small C program in the agent's place, for devices without Python: .onnx models through the onnxruntime of `runtimes`,
.tflite models through the ai-edge-litert there. It is compiled on this host (harness/native) and brings its own loader
and C library; of a runtime it needs the library for C alone, which lies in the runtime's wheel.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import cache_dir, registry
from harness.agent.contract import LITERT_MAJOR, LITERT_MINOR, VERSION_FILE
from harness.deploy import answered, checked, files, space
from harness.deploy.wheels import Bundle, bundle
from harness.errors import DeviceError, MissingTool, OutOfSpace, Unsupported
from harness.native import build
from harness.ports.runners import Handle, Step, Target, Workspace
from harness.runners._detached import follow, start, stop

__all__ = ["METERS", "OUTPUTS", "SCENARIOS", "TURNS", "follow", "install", "runtime", "start", "stop"]

#: The scenarios of `[load]` that it can measure; it has an energy pass and gives outputs.
SCENARIOS = ("single_stream", "stream", "offline", "sustained")
METERS = True
OUTPUTS = True
TURNS = True
#: The device has no Python; any for which wheels are made will do, for the C library in them is the same.
_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class _Library:
    """A runtime's library for C: how its path in the wheel begins, and what src/runtime_NAME.c calls it.

    `since` is the first version whose interface is known to be what that file takes it for; its major version is the
    last. None where the library itself answers for that, and says its version.
    """

    begins: str
    name: str
    since: tuple[int, int] | None = None


#: By the name of the runtime's file in harness/agent/runtimes.
_LIBRARIES: Final[Mapping[str, _Library]] = {
    "onnxruntime": _Library("onnxruntime/capi/libonnxruntime.so.", "libonnxruntime.so"),
    "litert": _Library("ai_edge_litert/libLiteRt.so", "libLiteRt.so", (LITERT_MAJOR, LITERT_MINOR)),
}


def install(handle: Handle) -> Workspace:
    """Build the runner for the device's processor and bring it there with its loader and libraries.

    Raises:
        Unsupported: there is no runner for this processor.
        MissingTool: this host has no compiler for it, or the device does not let it run.
        OutOfSpace: there is no room for all that the device shall be given.
    """
    return install_for(handle, handle.wanted.runtimes)


def install_for(handle: Handle, runtimes: Sequence[str]) -> Workspace:
    """Do what `install` does, for these of the runtimes that are wanted; raises as it does."""
    device = handle.device
    machine = checked(handle.run(["uname", "-m"]), device, "the device does not say what processor it has").text
    kit = build.kit(build.abi_of(machine, device=device.id), device=device.id)
    folder = posixpath.join(handle.root, "agent", kit.digest[:16])
    command = (f"{folder}/{build.LOADER}", "--library-path", folder, f"{folder}/{build.PROGRAM}")
    place = Workspace(handle.root, command, Target(_PYTHON, machine, kit.glibc), _untar, folder)
    sizes = [(kit.folder / name).stat().st_size for name in kit.files]
    steps = [Step((space.folder_part("the runner", folder, sizes),)), *_libraries(handle, place, runtimes)]
    # A runner that is missing or damaged may not even say so.
    if space.ask(handle, place, _wanted(kit, folder), steps) != []:
        _bring(handle, kit, folder)
        _check(handle, place, kit)
    return place


def runtime(handle: Handle, requirement: str) -> str:
    """Return the folder of a runtime's library on the device, bringing it there if it is missing or damaged.

    Raises:
        Unsupported: the runner cannot use this runtime, or its wheel holds no library for C that is known here.
    """
    folder, sources, wanted = _brought(handle, handle.workspace, requirement)
    for path in files.missing(handle, wanted):
        files.bring(handle, sources[posixpath.basename(path)], path)
        if path in files.missing(handle, wanted):
            raise OutOfSpace(f"{requirement} did not arrive whole", remedy="free some space", device=handle.device.id)
    return folder


def _libraries(handle: Handle, place: Workspace, runtimes: Sequence[str]) -> Iterator[Step]:
    """Yield the room that each runtime's library takes; one that cannot be brought takes none."""
    for requirement in runtimes:
        try:
            _, sources, wanted = _brought(handle, place, requirement)
        except (Unsupported, MissingTool):
            continue  # said when it is brought
        for path in wanted:
            size = sources[posixpath.basename(path)].stat().st_size
            yield Step((space.file_part(requirement, path, size),))


def _brought(handle: Handle, place: Workspace, requirement: str) -> tuple[str, Mapping[str, Path], Mapping[str, str]]:
    """Return a runtime's folder on the device, name -> file here of what is in it, and path there -> sha256."""
    device = handle.device
    library = _LIBRARIES.get(registry.runtime_name(requirement))
    if library is None:
        known = " and ".join(sorted(one.distribution for one in registry.runtimes().values() if one.name in _LIBRARIES))
        raise Unsupported(
            f"the native runner has no {requirement}, only {known}",
            remedy='take it out of runtimes, or set runner = "python" if the device has Python',
            device=device.id,
        )
    sources = _sources(bundle(requirement, (), place.target, device=device.id), library, requirement, device.id)
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sources.items()}
    folder = posixpath.join(handle.root, "runtimes", _folder(digests))
    return folder, sources, {posixpath.join(folder, name): digest for name, digest in digests.items()}


def _folder(digests: Mapping[str, str]) -> str:
    """Return the name of a folder of these files: the digest of one, or of all."""
    whole = "".join(digests[name] for name in sorted(digests))
    return (whole if len(digests) == 1 else hashlib.sha256(whole.encode()).hexdigest())[:16]


def _sources(made: Bundle, library: _Library, requirement: str, device: str) -> Mapping[str, Path]:
    """Return name on the device -> file here, of what the runner needs of a runtime."""
    version = _version(made, requirement)
    if library.since is not None and not _known(version, library.since):
        since = f"{library.since[0]}.{library.since[1]}"
        raise Unsupported(
            f"the native runner does not know the C interface of {requirement}",
            remedy=f"name a version from {since} on and below {library.since[0] + 1}",
            device=device,
        )
    if not _inside(made, library):
        text = f"the wheel of {requirement} has no library for C"
        raise Unsupported(text, remedy="name a newer version", device=device)
    found = {library.name: taken_out(made)}
    if library.since is not None:
        found[VERSION_FILE] = _written(version)
    return found


def _known(version: str, since: tuple[int, int]) -> bool:
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and int(found[1]) == since[0] and int(found[2]) >= since[1]


def _version(made: Bundle, requirement: str) -> str:
    """Return the version of the distribution asked for, as the folder of its wheel's metadata has it."""
    distribution = registry.runtime_of(requirement).distribution
    for path in made.files:
        name, _, version = posixpath.dirname(path).removesuffix(".dist-info").rpartition("-")
        if path.endswith(".dist-info/METADATA") and registry.normalised(name) == distribution:
            return version
    return ""


def _written(version: str) -> Path:
    """Return a file of the cache that holds a version."""
    target = cache_dir() / "native" / f"version-{version}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=target.parent, delete=False) as part:
            part.write(f"{version}\n")
        Path(part.name).replace(target)
    return target


def _inside(made: Bundle, library: _Library) -> str:
    """Return the path of a library in a runtime's tar, "" if it has none."""
    return next((path for path in made.files if path.startswith(library.begins)), "")


def taken_out(made: Bundle) -> Path:
    """Return the library for C of a runtime's tar as a file of its own, in the cache."""
    inside, library = next((path, one) for one in _LIBRARIES.values() if (path := _inside(made, one)))
    target = cache_dir() / "native" / f"{Path(library.name).stem}-{made.files[inside][:16]}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(made.archive) as tar, tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
            content = tar.extractfile(inside)
            assert content is not None  # the manifest was made of this tar's files
            shutil.copyfileobj(content, part)
        Path(part.name).replace(target)
    return target


def _wanted(kit: build.Kit, folder: str) -> Mapping[str, str]:
    return {posixpath.join(folder, name): digest for name, digest in kit.files.items()}


def _bring(handle: Handle, kit: build.Kit, folder: str) -> None:
    """Push the files one by one, each verified, into a folder that then appears as a whole."""
    part = f"{folder}.part"
    handle.run(["rm", "-rf", folder, part])
    try:
        for name in kit.files:
            handle.push(kit.folder / name, posixpath.join(part, name))
        runnable = [posixpath.join(part, name) for name in (build.PROGRAM, build.LOADER)]
        checked(handle.run(["chmod", "755", *runnable]), handle.device, f"{part} could not be made to run")
        checked(handle.run(["mv", part, folder]), handle.device, f"{folder} could not be put in place")
    finally:
        handle.run(["rm", "-rf", part])


def _check(handle: Handle, place: Workspace, kit: build.Kit) -> None:
    device = handle.device.id
    try:
        damaged = files.missing(handle, _wanted(kit, place.folder), place)
    except DeviceError as error:
        if not answered(error):
            raise
        raise MissingTool(
            f"the native runner does not start in {place.folder} ({error.text})",
            remedy="if that disk is mounted noexec, set workdir to another one",
            device=device,
        ) from error
    if damaged:
        raise OutOfSpace(f"{', '.join(damaged)} did not arrive whole", remedy="free some space", device=device)


def _untar(tar: str, into: str) -> Sequence[str]:
    return ("sh", "-c", 'mkdir -p "$2" && tar -xf "$1" -C "$2"', "sh", tar, into)
