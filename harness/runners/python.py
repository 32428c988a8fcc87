"""runner = "python"

The agent under the device's own python3: it gets a job directory, detaches and needs no connection.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from harness import registry
from harness.deploy.placing import Workspace, checked, leave_list, missing, missing_of_many, unpack
from harness.deploy.wheels import Bundle, NoWheel, Target, bundle
from harness.errors import DeviceError, MeasurementError, MissingTool, OutOfSpace, Transient, Unsupported
from harness.model import Device
from harness.ports import Connection

#: The scenarios of `[load]` that it can measure.
SCENARIOS = ("single_stream", "stream", "offline", "sustained")
_PROBE = "import json,platform,sys;print(json.dumps([sys.version_info[:2],platform.machine(),platform.libc_ver()]))"
_PYTHON_MIN = (3, 9)
#: With the device's own packages, which the agent itself never sees.
_NUMPY = "import json,numpy,os;print(json.dumps([numpy.__version__,os.path.dirname(numpy.__file__)]))"

#: Kills a job's process group, if the number still is that job's, and waits: what still runs may still write.
_STOP = """
pid=$(cat "$1/pid") || exit 0
tr '\\0' ' ' < "/proc/$pid/cmdline" | grep -qF "$1" || exit 0
kill -KILL "-$pid"
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  kill -0 "-$pid" 2>/dev/null || exit 0
  sleep 0.1
done
"""

#: Longest silence between two events; a launch of many slow models is the longest that an agent keeps.
SILENCE_S = 900.0


def install(connection: Connection, device: Device, root: str) -> Workspace:
    """Find Python and bring the agent.

    Raises:
        MissingTool: the device has no Python 3.9 or newer.
    """
    python, target = _python(connection, device)
    archive, digest = _agent_archive()
    folder = posixpath.join(root, "agent", digest[:16])

    def extract(tar: str, into: str) -> Sequence[str]:
        return (python, "-I", "-S", "-m", "tarfile", "-e", tar, into)

    command = (python, "-I", "-S", f"{folder}/harness/agent/__main__.py")
    place = Workspace(root, command, target, extract, folder)
    if _damaged(connection, device, place, folder):
        connection.run(["rm", "-rf", folder])
        unpack(connection, device, extract, archive, folder)
    return place


def _damaged(connection: Connection, device: Device, place: Workspace, folder: str) -> bool:
    """Return whether a file of the agent is not the one that was brought; an agent that cannot say so is."""
    try:
        wanted = {f"{folder}/{name}": hashlib.sha256(content).hexdigest() for name, content in _agent_sources()}
        return missing(connection, device, place, wanted) != []
    except (DeviceError, ValueError) as error:
        if isinstance(error, Transient):
            raise
        return True


def runtime(connection: Connection, device: Device, place: Workspace, requirement: str) -> str:
    """Return the folder of a runtime on the device, bringing it there if it is missing or damaged.

    Where no index has a wheel of numpy, as for 32-bit ARM, the folder gets a link to the device's own.

    Raises:
        Unsupported: there is no wheel for the device, or no numpy, or one that does not fit.
    """
    made, own = _bundle(connection, device, place, requirement)
    folder = posixpath.join(place.root, "runtimes", made.sha256[:16])
    wanted = {posixpath.join(folder, name): digest for name, digest in made.files.items()}
    listing = posixpath.join(folder, ".edgeward-files")
    if missing_of_many(connection, device, place, wanted, listing):
        connection.run(["rm", "-rf", folder])
        unpack(connection, device, place.extract, made.archive, folder)
        leave_list(connection, device, wanted, listing)
        if still := missing_of_many(connection, device, place, wanted, listing):
            raise OutOfSpace(
                f"{len(still)} files of {requirement} did not arrive whole", remedy="free some space", device=device.id
            )
    if own:
        linked = connection.run(["ln", "-sfn", own, posixpath.join(folder, "numpy")])
        checked(linked, device, f"{own} could not be linked into {folder}")
    return folder


def _bundle(connection: Connection, device: Device, place: Workspace, requirement: str) -> tuple[Bundle, str]:
    """Return a runtime for the device, and where on it the numpy is that must be added; "" if that is in it."""
    constraints = import_module(f"harness.agent.runtimes.{registry.runtime_name(requirement)}").CONSTRAINTS
    try:
        return bundle(requirement, constraints, place.target, device=device.id), ""
    except NoWheel as error:
        if error.distribution != "numpy":
            raise
    # Without -S: the system's packages; with -I: no user's and nothing that happens to lie around.
    done = connection.run([place.command[0], "-I", "-c", _NUMPY])
    if done.code:
        raise Unsupported(
            (
                f"{requirement} needs numpy, of which there is no wheel for {place.target}, and the "
                "device's Python has none of its own"
            ),
            remedy="run `apt install python3-numpy` there",
            device=device.id,
        )
    version, folder = json.loads(done.text)
    return bundle(requirement, constraints, place.target, device=device.id, own={"numpy": version}), folder


def start(connection: Connection, device: Device, command: Sequence[str], job: str) -> None:
    """Start the conductor on the job directory `job`, in a session of its own."""
    done = connection.run([*command, "conduct", job, "--detach"])
    if done.code:
        said = done.err.decode("utf-8", "replace").strip().splitlines()
        raise DeviceError(f"the agent did not start ({said[-1] if said else done.code})", device=device.id)


def follow(
    connection: Connection, device: Device, command: Sequence[str], job: str, *, offset: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (offset behind it, event) from byte `offset` of the job's events on, until the final `done`.

    Raises:
        MeasurementError: the agent is gone and did not finish.
        Unreachable, TimedOut: the link is gone; the job goes on, follow it again from the last offset.
    """
    for line in connection.stream([*command, "follow", job, str(offset)], silence_s=SILENCE_S):
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "gone":
            raise MeasurementError(_post_mortem(connection, device, job))
        # Connections strip the newline.
        offset += len(line.rstrip(b"\n")) + 1
        yield offset, event
        if event["event"] == "done":
            return
    raise MeasurementError(f"{device.id}: the agent's events ended without a last word", remedy="measure again")


