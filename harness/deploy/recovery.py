"""Resets a device that does not answer, in the way its file names, a few times in a campaign and ever more slowly."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from harness import registry
from harness.errors import Busy, HarnessError, Stable, Stopped, Transient
from harness.model import Device, Recover

#: Longest pause between two resets, s.
_LONGEST_S: Final = 600.0


class Resets:
    """The resets of one device in one campaign.

    Args:
        device: its file says in `[recover]` how it is reset, if at all.
        say: called with a line for each reset.
        pause: waits so many seconds, and returns True at once where the campaign ends.
    """

    def __init__(self, device: Device, say: Callable[[str], None], pause: Callable[[float], bool]) -> None:
        self._device, self._say, self._pause = device, say, pause
        self._left = device.recover.attempts if device.recover else 0
        #: How many resets there were.
        self.tried = 0
        self._failure: HarnessError | None = None
        self._reasons: list[str] = []

    def begin(self) -> None:
        """Begin a group of cases: what was reset before is no news of it."""
        self._reasons.clear()

    def remark(self) -> str:
        """Return what a report says of a run that was measured after resets in its group, "" where there were none."""
        if not self._reasons:
            return ""
        number = len(self._reasons)
        times = "a reset" if number == 1 else f"{number} resets"
        return f"measured at attempt {number + 1}, after {times} of the device: {'; '.join(self._reasons)}"

    def reset(self, error: Transient) -> bool:
        """Reset the device because of an error that may pass; return whether it is worth another try.

        Args:
            error: why the device cannot be used. What somebody else measures, or the user ended, is no reason.
        """
        recover = self._device.recover
        if recover is None or isinstance(error, Busy | Stopped) or not self._left:
            return False
        if self.tried and self._pause(_back_off_s(recover, self.tried)):
            return False
        self._left -= 1
        self.tried += 1
        self._say(f"resetting it by {recover.way}, {self.tried} of {recover.attempts} ({error.reason})")
        where = {"file": str(self._device.file), "key": f"recover.{recover.way}"}
        try:
            way = registry.load("recoveries", recover.way, **where)
            way.reset(registry.options(way, recover.options, **where), self._device.id, recover.limit_s)
        except HarnessError as failure:
            self._failure = failure
            self._say(f"the reset failed: {failure.reason}")
            # What only a person can change is not tried again.
            if isinstance(failure, Stable):
                self._left = 0
            return self._left > 0
        self._failure = None
        self._reasons.append(error.text)
        return True

    def explained(self, error: Transient) -> Transient:
        """Return the error of a device that stays away, with what was done against it."""
        if self._failure is not None:
            text, remedy = f"its reset failed, too: {self._failure.text}", self._failure.remedy
        else:
            times = "once" if self.tried == 1 else f"{self.tried} times"
            text, remedy = f"it was reset {times} in this campaign", error.remedy
        return type(error)(f"{error.text}; {text}", device=error.device, remedy=remedy)


def _back_off_s(recover: Recover, before: int) -> float:
    """Return how long to wait before the next reset, s.

    Twice as long each time, and by chance a little less, so that devices that died together are not all reset together.

    Args:
        recover: what the device's file says.
        before: how many resets there were.
    """
    longest: float = min(recover.back_off_s * 2 ** (before - 1), _LONGEST_S)
    return longest * random.uniform(0.5, 1.0)
