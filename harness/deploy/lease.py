"""Holds a device for one measurer, and ends what an earlier one had to leave running there."""

from __future__ import annotations

import getpass
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psutil

from harness import registry
from harness.deploy.handle import TRIES, DeviceHandle
from harness.deploy.workspace import runner
from harness.errors import Busy, Transient
from harness.model import Device
from harness.ports import Lease, Owner

_HERE = f"{getpass.getuser()}@{socket.gethostname()}"
#: How often a busy device is looked at again.
_LOOK_S = 5.0
#: Prints the jobs under a workdir whose first process still runs.
_RUNNING = r"""
for file in "$1"/jobs/*/pid; do
  job=${file%/pid} number=
  read -r number 2>/dev/null < "$file"
  [ -n "$number" ] && tr '\0' ' ' 2>/dev/null < "/proc/$number/cmdline" | grep -qF "$job" && echo "$job"
done
true
"""


def lease_of(device: Device) -> Lease:
    """Return the module by which a device is leased."""
    module: Lease = registry.load("leases", device.lease, file=str(device.file), key="lease")
    return module


@contextmanager
def leased(handle: DeviceHandle) -> Iterator[None]:
    """Be the device's one measurer meanwhile, after waiting for the one before at most `limits.cooldown_s`.

    Raises:
        Busy: somebody else still is.
    """
    lease = lease_of(handle.device)
    since = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    owner = Owner(_HERE, os.getpid(), since)
    deadline = time.monotonic() + handle.device.limits.cooldown_s
    while True:
        try:
            lease.take(handle, owner)
        except Busy as busy:
            if _gone(lease.holder(handle)):
                lease.free(handle)
                continue
            if time.monotonic() > deadline or handle.interrupted:
                raise
            handle.say(f"waiting: {busy}")
            time.sleep(_LOOK_S)
        else:
            break
    try:
        _end_orphans(handle)
        yield
    finally:
        _free(handle, lease)


def _end_orphans(handle: DeviceHandle) -> None:
    """End jobs of earlier holders that could not be reached any more: two jobs at a time would falsify both."""
    for job in handle.run(["sh", "-c", _RUNNING, "sh", handle.root]).text.splitlines():
        handle.say(f"ending {job}, which an earlier campaign had to leave running")
        runner(handle.device).stop(handle, job)


def _free(handle: DeviceHandle, lease: Lease) -> None:
    """Free the device, also over a connection that died with the last case or was closed by `interrupt`."""
    for _ in range(TRIES - 1):
        try:
            lease.free(handle)
        except Transient:
            handle.reconnect()
        else:
            return
    lease.free(handle)


def _gone(holder: Owner | None) -> bool:
    """Return whether a lease is held by a process of this host that no longer runs: killed before it could let go."""
    return holder is not None and holder.who == _HERE and holder.process > 0 and not psutil.pid_exists(holder.process)
