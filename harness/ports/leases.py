"""One measurer per device: who it is, and what a lease promises."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Protocol

from harness.agent import plain_json
from harness.ports.runners import Handle
from harness.units import printable, printable_value


@dataclass(frozen=True, slots=True)
class Owner:
    """Who measures on a device.

    Attributes:
        who: user@host.
        process: its number there, 0 if it is not known.
        since: when it began, for people.
        boot_id: of that host's kernel, "" if it is not known.
        namespace: of process numbers there, so that a container of the same kernel is another host.
        started: when the process began, in that host's own count: numbers are used again.
        root: its workdir on the device.
        id: differs between two leases of one process.
    """

    who: str
    process: int = 0
    since: str = ""
    boot_id: str = ""
    namespace: str = ""
    started: str = ""
    root: str = ""
    id: str = ""

    def line(self) -> str:
        """Return it as one line of JSON, for a lease to keep."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Owner:
        """Return what `line` wrote; a lease that was written by hand or by an older edgeward names nobody else."""
        try:
            found = cls(**printable_value(plain_json.read(line.encode("utf-8", "replace"))))
        except (ValueError, TypeError):
            return cls(printable(line.strip()) or "somebody")
        sound = isinstance(found.process, int) and all(isinstance(one, str | int) for one in asdict(found).values())
        return found if sound else cls("somebody")

    def __str__(self) -> str:
        return f"{self.who} (process {self.process}, since {self.since})" if self.process else self.who


@dataclass(frozen=True, slots=True)
class Hold:
    """What goes with a lease that was taken.

    Attributes:
        beat: file on the device that host and device side write boot id and uptime into while they measure, "" if none.
        before: who held it and was gone: what was left running there is ended.
    """

    beat: str = ""
    before: Owner | None = None


class Lease(Protocol):
    """harness/leases/NAME.py: one measurer per device."""

    def take(self, handle: Handle, owner: Owner) -> Hold | None:
        """Become the one measurer, or raise Busy saying who is; taken once more by its owner, it stays taken."""

    def free(self, handle: Handle, owner: Owner) -> None:
        """Let the next one measure, if `owner` does now; else nothing is changed."""

    def holder(self, handle: Handle) -> Owner | None:
        """Return who measures on the device now, None if nobody does."""
