"""[meter]
kind = "tally"
watts = 2.0                                 # what it counts up by

Counts up joules as if the device drew the same power all the time. It goes to the device with the agent.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._count import joules  # relative: it has another name on the device

QUANTITY = "joules"


@dataclass(frozen=True)
class Options:
    """`watts`: what it counts up by."""

    watts: float = 2.0


class Meter:
    """A counter of joules."""

    resolution = 1e-9

    def __init__(self, options: Options) -> None:
        self._watts = options.watts

    def read(self) -> float:
        """Return the joules since some fixed moment."""
        return joules(self._watts)

    def charging(self) -> bool:
        """Return False: it feeds nothing."""
        return False

    def close(self) -> None:
        """Do nothing: nothing is held open."""
