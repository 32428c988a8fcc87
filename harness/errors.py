"""The one error tree: every error says what happened, to which file or device, and what to do, as fields."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from harness.redaction import redacted
from harness.units import printable


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not as it should be: what happened, and what to do about it ("" where `text` says so itself)."""

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class HarnessError(Exception):
    """Anything the user can act on; shown as one or two lines, never as a traceback, and without secrets.

    Attributes:
        where: the file, key or device that it is about, "" where there is none.
        text: what happened.
        remedy: what to do about it, "" where `text` says so itself.
    """

    def __init__(self, text: str, *, remedy: str = "", where: str = "") -> None:
        # Words of a device are part of many: they are read here, and do nothing to a terminal.
        self.text, self.remedy, self.where = (printable(redacted(one)) for one in (text, remedy, where))
        super().__init__(f"{self.where}: {self.reason}" if where else str(self.reason))

    @property
    def reason(self) -> Reason:
        """What happened and what to do, without the file or device that it is about."""
        return Reason(self.text, self.remedy)


class LabError(HarnessError):
    """A file of the lab is wrong.

    Args:
        text: what is wrong.
        file: the file at fault, as the user would type it.
        key: dotted path of the key inside the file, empty for the file as a whole.
        remedy: what to do about it.
    """

    def __init__(self, text: str, *, file: str, key: str = "", remedy: str = "") -> None:
        self.file, self.key = file, key
        super().__init__(text, remedy=remedy, where=f"{file}: {key}" if key else file)


class NoSplit(LabError):
    """The data have no split of the name that is asked for: nothing is wrong with them unless it is needed."""


class DeviceError(HarnessError):
    """Something went wrong on, or on the way to, one device.

    Args:
        text: what happened.
        device: its id.
        remedy: what to do about it.
    """

    def __init__(self, text: str, *, device: str, remedy: str = "") -> None:
        self.device = device
        super().__init__(text, remedy=remedy, where=device)


class Transient(DeviceError):
    """May pass by itself: the only errors that are retried."""


class Unreachable(Transient):
    """No connection could be made, or it was lost."""


class Reset(Transient):
    """A reset of ours started the device afresh, which ended what ran there."""


class TimedOut(Transient):
    """A deadline of ours passed."""


class Stopped(Transient):
    """The user ended what was under way: nothing is wrong with the device, and what is left can be done later."""


class Busy(Transient):
    """Somebody else is measuring on the device."""


class Stable(DeviceError):
    """Will not pass by itself: a person must change something."""


class Refused(Stable):
    """The device refused us, or is outside the limits its file sets."""


class HostKeyMismatch(Stable):
    """The host's key is unknown or not the pinned one."""


class MissingTool(Stable):
    """The device, or this host, lacks a program that is needed."""


class Unsupported(Stable):
    """The device cannot do what the case asks for."""


class OutOfSpace(Stable):
    """The device's disk or memory is full."""


class TooMuch(Stable):
    """The device gives more than this host takes; what came of it is thrown away."""


class MeasurementError(HarnessError):
    """A case ran and gave no number that may be trusted."""


class Unforeseen(HarnessError):
    """Edgeward or a plug-in failed in a way that nobody foresaw: an error of what it was doing, and of nothing else.

    Args:
        doing: what was being done, as the beginning of a sentence.
        error: what was raised.
    """

    def __init__(self, doing: str, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        said = (str(error).splitlines() or [""])[0][:300]
        super().__init__(
            f"{doing} failed{place} ({type(error).__name__}: {said})",
            remedy="this is a defect of edgeward or of a plug-in: please report it with this line",
        )


class RecipeError(HarnessError):
    """A variant could not be built from its baseline."""


class StoreError(HarnessError):
    """Results could not be written or read."""


class CampaignUnderWay(HarnessError):
    """A campaign that should be gone on with is still being measured by somebody."""
