"""Brings agent, runtimes, models and data onto a device by digest, once, and verifies them there before use.

Layout under the workdir: `agent/DIGEST/`, `runtimes/DIGEST/`, `blobs/DIGEST`, `jobs/ID/`. Folders appear under their
name by a rename, so a name is a promise that all of it is there.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from harness import registry
from harness.errors import DeviceError, MissingTool, OutOfSpace
from harness.model import Device
from harness.ports import Completed, Connection
from harness.wheels import Bundle, Target, bundle

_PROBE = "import json,platform,sys;print(json.dumps([sys.version_info[:2],platform.machine(),platform.libc_ver()]))"
_PYTHON_MIN = (3, 9)


@dataclass(frozen=True, slots=True)
class Workspace:
    """The harness's place on one device. `command` starts the agent there; a verb and its arguments follow."""

    root: str
    python: str
    agent: str
    target: Target

    @property
    def command(self) -> tuple[str, ...]:
        """The agent's command line without its verb."""
        return (self.python, "-I", "-S", f"{self.agent}/harness/agent/__main__.py")


def workspace(connection: Connection, device: Device) -> Workspace:
    """Find Python, make the workdir and bring the agent.

    Raises:
        MissingTool: the device has no Python 3.9 or newer.
        DeviceError: the workdir cannot be made.
    """
    python, target = _python(connection, device)
    root = _root(connection, device)
    folders = [posixpath.join(root, name) for name in ("agent", "runtimes", "blobs", "jobs")]
    checked(connection.run(["mkdir", "-p", *folders]), device, f"{root} cannot be made on the device; set workdir")
    archive, digest = _agent_archive()
    agent = posixpath.join(root, "agent", digest[:16])
    _unpack(connection, device, python, archive, agent)
    return Workspace(root, python, agent, target)


def runtime(connection: Connection, device: Device, place: Workspace, requirement: str) -> str:
    """Return the folder of a runtime on the device, bringing it there if it is missing or damaged."""
    constraints = import_module(f"harness.agent.runtimes.{runtime_module(requirement)}").CONSTRAINTS
    made: Bundle = bundle(requirement, constraints, place.target, device=device.id)
    folder = posixpath.join(place.root, "runtimes", made.sha256[:16])
    wanted = {posixpath.join(folder, name): digest for name, digest in made.files.items()}
    if missing(connection, device, place, wanted):
        connection.run(["rm", "-rf", folder])
        _unpack(connection, device, place.python, made.archive, folder)
        if still := missing(connection, device, place, wanted):
            raise OutOfSpace(
                f"{len(still)} files of {requirement} did not arrive whole; free some space", device=device.id
            )
    return folder


def runtime_module(requirement: str) -> str:
    """Return the name of the agent's file for a runtime requirement: `ai-edge-litert==2.3.0` -> `litert`."""
    return registry.runtimes()[registry.normalised(Requirement(requirement).name)].name


def blobs(connection: Connection, device: Device, place: Workspace, files: Mapping[str, Path]) -> dict[str, str]:
    """Bring files, given by sha256, and return where each is on the device; only verified ones are returned."""
    where = {digest: posixpath.join(place.root, "blobs", digest) for digest in files}
    wanted = {path: digest for digest, path in where.items()}
    for path in missing(connection, device, place, wanted):
        connection.push(files[wanted[path]], path)
    if still := missing(connection, device, place, wanted):
        raise OutOfSpace(f"{', '.join(still)} did not arrive whole; free some space", device=device.id)
    return where


def missing(connection: Connection, device: Device, place: Workspace, wanted: Mapping[str, str]) -> list[str]:
    """Return which of {path: sha256} are absent or damaged on the device."""
    done = connection.run([*place.command, "inventory"], stdin=json.dumps(wanted).encode(), timeout_s=600)
    absent: list[str] = json.loads(checked(done, device, "the agent does not run on the device").text)
    return absent


