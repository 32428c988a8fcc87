"""What a virtual device needs of this machine: a test without it is skipped and says so, and in CI it fails."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from typing import NoReturn


class Lacking(RuntimeError):
    """This machine lacks what a virtual device needs; its text says what, and how to get it."""


#: Where programs of the system's own are, which a user's PATH may lack.
_SYSTEM: str = "/usr/local/sbin:/usr/sbin:/sbin"


def program(name: str) -> str | None:
    """Return the path of a program, also of one that only root has on its PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM}")


def lacking(*needs: str) -> str:
    """Return what this machine lacks and how to get it, empty if it has everything.

    Args:
        needs: `root`, or `package:NAME` for a Debian package with a program of that name, or `package:NAME=PROGRAM`,
            or `extra:NAME=MODULE` for a module that an extra of edgeward brings, or `apart:NAME=MODULE` where that
            extra cannot stand beside the tests' own.
    """
    packages, extras = [], []
    for need in needs:
        kind, _, rest = need.partition(":")
        package, _, tool = rest.partition("=")
        if kind == "package" and program(tool or package) is None:
            packages.append(package)
        elif kind in ("extra", "apart") and find_spec(tool) is None:
            extras.append(f"{tool} (pip install 'edgeward[{package}]')")
        elif kind not in ("root", "package", "extra", "apart"):
            raise ValueError(
                f"{need!r} is no need; write root, package:NAME[=PROGRAM], extra:NAME=MODULE or apart:NAME=MODULE"
            )
    said = [f"the Debian packages {', '.join(packages)} (apt-get install {' '.join(packages)})"] if packages else []
    said += extras
    if "root" in needs and os.geteuid() != 0:
        said.append("root, to make network and mounts of its own (run it with sudo)")
    return " and ".join(said)


def require(*needs: str) -> None:
    """Skip the test that asks if this machine lacks something; where the variable CI is set, fail it instead.

    What asks for other versions than the tests' own extra is not installed in CI either: its tests are skipped there,
    too, and the summary says so.
    """
    import pytest  # the devices are for people, too, who may not have it

    if apart := lacking(*(one for one in needs if one.startswith("apart:"))):
        pytest.skip(f"this machine lacks {apart}, which asks for other versions than the tests' own extra")
    missing = lacking(*needs)
    if missing:
        give_up(f"this machine lacks {missing}")


def give_up(reason: str) -> NoReturn:
    """Skip the test that runs, for `reason`; where the variable CI is set, fail it: there nothing may be missing."""
    import pytest  # the devices are for people, too, who may not have it

    if os.environ.get("CI"):
        pytest.fail(f"{reason}; in CI nothing may be skipped", pytrace=False)
    pytest.skip(reason)
