"""runner = "native"

A small C program in the agent's place, for devices without Python: .onnx models through the onnxruntime of `runtimes`.
It is compiled on this host (harness/native) and brings its own loader and C library.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import cache_dir, registry
from harness.deploy import answered, checked, files
from harness.deploy.wheels import Bundle, bundle
from harness.errors import DeviceError, MissingTool, OutOfSpace, Unsupported
from harness.native import build
from harness.ports import Handle, Target, Workspace
from harness.runners._detached import follow, start, stop

__all__ = ["METERS", "OUTPUTS", "SCENARIOS", "TURNS", "follow", "install", "runtime", "start", "stop"]

#: The scenarios of `[load]` that it can measure; it has an energy pass and gives outputs.
SCENARIOS = ("single_stream", "stream", "offline", "sustained")
METERS = True
OUTPUTS = True
TURNS = True
#: The device has no Python; any for which wheels are made will do, for the C library in them is the same.
_PYTHON = (3, 11)
_LIBRARY = "onnxruntime/capi/libonnxruntime.so."


def install(handle: Handle) -> Workspace:
    """Build the runner for the device's processor and bring it there with its loader and libraries.

    Raises:
        Unsupported: there is no runner for this processor.
        MissingTool: this host has no compiler for it, or the device does not let it run.
    """
    device = handle.device
    machine = checked(handle.run(["uname", "-m"]), device, "the device does not say what processor it has").text
    kit = build.kit(build.abi_of(machine, device=device.id), device=device.id)
    folder = posixpath.join(handle.root, "agent", kit.digest[:16])
    command = (f"{folder}/{build.LOADER}", "--library-path", folder, f"{folder}/{build.PROGRAM}")
    place = Workspace(handle.root, command, Target(_PYTHON, machine, kit.glibc), _untar, folder)
    if not _whole(handle, place, kit):
        _bring(handle, kit, folder)
        _check(handle, place, kit)
    return place


def runtime(handle: Handle, requirement: str) -> str:
    """Return the folder of libonnxruntime on the device, bringing it there if it is missing or damaged.

    Raises:
        Unsupported: another runtime than onnxruntime is asked for, or its wheel holds no library for C.
    """
    device = handle.device
    if registry.runtime_name(requirement) != "onnxruntime":
        raise Unsupported(
            f"the native runner has no {requirement}, only onnxruntime",
            remedy='take it out of runtimes, or set runner = "python" if the device has Python',
            device=device.id,
        )
    made = bundle(requirement, (), handle.workspace.target, device=device.id)
    if not _inside(made):
        text = f"the wheel of {requirement} has no library for C"
        raise Unsupported(text, remedy="name a newer version", device=device.id)
    digest = made.files[_inside(made)]
    folder = posixpath.join(handle.root, "runtimes", digest[:16])
    wanted = {f"{folder}/libonnxruntime.so": digest}
    for path in files.missing(handle, wanted):
        files.bring(handle, taken_out(made), path)
        if files.missing(handle, wanted):
            raise OutOfSpace(f"{requirement} did not arrive whole", remedy="free some space", device=device.id)
    return folder


def _inside(made: Bundle) -> str:
    """Return the path of libonnxruntime in a runtime's tar, "" if it has none."""
    return next((path for path in made.files if path.startswith(_LIBRARY)), "")


def taken_out(made: Bundle) -> Path:
    """Return the libonnxruntime of a runtime's tar as a file of its own, in the cache."""
    inside = _inside(made)
    target = cache_dir() / "native" / f"onnxruntime-{made.files[inside][:16]}.so"
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


def _whole(handle: Handle, place: Workspace, kit: build.Kit) -> bool:
    """Return whether every file is there and whole; a runner that is missing or damaged may not even say so."""
    try:
        return not files.missing(handle, _wanted(kit, place.folder), place)
    except (DeviceError, ValueError) as error:
        if isinstance(error, DeviceError) and not answered(error):
            raise
        return False


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
            f"the native runner does not start in {place.folder} ({error})",
            remedy="if that disk is mounted noexec, set workdir to another one",
            device=device,
        ) from error
    if damaged:
        raise OutOfSpace(f"{', '.join(damaged)} did not arrive whole", remedy="free some space", device=device)


def _untar(tar: str, into: str) -> Sequence[str]:
    return ("sh", "-c", 'mkdir -p "$2" && tar -xf "$1" -C "$2"', "sh", tar, into)
