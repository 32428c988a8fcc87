"""[recover]
uhubctl = { location = "1-1", port = 3, off_s = 5 }

A USB port of a hub that can switch the power of each of its ports, by the program `uhubctl` (Debian's package of
that name), which lists the `location` of such hubs and their ports when it is run alone. The `port` is switched off for
`off_s`, 5 s if left out, and on again. No hub took part in the tests, which hold the command line and its errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import DeviceError, Unsupported
from harness.recoveries import _program


@dataclass(frozen=True, slots=True)
class Options:
    """What `[recover]` says: `location` of the hub, `port` of it, and for how long it is `off_s`, in s."""

    location: str = ""
    port: int = 0
    off_s: float = 5.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d+(-\d+(\.\d+)*)?", self.location):
            raise ValueError(f'location is no hub: write what `uhubctl` lists, "1-1", not {self.location!r}')
        if not 1 <= self.port <= 255:
            raise ValueError(f"port must be 1 or more, as `uhubctl` lists it, not {self.port}")
        if not 0.1 <= self.off_s <= 600:
            raise ValueError(f"off_s must lie between 0.1 and 600 s, not {self.off_s:g}")


def command(options: Options) -> list[str]:
    """Return the command line that switches a port off and on."""
    return [
        "uhubctl", "--location", options.location, "--ports", str(options.port), "--action", "cycle",
        "--delay", f"{options.off_s:g}",
    ]  # fmt: skip


def reset(options: Options, device: str, limit_s: float) -> None:
    """Switch the port off and on, as `harness.ports.recoveries.Recovery.reset` does."""
    argv = command(options)
    try:
        _program.run(argv, device=device, limit_s=limit_s + options.off_s, missing="apt install uhubctl")
    except DeviceError as error:
        if "No compatible devices" in error.text:
            text = f"uhubctl finds no hub at {options.location} whose ports it can switch"
            remedy = "run `uhubctl` and write the location that it lists into [recover]"
            raise Unsupported(text, device=device, remedy=remedy) from error
        raise
