"""[recover]
command = ["/usr/local/bin/power-cycle", "outlet-7"]

A program of this host that resets the device, such as one that switches its outlet. `command` is its command line, run
without a shell; it resets the device and ends with 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.recoveries import _program


@dataclass(frozen=True, slots=True)
class Options:
    """What `[recover]` says: `command`, the command line."""

    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.command or not self.command[0]:
            raise ValueError('command names no program: write command = ["PROGRAM", "ARGUMENT"]')


def reset(options: Options, device: str, limit_s: float) -> None:
    """Run the program, as `harness.ports.recoveries.Recovery.reset` does."""
    _program.run(options.command, device=device, limit_s=limit_s, missing="install it, or correct command in [recover]")
