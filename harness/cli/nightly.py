"""`edgeward nightly`: what measures a lab every night, from the templates in harness/cli/scaffold/nightly/."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from harness import __version__
from harness.cli.scaffolding import TEMPLATES, write
from harness.errors import LabError
from harness.lab import read_devices
from harness.model import Device

_NIGHTLY: Final = TEMPLATES / "nightly"
#: What every kind needs: one script, which is tried by hand before any machine runs it.
_SCRIPT: Final = "nightly.sh"
#: Kind -> template -> where it goes in the lab.
KINDS: Final = {
    "github": {"github.yml": ".github/workflows/nightly.yml"},
    "gitlab": {"gitlab.yml": ".gitlab-ci.yml"},
    "systemd": {
        "edgeward-nightly.service": "systemd/edgeward-nightly.service",
        "edgeward-nightly.timer": "systemd/edgeward-nightly.timer",
    },
}
_NEXT: Final = {
    "github": "Commit them; a runner labelled `edgeward` on this network measures at 01:17 UTC.",
    "gitlab": "Commit them and add a schedule under Build > Pipeline schedules; a runner tagged `edgeward` measures.",
    "systemd": "To begin: systemctl --user link {service} && "
    "systemctl --user enable --now {timer} && loginctl enable-linger",
}
_TAG: Final = "nightly"


def lay_out(lab: Path, kind: str) -> Iterator[str]:
    """Write the files of one kind and yield a line for each, then what to do next; what is there stays as it is.

    Args:
        lab: its folder.
        kind: a key of KINDS.

    Raises:
        LabError: the folder cannot be written to, or its path is one that systemd cannot be given.
    """
    unfit = set(str(lab)) & set("\"'\\%\n\r")
    if kind == "systemd" and unfit:
        raise LabError("a unit of systemd cannot name this folder", remedy="move the lab", file=str(lab))
    files = {_SCRIPT: _SCRIPT, **KINDS[kind]}
    try:
        yield write(lab / "requirements.txt", f"edgeward=={__version__}\n")
        for source, target in files.items():
            text = (_NIGHTLY / source).read_text("utf-8").replace("@LAB@", str(lab))
            yield write(lab / target, text)
    except OSError as error:
        raise LabError(
            f"cannot be written ({error.strerror})", remedy="give yourself the right to write there", file=str(lab)
        ) from error
    yield ""
    yield f"requirements.txt names edgeward {__version__}; name your checkout there if you installed from one."
    if not any(isinstance(one, Device) and _TAG in one.tags for one in read_devices(lab).values()):
        yield f'No device has the tag {_TAG!r} yet: give those that shall be measured  tags = ["{_TAG}"]'
    units = lab / "systemd" / "edgeward-nightly"
    yield f"Try it first:  sh {_SCRIPT} --quick"
    yield _NEXT[kind].format(service=shlex.quote(f"{units}.service"), timer=shlex.quote(f"{units}.timer"))
