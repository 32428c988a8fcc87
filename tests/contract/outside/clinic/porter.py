"""[recover]
porter = { door = "left" }                 # the door that is knocked at

A porter who knocks at the `door` of a device that does not answer; here nobody does.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Options:
    """`door`: the one that is knocked at."""

    door: str = "front"


def reset(options: Options, device: str, limit_s: float) -> None:
    """Knock; raises Unsupported, for nobody is there to open."""
    text = f"nobody opened the {options.door} door within {limit_s:g} s"
    raise Unsupported(text, device=device, remedy="open it by hand")
