"""`edgeward init`: a lab of one's own, from the templates in harness/scaffold/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness.errors import LabError

_TEMPLATES: Final = Path(__file__).parents[1] / "scaffold"
#: Template -> where it goes. A dot file among the templates would be at work in this repository.
FILES: Final = {
    "devices/local.toml": "devices/local.toml",
    "suites/mymodel.toml": "suites/mymodel.toml",
    "gitignore": ".gitignore",
    "README.md": "README.md",
}
FOLDERS: Final = ("suites/models", "suites/data", "reports")


def lay_out(folder: Path) -> Iterator[str]:
    """Make a lab and yield one line for each file, then what to do next; what is there already stays as it is.

    Raises:
        LabError: the folder holds suites already, or cannot be written to.
    """
    suites = sorted((folder / "suites").glob("*.toml"))
    if suites:
        raise LabError(
            f"is a lab already, with {suites[0].name}",
            remedy="name another folder, or edit that file",
            file=str(folder),
        )
    try:
        for place in FOLDERS:
            (folder / place).mkdir(parents=True, exist_ok=True)
        for source, target in FILES.items():
            yield _write(folder / target, (_TEMPLATES / source).read_text("utf-8"))
    except OSError as error:
        raise LabError(
            f"cannot be written ({error.strerror})", remedy="name another folder", file=str(folder)
        ) from error
    yield ""
    yield f"Now put your model and your labelled images into {folder / 'suites'}, edit the three lines marked EDIT in"
    yield f"{folder / 'suites/mymodel.toml'}, and run in {folder}:  pytest suites --device local"


def _write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return f"kept    {path}"
    return f"written {path}"
