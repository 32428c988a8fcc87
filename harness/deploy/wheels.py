"""A runtime and what it needs, for a device's Python and processor: one reproducible tar, made once on the host.

pip resolves for the device, not for the host (`--platform`, `--python-version`), so a device needs neither pip nor a
network. The tar's sha256 is the name of the folder it becomes on the device. What no index has a wheel of (numpy for
32-bit ARM) the device may have of its own; pip then resolves around it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from harness import cache_dir
from harness.errors import MissingTool, Unsupported
from harness.ports.runners import Target
from harness.redaction import redacted

#: How pip says that it could not ask an index.
_NO_INDEX = ("connection broken", "ssl certificate")
#: How long it is believed that a runtime needs what has no wheel; s. Indexes grow, and pip takes its time to look.
_NO_WHEEL_S = 7 * 86400
#: How pip names what it found no wheel of.
_NO_WHEEL = re.compile(r"No matching distribution found for ([A-Za-z0-9._-]+)")
#: The same where this host's own constraints name it as well: it is then in conflict with nothing else.
_NOT_EVEN_ALONE = re.compile(r"Cannot install ([A-Za-z0-9._-]+)\S* because these")
#: Distributions of which the builds that devices need lie on an index of their own.
_INDEXES: Final = {"torch": "https://download.pytorch.org/whl/cpu"}
#: What says which indexes pip asks.
_ASKED: Final = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")


class NoWheel(Unsupported):
    """There is no wheel for a device's Python and processor; `distribution` is what there is none of."""

    def __init__(self, text: str, *, device: str, distribution: str, remedy: str = "") -> None:
        self.distribution = distribution
        super().__init__(text, device=device, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A runtime folder as one file: `files` maps each path inside to its sha256."""

    archive: Path
    sha256: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Only:
    """What of a runtime is wanted, where not all: ALONE_WITH and LEFT_OUT of `harness.ports.runtimes.Runtime`."""

    alone_with: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


_ALL: Final = Only()


def bundle(
    requirement: str,
    constraints: Sequence[str],
    target: Target,
    *,
    device: str,
    own: Mapping[str, str] | None = None,
    only: Only = _ALL,
) -> Bundle:
    """Return the runtime `requirement` for `target`, from the cache or through pip.

    Args:
        requirement: the runtime, as pip takes it.
        constraints: further requirements that hold beside it.
        target: what the wheels must fit.
        device: whose runtime it is, for the error.
        own: name -> version of what the device has of its own; it is left out, and must fit the runtime.
        only: what of it is wanted.

    Raises:
        NoWheel: there is no wheel for this target.
        Unsupported: what the device has of its own does not fit.
        MissingTool: pip could not run or reach its index, and the cache has nothing.
    """
    own = dict(own or {})
    wanted = [requirement, list(constraints), str(target), *([own] if own else [])]
    wanted += [] if only == _ALL else [only.alone_with, only.left_out]
    key = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]
    folder = cache_dir() / "runtimes" / key
    lack = folder.with_suffix(".lacks")
    if not _whole(folder):
        if lack.exists() and time.time() - lack.stat().st_mtime < _NO_WHEEL_S:
            distribution, _, indexes = lack.read_text().partition("\n")
            if indexes == _indexes():
                raise _no_wheel(requirement, target, device, distribution)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            _make(folder, requirement, constraints, target, device, own, only)
        except NoWheel as error:
            # Of a runtime itself there may be one tomorrow; what it needs is another matter.
            if not requirement.startswith(error.distribution):
                lack.write_text(f"{error.distribution}\n{_indexes()}")
            raise
    manifest = json.loads((folder / "manifest.json").read_text())
    return Bundle(folder / "runtime.tar", manifest["sha256"], manifest["files"])


def _make(
    folder: Path,
    requirement: str,
    constraints: Sequence[str],
    target: Target,
    device: str,
    own: Mapping[str, str],
    only: Only,
) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "made"
        made.mkdir()
        asked = [*constraints, *only.alone_with]
        _install(Path(work) / "tree", requirement, asked, target, device, own, alone=bool(only.alone_with))
        _pack(Path(work) / "tree", made, only.left_out)
        _put(made, folder)


def _whole(folder: Path) -> bool:
    """Return whether the cache has a runtime and nothing happened to it since."""
    manifest = folder / "manifest.json"
    return manifest.exists() and _sha256(folder / "runtime.tar") == json.loads(manifest.read_text())["sha256"]


def _put(made: Path, folder: Path) -> None:
    """Give a finished folder its name, in the place of a damaged one."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:
        # Another process may have been first; its folder is as good.
        if not _whole(folder):
            raise


def _install(
    tree: Path,
    requirement: str,
    constraints: Sequence[str],
    target: Target,
    device: str,
    own: Mapping[str, str],
    *,
    alone: bool,
) -> None:
    platforms = [argument for tag in target.platforms for argument in ("--platform", tag)]
    version = f"{target.python[0]}.{target.python[1]}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(tree), "--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    command += ["--abi", f"cp{target.python[0]}{target.python[1]}{target.abi}"] if target.abi else []
    command += ["--no-deps"] if alone else []
    pins = [f"{name}=={its}" for name, its in own.items()]
    with _stand_ins(own) as folder:
        found = ["--find-links", str(folder)] if own else []
        wanted = [*command, *platforms, *found, requirement, *constraints, *pins]
        done = subprocess.run(wanted, capture_output=True, text=True, check=False)
    if done.returncode:
        _refuse(done.stderr, requirement, constraints, target, device, own)
    for name, its in own.items():
        shutil.rmtree(tree / f"{name}-{its}.dist-info")


def _indexes() -> str:
    """Return where pip looks, in one line: what was not there may be in another place."""
    return json.dumps([os.environ.get(name, "") for name in _ASKED])


def _no_wheel(requirement: str, target: Target, device: str, distribution: str) -> NoWheel:
    text, remedy = f"there is no wheel of {requirement} for {target}", ""
    if not requirement.startswith(distribution):
        text += f": it needs {distribution}"
        remedy = f"set PIP_EXTRA_INDEX_URL={_INDEXES.get(distribution, 'AN-INDEX-THAT-HAS-IT')} here, or "
    return NoWheel(
        text,
        remedy=f"{remedy}name another version or runtime under runtimes",
        device=device,
        distribution=distribution,
    )


@contextmanager
def _stand_ins(own: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder of empty wheels for what the device has of its own, so that pip resolves as if they were it."""
    with tempfile.TemporaryDirectory() as work:
        for name, version in own.items():
            info = f"{name}-{version}.dist-info"
            with zipfile.ZipFile(Path(work) / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
                wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
                wheel.writestr(f"{info}/RECORD", "")
        yield Path(work)


def _refuse(
    stderr: str,
    requirement: str,
    constraints: Sequence[str],
    target: Target,
    device: str,
    own: Mapping[str, str],
) -> NoReturn:
    """Raise what pip's words mean."""
    says = stderr.strip().splitlines()
    # Without a network pip finds no version either, but has said before that it could not ask.
    if any(words in line for line in says for words in _NO_INDEX):
        raise MissingTool(
            f"{requirement} could not be brought here: pip's index does not answer",
            remedy="connect this host, then try again",
            device=device,
        )
    lacks = _NO_WHEEL.search(stderr) or _NOT_EVEN_ALONE.search(stderr)
    if own and ("ResolutionImpossible" in stderr or (lacks and lacks[1] in own)):
        has = " and ".join(f"{name} {version}" for name, version in own.items())
        raise Unsupported(
            f"{requirement} does not go with the device's own {has}",
            remedy="name another version or runtime under runtimes",
            device=device,
        )
    if "ResolutionImpossible" in stderr and constraints and not lacks:
        raise Unsupported(
            f"{requirement} does not go with {' and '.join(constraints)}, which this edgeward needs of it",
            remedy="name another version or runtime under runtimes",
            device=device,
        )
    if lacks:
        raise _no_wheel(requirement, target, device, lacks[1])
    reason = _words(says[-1]) if says else "it said nothing"
    text = f"{requirement} could not be brought here, pip failed: {reason}"
    raise MissingTool(text, remedy="see that pip reaches its index", device=device)


def _words(line: str) -> str:
    """Return a line of pip's without its level; an index's address in it loses what stands before its @."""
    return re.sub(r"//[^/@\s]*@", "//", redacted(line.partition(": ")[2] or line))[:300]


def _pack(tree: Path, made: Path, left_out: Sequence[str]) -> None:
    """Write runtime.tar, the same bytes for the same files, and manifest.json."""
    files = sorted(p for p in tree.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    # `bin` holds start scripts with this host's interpreter in them.
    files = [p for p in files if p.relative_to(tree).parts[0] != "bin"]
    named = ((p, p.relative_to(tree).as_posix()) for p in files)
    files = [p for p, name in named if not any(fnmatch.fnmatchcase(name, one) for one in left_out)]
    with tarfile.open(made / "runtime.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for path in files:
            info = tarfile.TarInfo(str(path.relative_to(tree)))
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                tar.addfile(info, content)
    digests = {str(p.relative_to(tree)): _sha256(p) for p in files}
    manifest = {"sha256": _sha256(made / "runtime.tar"), "files": digests}
    (made / "manifest.json").write_text(json.dumps(manifest))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
