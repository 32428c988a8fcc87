"""A device's connection and lease during a campaign: got together when first needed, made sure of after a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Final, Self

from harness.deploy import DeviceHandle, Held
from harness.deploy.recovery import Resets
from harness.errors import Busy, HarnessError, OutOfSpace, Refused, Stable, TimedOut, Transient
from harness.model import Device

#: After how many groups in a row that failed on a device it is left alone, so that it takes no night from others.
_PATIENCE: Final = 3


class Connected:
    """A device's connection with the lease that goes with it; both or neither.

    A campaign that did not get the lease must not measure the next group either.

    Args:
        device: which.
        opened: opens both, and closes them at its end.
        unless_stopping: raises if the campaign shall come to an end.
        resets: of the device, over all its groups.

    Attributes:
        failures: how many groups in a row have failed.
        short: places of the groups that do not fit on it; None before that was looked at.
    """

    def __init__(
        self,
        device: Device,
        opened: Callable[[], AbstractContextManager[tuple[DeviceHandle, Held]]],
        unless_stopping: Callable[[], None],
        resets: Resets,
    ) -> None:
        self._device, self._opened, self._unless_stopping = device, opened, unless_stopping
        self._held = ExitStack()
        self.resets = resets
        self._both: tuple[DeviceHandle, Held] | None = None
        self._lost = False
        self.failures = 0
        self.short: Mapping[int, OutOfSpace] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def handle(self) -> DeviceHandle:
        """Return the connection under its lease; raises DeviceError if it cannot be had."""
        if self._both is None:
            self._both = self._held.enter_context(self._opened())
        handle, lease = self._both
        if self._lost:
            handle.reconnect()
            self._unless_stopping()
            # Somebody else may have taken what gave no sign of life for so long.
            lease.renew()
            self._lost = False
        return handle

    def check(self) -> None:
        """Raise if nothing more shall be measured: the campaign ends, or the device failed again and again."""
        self._unless_stopping()
        if self.failures >= _PATIENCE:
            raise Stable(
                f"it is set aside for the rest of this campaign: {self.failures} groups in a row failed, "
                f"as their cases say",
                remedy="look after the device; --resume does what is left",
                device=self._device.id,
            )

    def failed(self, error: HarnessError) -> None:
        """Count a group that failed; a connection that was lost is made again when it is needed next."""
        # A group that does not fit on it, or asks for what it has not, says nothing of the next one; nor does one
        # for which somebody else was in the way: once that was waited for, it takes no time.
        self.failures += isinstance(error, Transient | Refused) and not isinstance(error, Busy)
        self._lost = self._both is not None and isinstance(error, Transient)

    def drop(self) -> None:
        """Let go of both: the device is cleaned up, and connected to anew when it is needed next."""
        self._both, self._lost = None, False
        self._held.close()


def too_long(device: Device, what: str) -> TimedOut:
    """Return the error of a case that took longer than it may."""
    remedy = "allow more with --timeout, or shorten it: max_duration_s of [load]"
    return TimedOut(f"{what}, which is all that --timeout allows; the job was stopped", device=device.id, remedy=remedy)