def survey(connection: Connection, device: Device, place: Workspace) -> dict[str, Any]:
    """Return the device's fingerprint, conditions and abilities as the agent reads them."""
    done = connection.run([*place.command, "survey", place.root])
    report: dict[str, Any] = json.loads(checked(done, device, "the agent does not run on the device").text)
    return report


def remove(connection: Connection, device: Device, paths: Iterable[str]) -> None:
    """Remove paths from the device and check that they are gone; raises DeviceError if one is not."""
    listed = list(paths)
    connection.run(["rm", "-rf", *listed])
    for path in listed:
        if connection.run(["test", "-e", path]).code == 0:
            raise DeviceError(f"{path} could not be removed from the device; remove it by hand", device=device.id)


def checked(done: Completed, device: Device, meaning: str) -> Completed:
    """Return `done` if it ended well; else raise DeviceError that says what it means and what the device said."""
    if done.code == 0:
        return done
    said = done.err.decode("utf-8", "replace").strip().splitlines()
    kind = OutOfSpace if b"No space left" in done.err else DeviceError
    raise kind(f"{meaning} ({said[-1] if said else f'code {done.code}'})", device=device.id)


def _python(connection: Connection, device: Device) -> tuple[str, Target]:
    # On this machine the interpreter is the one that runs pytest; -I -S keeps its packages out.
    python = sys.executable if device.address.scheme == "local" else "python3"
    done = connection.run([python, "-I", "-S", "-c", _PROBE])
    if done.code:
        raise MissingTool("the python runner needs python3 on the device; install it there", device=device.id)
    version, machine, libc = json.loads(done.text)
    if tuple(version) < _PYTHON_MIN:
        said = ".".join(map(str, version))
        raise MissingTool(f"the device has Python {said}; the agent needs 3.9 or newer", device=device.id)
    glibc = tuple(int(part) for part in libc[1].split(".")[:2]) if libc[0] == "glibc" else (2, 17)
    return python, Target((version[0], version[1]), machine, (glibc[0], glibc[1]))


def _root(connection: Connection, device: Device) -> str:
    scheme = device.address.scheme
    wanted: str = device.workdir or import_module(f"harness.transports.{scheme}").workdir(device)
    if not wanted.startswith("~/"):
        return posixpath.normpath(wanted)
    home = checked(connection.run(["sh", "-c", "cd && pwd"]), device, "the user has no home; set workdir").text
    return posixpath.join(home, wanted[2:])


def _unpack(connection: Connection, device: Device, python: str, archive: Path, folder: str) -> None:
    """Push a tar and make it a folder, which appears whole or not at all."""
    if connection.run(["test", "-d", folder]).code == 0:
        return
    tar, part = f"{folder}.tar", f"{folder}.part"
    connection.push(archive, tar)
    try:
        done = connection.run([python, "-m", "tarfile", "-e", tar, part], timeout_s=600)
        checked(done, device, f"{folder} could not be unpacked on the device")
        checked(connection.run(["mv", "-T", part, folder]), device, f"{folder} could not be put in place")
    finally:
        connection.run(["rm", "-rf", tar, part])


def _agent_archive() -> tuple[Path, str]:
    """Return the agent's sources as a reproducible tar in the temporary folder, and its digest."""
    root = Path(str(resources.files("harness")))
    names = ["__init__.py", *sorted(str(p.relative_to(root)) for p in (root / "agent").rglob("*.py"))]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            content = (root / name).read_bytes()
            info = tarfile.TarInfo(f"harness/{name}")
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    raw = buffer.getvalue()
    digest = hashlib.sha256(raw).hexdigest()
    path = Path(tempfile.gettempdir()) / f"edgeward-agent-{digest[:16]}.tar"
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        part = path.with_suffix(f".{id(buffer)}")
        part.write_bytes(raw)
        part.replace(path)
    return path, digest
