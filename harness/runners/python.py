"""runner = "python"

The agent under the device's own python3: it gets a job directory, detaches and needs no connection.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import ModuleType

from harness import cache_dir, registry
from harness.deploy import checked, files, space
from harness.deploy.answers import listed
from harness.deploy.wheels import Bundle, NoWheel, Only, bundle
from harness.errors import MissingTool, OutOfSpace, Unsupported
from harness.model import Device
from harness.ports.runners import Handle, Part, Step, Workspace
from harness.runners._detached import follow, start, stop
from harness.runners._interpreter import interpreter

__all__ = ["METERS", "OUTPUTS", "SCENARIOS", "TURNS", "follow", "install", "runtime", "start", "stop"]

#: The scenarios of `[load]` that it can measure; it has an energy pass and gives outputs.
SCENARIOS = ("single_stream", "stream", "offline", "sustained")
METERS = True
OUTPUTS = True
TURNS = True
#: What Python adds to a runtime's folder when it is first used: what it compiled of the modules it imports (seen: 82 to
#: 96 modules, 2.3 to 3.4 MB), and the harness its list of files.
_COMPILED_BYTES, _COMPILED_FILES = 4_500_000, 150
#: With the device's own packages, which the agent itself never sees.
_NUMPY = "import json,numpy,os;print(json.dumps([numpy.__version__,os.path.dirname(numpy.__file__)]))"


def install(handle: Handle) -> Workspace:
    """Find Python and bring the agent.

    Raises:
        MissingTool: the device has no Python 3.9 or newer that runs, or not all modules of it.
        Unsupported: no wheel can be chosen for it, or its folder lies where no library may be loaded.
        OutOfSpace: there is no room for all that the device shall be given.
    """
    sources = agent_sources(handle.device)
    python, target = interpreter(handle, sources.values())
    archive, digest = _agent_archive(sources)
    folder = posixpath.join(handle.root, "agent", digest[:16])

    def extract(tar: str, into: str) -> Sequence[str]:
        return (python, "-I", "-S", "-m", "tarfile", "-e", tar, into)

    command = (python, "-I", "-S", f"{folder}/harness/agent/__main__.py")
    place = Workspace(handle.root, command, target, extract, folder)
    own = {f"{folder}/{name}": hashlib.sha256(content).hexdigest() for name, content in sources.items()}
    steps = [Step((space.tar_part("the agent", folder, archive),)), *_runtimes(handle, place)]
    # An agent that cannot say whether it is whole is damaged.
    if space.ask(handle, place, own, steps) != []:
        handle.run(["rm", "-rf", folder])
        files.unpack(handle, place, archive, folder)
    return place


def _runtimes(handle: Handle, place: Workspace) -> Iterator[Step]:
    """Yield the room that each runtime takes which is wanted; one that cannot be brought takes none."""
    for requirement in handle.wanted.runtimes:
        try:
            made, _ = _bundle(handle, place, requirement)
        except (Unsupported, MissingTool):
            continue  # said when it is brought
        part = space.tar_part(requirement, posixpath.join(handle.root, "runtimes", made.sha256[:16]), made.archive)
        yield Step((part,))
        size, count = getattr(_module(handle.device, requirement), "COMPILED", (_COMPILED_BYTES, _COMPILED_FILES))
        yield Step((Part(f"what Python compiles of {requirement}", part.path, size, count),))


def runtime(handle: Handle, requirement: str) -> str:
    """Return the folder of a runtime on the device, bringing it there if it is missing or damaged.

    Where no index has a wheel of numpy, as for 32-bit ARM, the folder gets a link to the device's own.

    Raises:
        Unsupported: there is no wheel for the device, or no numpy, or one that does not fit.
    """
    made, own = _bundle(handle, handle.workspace, requirement)
    folder = posixpath.join(handle.root, "runtimes", made.sha256[:16])
    wanted = {posixpath.join(folder, name): digest for name, digest in made.files.items()}
    listing = posixpath.join(folder, ".edgeward-files")
    if files.missing_of_many(handle, wanted, listing):
        handle.run(["rm", "-rf", folder])
        files.unpack(handle, handle.workspace, made.archive, folder)
        files.leave_list(handle, wanted, listing)
        if still := files.missing_of_many(handle, wanted, listing):
            text = f"{len(still)} files of {requirement} did not arrive whole"
            raise OutOfSpace(text, remedy="free some space", device=handle.device.id)
    if own:
        linked = handle.run(["ln", "-sfn", own, posixpath.join(folder, "numpy")])
        checked(linked, handle.device, f"{own} could not be linked into {folder}")
    return folder


def _bundle(handle: Handle, place: Workspace, requirement: str) -> tuple[Bundle, str]:
    """Return a runtime for the device, and where on it the numpy is that must be added; "" if that is in it."""
    device = handle.device
    module = _module(device, requirement)
    constraints, only = module.CONSTRAINTS, Only(getattr(module, "ALONE_WITH", ()), getattr(module, "LEFT_OUT", ()))
    try:
        return bundle(requirement, constraints, place.target, device=device.id, only=only), ""
    except NoWheel as error:
        if error.distribution != "numpy":
            raise
    # Without -S: the system's packages; with -I: no user's and nothing that happens to lie around.
    done = handle.run([place.command[0], "-I", "-c", _NUMPY])
    if done.code:
        raise Unsupported(
            f"{requirement} needs numpy, of which there is no wheel for {place.target}, "
            "and the device's Python has none of its own",
            remedy="run `apt install python3-numpy` there",
            device=device.id,
        )
    version, folder = listed(done, device, "the device's numpy does not say what it is")
    return bundle(requirement, constraints, place.target, device=device.id, own={"numpy": version}, only=only), folder


def _module(device: Device, requirement: str) -> ModuleType:
    return registry.load("agent.runtimes", registry.runtime_name(requirement), file=str(device.file), key="runtimes")


def agent_sources(device: Device) -> dict[str, bytes]:
    """Return path inside the agent's folder -> content, of the agent's files and of the device's own plug-ins.

    A meter or a runtime that another distribution brings lies where the house's own would: its files travel with the
    agent, so that it finds them by name. Only those that the device's file names are taken.
    """
    root = Path(str(resources.files("harness")))
    names = ["__init__.py", *sorted(str(p.relative_to(root)) for p in (root / "agent").rglob("*.py"))]
    found = {f"harness/{name}": (root / name).read_bytes() for name in names}
    for room, name in _own_plugins(device):
        found |= {
            f"harness/{room.replace('.', '/')}/{path}": content
            for path, content in registry.sources(room, name).items()
        }
    return found


def _own_plugins(device: Device) -> Iterator[tuple[str, str]]:
    """Yield room and name of the device-side plug-ins that the device's file names."""
    for requirement in device.runtimes:
        yield "agent.runtimes", registry.runtime_name(requirement)
    if device.meter is not None and device.meter["kind"] in registry.names("agent.meters"):
        yield "agent.meters", device.meter["kind"]


def _agent_archive(sources: Mapping[str, bytes]) -> tuple[Path, str]:
    """Return sources as a reproducible tar in the cache of this user, and its digest."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sources.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    raw = buffer.getvalue()
    digest = hashlib.sha256(raw).hexdigest()
    path = cache_dir() / "agent" / f"{digest[:16]}.tar"
    if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            part.write(raw)
        Path(part.name).replace(path)
    return path, digest
