"""The userland of another Debian release or processor, unpacked into a folder: no installer, no emulation, seconds.

apt resolves and downloads with lists and a cache of its own, so nothing of this system is touched; the mirror is the
one this system's apt uses. The packages' scripts are not run: what a root needs beyond its files is made by hand.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness import cache_dir

#: Part of a cached root's name: raise it when `unpacked` makes something else of the same packages.
_RECIPE: Final = 1
_KEYS: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Programs that must be there.
NEEDS: Final = ("package:apt=apt-get", "package:dpkg=dpkg-deb", "package:tar")


class RootError(RuntimeError):
    """A root could not be made; its text says why."""


def foreign_root(
    name: str, packages: Sequence[str], *, suite: str, links: Mapping[str, str] | None = None, architecture: str = ""
) -> Path:
    """Return a folder with `packages` and all they depend on, from the cache or made now.

    Args:
        name: what it is called in the cache.
        packages: of Debian.
        suite: the release they are of, by its code name.
        links: symbolic links to add to it: path inside -> target.
        architecture: as dpkg names it; empty for this machine's.

    Raises:
        RootError: apt could not get the packages, with what it said.
    """
    links = dict(links or {})
    wanted = repr([_RECIPE, sorted(packages), suite, sorted(links.items()), architecture or _architecture()])
    root = cache_dir() / "virtual" / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    if root.is_dir():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{name}-") as work:
        archives = downloaded(Path(work), packages, suite=suite, architecture=architecture)
        made = unpacked(Path(work) / "root", archives)
        for inside, target in links.items():
            if not (made / inside).is_symlink() and not (made / inside).exists():
                (made / inside).symlink_to(target)
        if not root.exists():  # another process may have been first; its root is as good
            made.rename(root)
    return root


def downloaded(
    work: Path, packages: Sequence[str], *, suite: str, architecture: str = "", alone: bool = False
) -> list[Path]:
    """Return the .deb files of `packages` and, unless they are wanted alone, of all they depend on.

    Args:
        work: an empty folder, for apt's lists and the files.
        packages: of Debian.
        suite: the release they are of, by its code name.
        architecture: as dpkg names it; empty for this machine's.
        alone: whether what they depend on is left out.

    Raises:
        RootError: apt could not get them, with what it said.
    """
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (work / folder).mkdir(parents=True)
    keys = f" [signed-by={_KEYS}]" if _KEYS.exists() else ""
    # Nothing is installed. Beside the list of what is, apt keeps its lock, which must not be another's.
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb{keys} {_mirror()} {suite} main\n")
    settings = _settings(work, architecture or _architecture())
    apt = ["apt-get", "-qq", "-y", *(f"-o{key}={value}" for key, value in settings.items())]
    _done([*apt, "update"], f"get the list of {suite}'s packages")
    what = f"get {' '.join(packages)}"
    if alone:
        _done([*apt, "download", *packages], what, folder=work / "cache/archives")
    else:
        _done([*apt, "install", "--no-install-recommends", "--download-only", *packages], what)
    return sorted((work / "cache/archives").glob("*.deb"))


def _settings(work: Path, architecture: str) -> dict[str, str]:
    """Return what keeps apt's state in `work`, apart from this system's."""
    return {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Dir::State::status": str(work / "status"),
        "Dir::State::lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        "Dir::Etc::SourceList": str(work / "sources.list"),
        "Dir::Etc::SourceParts": str(work / "parts"),
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": str(work / "parts"),
    }


def unpacked(root: Path, archives: Sequence[Path]) -> Path:
    """Unpack .deb files into a new root, whose bin, sbin and lib are those of its usr, and return it."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE) as reading:
            command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink"]
            done = subprocess.run(command, stdin=reading.stdout, capture_output=True, text=True, check=False)
        if done.returncode or reading.returncode:
            raise RootError(f"cannot unpack {archive.name}: {done.stderr.strip()[-300:] or 'it is damaged'}")
    shutil.rmtree(root / "usr/share/doc", ignore_errors=True)
    shutil.rmtree(root / "usr/share/man", ignore_errors=True)
    return root


def _mirror() -> str:
    """Return where this system's own apt gets Debian from."""
    wanted = "$(LABEL) $(COMPONENT) $(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"]
    targets = [line.rsplit(" ", 2) for line in _done(command, "ask apt for its mirror").splitlines()]
    mirrors = [uri for label, component, uri in targets if component == "main" and label == "Debian"]
    if not mirrors:
        raise RootError("apt knows no mirror of Debian here; run `apt-get update`, on Debian")
    return mirrors[0]


def _architecture() -> str:
    return _done(["dpkg", "--print-architecture"], "ask dpkg for the architecture").strip()


def _done(command: Sequence[str], what: str, *, folder: Path | None = None) -> str:
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, cwd=folder)
    if done.returncode:
        raise RootError(f"cannot {what}: {done.stderr.strip()[-500:] or f'exit code {done.returncode}'}")
    return done.stdout
