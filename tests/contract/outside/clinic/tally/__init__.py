"""[meter]
kind = "tally"
watts = 2.0                                 # what it counts up by
log = "/tmp/tally.log"                      # optional; a file on the device that gets a line when it is opened

Counts up joules as if the device drew the same power all the time. It goes to the device with the agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ._count import joules  # relative: it has another name on the device

QUANTITY = "joules"


@dataclass(frozen=True)
class Options:
    """`watts`: what it counts up by; `log`: where it says that it was opened, by the name that it has there."""

    watts: float = 2.0
    log: str = ""


class Meter:
    """A counter of joules."""

    resolution = 1e-9

    def __init__(self, options: Options) -> None:
        self._watts = options.watts
        if options.log:
            with Path(options.log).open("a") as file:
                file.write(f"{__name__}\n")

    def read(self) -> float:
        """Return the joules since some fixed moment."""
        return joules(self._watts)

    def charging(self) -> bool:
        """Return False: it feeds nothing."""
        return False

    def close(self) -> None:
        """Do nothing: nothing is held open."""