def stop(connection: Connection, job: str) -> None:
    """End the conductor and its workers, which share its process group, and wait until they are gone."""
    connection.run(["sh", "-c", _STOP, "sh", job])


def _post_mortem(connection: Connection, device: Device, job: str) -> str:
    """Return why an agent that did not finish may have ended."""
    log = connection.run(["tail", "-n", "1", posixpath.join(job, "agent.log")]).text.strip()
    full = connection.run(["df", "-Pk", job]).text.splitlines()[-1:]
    free_kib = int(full[0].split()[3]) if full and len(full[0].split()) > 3 else -1
    if 0 <= free_kib < 64 or "No space left" in log:
        return f"{device.id}: the disk under {job} is full; free some space or set workdir to another disk"
    why = f"its last words: {log}" if log else "it was killed, perhaps for lack of memory"
    return f"{device.id}: the agent ended before it was done ({why}); nothing of this job was taken; measure again"


def _python(connection: Connection, device: Device) -> tuple[str, Target]:
    # On this machine the interpreter is the one that runs pytest; -I -S keeps its packages out.
    python = sys.executable if device.address.scheme == "local" else "python3"
    done = connection.run([python, "-I", "-S", "-c", _PROBE])
    if done.code:
        raise MissingTool("the python runner needs python3 on the device", remedy="install it there", device=device.id)
    version, machine, libc = json.loads(done.text)
    if tuple(version) < _PYTHON_MIN:
        said = ".".join(map(str, version))
        raise MissingTool(f"the device has Python {said}", remedy="the agent needs 3.9 or newer", device=device.id)
    glibc = tuple(int(part) for part in libc[1].split(".")[:2]) if libc[0] == "glibc" else (2, 17)
    return python, Target((version[0], version[1]), machine, (glibc[0], glibc[1]))


def _agent_sources() -> list[tuple[str, bytes]]:
    """Return the path inside the agent's folder and the content of each of its files."""
    root = Path(str(resources.files("harness")))
    names = ["__init__.py", *sorted(str(p.relative_to(root)) for p in (root / "agent").rglob("*.py"))]
    return [(f"harness/{name}", (root / name).read_bytes()) for name in names]


def _agent_archive() -> tuple[Path, str]:
    """Return the agent's sources as a reproducible tar in the temporary folder, and its digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in _agent_sources():
            info = tarfile.TarInfo(name)
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
