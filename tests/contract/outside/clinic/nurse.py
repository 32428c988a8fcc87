"""runner = "nurse"

[nurse]
greeting = "good morning"                  # the word that the log begins with

The runner `python`, which leaves a word in the log of every job that it starts.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from harness.agent.contract import Event
from harness.ports.runners import Handle, Workspace
from harness.runners import python

SCENARIOS = python.SCENARIOS
METERS = True
OUTPUTS = True
TURNS = True


@dataclass(frozen=True, slots=True)
class Options:
    """`greeting`: the word that the log begins with."""

    greeting: str = "good morning"


def install(handle: Handle) -> Workspace:
    """Bring the device side."""
    return python.install(handle)


def runtime(handle: Handle, requirement: str) -> str:
    """Bring a runtime and return its folder on the device."""
    return python.runtime(handle, requirement)


def start(handle: Handle, job: str, *, low_priority: bool = False) -> None:
    """Start a job, and say so in the workdir's log."""
    word = Options(**handle.device.settings).greeting
    log = posixpath.join(handle.root, "nurse.log")
    handle.run(["sh", "-c", 'echo "$1: $2" >> "$3"', "sh", word, posixpath.basename(job), log])
    python.start(handle, job, low_priority=low_priority)


def follow(handle: Handle, job: str, *, offset: int) -> Iterator[tuple[int, Event]]:
    """Yield (offset behind it, event) to the final `done`."""
    return python.follow(handle, job, offset=offset)


def stop(handle: Handle, job: str) -> None:
    """End the job and everything it started."""
    python.stop(handle, job)
