"""The one error tree: every message says what happened, to which file or device, and what to do."""

from __future__ import annotations


class HarnessError(Exception):
    """Anything the user can act on; shown as one or two lines, never as a traceback."""


class LabError(HarnessError):
    """A file of the lab is wrong.

    Args:
        message: what is wrong and the remedy.
        file: the file at fault, as the user would type it.
        key: dotted path of the key inside the file, empty for the file as a whole.
    """

    def __init__(self, message: str, *, file: str, key: str = "") -> None:
        self.file = file
        self.key = key
        where = f"{file}: {key}" if key else file
        super().__init__(f"{where}: {message}")


class DeviceError(HarnessError):
    """Something went wrong on, or on the way to, one device."""

    def __init__(self, message: str, *, device: str) -> None:
        self.device = device
        super().__init__(f"{device}: {message}")


class Transient(DeviceError):
    """May pass by itself: the only errors that are retried."""


class Unreachable(Transient):
    """No connection could be made, or it was lost."""


class TimedOut(Transient):
    """A deadline of ours passed."""


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


class MeasurementError(HarnessError):
    """A case ran and gave no number that may be trusted."""


class RecipeError(HarnessError):
    """A variant could not be built from its baseline."""


class StoreError(HarnessError):
    """Results could not be written or read."""
