"""Whose turn it is to be measured: some devices at once, each by one thread; one that waits holds no other up."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from harness.deploy import DeviceHandle, Patience
from harness.model import Device

_REMEDY: Final = "allow more: --wait 2h"


class Turns:
    """The turns of a campaign's devices.

    Args:
        devices: all of them.
        at_once: how many are measured on at the same time; 0 for all.
        wait_s: how long each that somebody else measures on is waited for, over the whole campaign, s; None for its
            `limits.cooldown_s`.
    """

    def __init__(self, devices: Collection[Device], at_once: int, wait_s: float | None) -> None:
        places = threading.BoundedSemaphore(at_once or len(devices) or 1)
        self._places = places
        self._own = {one.id: threading.Lock() for one in devices}
        self._waits = {
            one.id: _Elsewhere(one.limits.cooldown_s if wait_s is None else wait_s, places) for one in devices
        }

    @contextmanager
    def of(self, device: Device) -> Iterator[None]:
        """Be the one who measures on a device meanwhile, once a place is free."""
        with self._own[device.id], self._places:
            yield

    def patience(self, device: Device) -> Patience:
        """Return how a device is waited for on which somebody else measures."""
        return self._waits[device.id]


class _Elsewhere(Patience):
    """Lets another device have the place meanwhile."""

    def __init__(self, seconds: float, places: threading.Semaphore) -> None:
        super().__init__(seconds, _REMEDY)
        self._places = places

    def pause(self, handle: DeviceHandle, seconds: float) -> None:
        self._places.release()
        try:
            handle.pause(seconds)
        finally:
            self._places.acquire()
