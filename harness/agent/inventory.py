"""Says which of the files a job needs are here and whole: JSON on standard input, JSON on standard output."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Read {path: sha256} and write the list of paths that are missing or differ."""
    del arguments
    wanted: dict[str, str] = json.load(sys.stdin)
    json.dump([path for path, digest in wanted.items() if sha256(Path(path)) != digest], sys.stdout)
    return 0


def sha256(path: Path) -> str:
    """Return the file's digest in hex, or "" if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
