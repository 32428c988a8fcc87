"""A runtime and what it needs, for a device's Python and processor: one reproducible tar, made once on the host.

pip resolves for the device, not for the host (`--platform`, `--python-version`), so a device needs neither pip nor a
network. The tar's sha256 is the name of the folder it becomes on the device.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from harness.errors import MissingTool, Unsupported

#: How pip says that it could not ask an index.
_NO_INDEX = ("connection broken", "ssl certificate")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels must fit: `python` as (3, 11), `machine` as uname says, `glibc` as (2, 36)."""

    python: tuple[int, int]
    machine: str
    glibc: tuple[int, int]

    @property
    def platforms(self) -> list[str]:
        """The platform tags this target takes, newest first (PEP 600 and its legacy names)."""
        major, minor = self.glibc
        tags = [f"manylinux_{major}_{m}_{self.machine}" for m in range(minor, 4, -1)]
        return [*tags, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]

    def __str__(self) -> str:
        return f"cp{self.python[0]}{self.python[1]} on {self.machine} with glibc {self.glibc[0]}.{self.glibc[1]}"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A runtime folder as one file: `files` maps each path inside to its sha256."""

    archive: Path
    sha256: str
    files: dict[str, str]


def cache_dir() -> Path:
    """Return the folder on this host for what can be made again: runtimes, generated data."""
    return Path(os.environ.get("EDGEWARD_CACHE") or platformdirs.user_cache_path("edgeward"))


def bundle(requirement: str, constraints: Sequence[str], target: Target, *, device: str) -> Bundle:
    """Return the runtime `requirement` for `target`, from the cache or through pip.

    Raises:
        Unsupported: there is no wheel for this target.
        MissingTool: pip could not run or reach its index, and the cache has nothing.
    """
    key = hashlib.sha256(json.dumps([requirement, list(constraints), str(target)]).encode()).hexdigest()[:16]
    folder = cache_dir() / "runtimes" / key
    if not _whole(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            made = Path(work) / "made"
            made.mkdir()
            _install(Path(work) / "tree", requirement, constraints, target, device)
            _pack(Path(work) / "tree", made)
            _put(made, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    return Bundle(folder / "runtime.tar", manifest["sha256"], manifest["files"])


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


def _install(tree: Path, requirement: str, constraints: Sequence[str], target: Target, device: str) -> None:
    platforms = [argument for tag in target.platforms for argument in ("--platform", tag)]
    version = f"{target.python[0]}.{target.python[1]}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(tree), "--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    done = subprocess.run(
        [*command, *platforms, requirement, *constraints], capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    says = done.stderr.strip().splitlines()
    # Without a network pip finds no version either, but has said before that it could not ask.
    if any(words in line for line in says for words in _NO_INDEX):
        raise MissingTool(
            f"{requirement} could not be brought here: pip's index does not answer; connect this host, then try again",
            device=device,
        )
    if any("No matching distribution" in line for line in says):
        raise Unsupported(
            f"there is no wheel of {requirement} for {target}; name another version or runtime under runtimes",
            device=device,
        )
    reason = _words(says[-1]) if says else f"code {done.returncode}"
    raise MissingTool(f"{requirement} could not be brought here, pip failed: {reason}", device=device)


def _words(line: str) -> str:
    """Return a line of pip's without its level, and without a password that may stand in an index's address."""
    return re.sub(r"//[^/@\s]*@", "//", line.partition(": ")[2] or line)[:300]


def _pack(tree: Path, made: Path) -> None:
    """Write runtime.tar, the same bytes for the same files, and manifest.json."""
    files = sorted(p for p in tree.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    # `bin` holds start scripts with this host's interpreter in them.
    files = [p for p in files if p.relative_to(tree).parts[0] != "bin"]
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
