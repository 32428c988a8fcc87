"""How a suite is named on the command line: by its file, or by its id in the lab."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.settings import Settings
from harness.errors import LabError, StoreError

if TYPE_CHECKING:
    from harness.model import Campaign


def suite_file(named: Path, settings: Settings) -> Path:
    """Return the file of a suite given as a path or as an id.

    Raises:
        LabError: there is none; names the nearest.
    """
    if named.is_file():
        return named
    from harness.lab import shown, suite_files
    from harness.registry import suggestion

    folder = settings.folder()
    files = {file.stem: file for file in suite_files(folder)}
    if named.name.removesuffix(".toml") in files and len(named.parts) <= 2:
        return files[named.name.removesuffix(".toml")]
    hint = suggestion(named.stem, files)
    raise LabError(f"no suite {str(named)!r}", remedy=hint, file=shown(folder / "suites"))


def check_suites(names: Iterable[str], campaigns: Sequence[Campaign]) -> None:
    """Refuse the name of a suite of which there is no campaign; raises StoreError with the nearest."""
    from harness.registry import suggestion

    known = {name for campaign in campaigns for name in campaign.suites}
    for name in names:
        if name not in known:
            raise StoreError(f"no run of a suite {name!r}", remedy=suggestion(name, known))
