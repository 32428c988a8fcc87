"""Holds a device for one measurer, and ends what an earlier one had to leave running there.

Three things keep and end a lease. While no job runs, a thread of the host writes its beat over the connection that is
there anyway; while one runs, nothing is sent and the device side writes it, as long as it is followed
(`harness.agent.presence`). A process of this host that was killed is known by its number and start, so its lease is
taken at once; and `harness.deploy.keeper` does that by itself. Of an owner elsewhere nothing is known but its beat.
"""

from __future__ import annotations

import base64
import pickle
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from harness import registry
from harness.deploy import keeper
from harness.deploy.handle import DeviceHandle
from harness.deploy.owner import is_gone, is_this_process, this_process
from harness.deploy.workspace import runner
from harness.errors import Busy, DeviceError, HarnessError, Transient
from harness.model import Device
from harness.ports.leases import Hold, Lease, Owner
from harness.units import human

#: How often a busy device is looked at again, and how often the host writes its beat; s.
_LOOK_S: Final = 5.0
#: How often it is said that a device is still waited for; s.
_SAY_S: Final = 60.0
_BEAT_S: Final = 10.0
#: How often a device whose owner was killed is tried, which has not quite ended or cannot be reached, and how long
#: between; s.
_CLEAN_TRIES: Final = 20
_CLEAN_PAUSE_S: Final = 0.5
#: Instead of names of jobs: all that may be collected by the campaign that began them.
KEPT: Final = ("kept",)
#: Says of $job whether it is left alone: $2 holds names, or "kept" for every job that says so itself.
_SPARED: Final = r"""
spared() {
  case " $2 " in *" ${1##*/} "*) return 0;; esac
  [ "$2" = kept ] && [ -f "$1/kept" ]
}
"""
#: Prints the jobs under a workdir whose first process still runs. What another account has closed to this one shows in
#: the command lines of all processes alone.
_RUNNING: Final = (
    _SPARED
    + r"""
named() { cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -F "$1" | head -n 1; }
for job in "$1"/jobs/*; do
  spared "$job" "$2" && continue
  number=
  if [ -d "$job" ] && [ ! -x "$job" ]; then
    [ -n "$(named "$job")" ] && echo "$job"
    continue
  fi
  [ -f "$job/pid" ] && read -r number 2>/dev/null < "$job/pid"
  [ -n "$number" ] && tr '\0' ' ' 2>/dev/null < "/proc/$number/cmdline" | grep -qF "$job" && echo "$job"
done
if [ -d "$1" ] && [ ! -x "$1" ]; then named "$1/jobs/"; fi
true
"""
)
#: Removes what jobs leave behind under a workdir, first the confidential files that they list; prints what stays. The
#: name of a job that had such files and is gone is left in the workdir (`harness.agent.contract.WIPED_FILE`).
_CLEAR: Final = (
    _SPARED
    + r"""
for job in "$1"/jobs/????????????; do
  case ${job##*/} in *[!0-9a-f]*) continue;; esac
  [ -d "$job" ] || continue
  spared "$job" "$2" && continue
  secret=
  if [ -f "$job/secret" ]; then
    secret=yes
    while read -r file; do rm -f "$file"; done < "$job/secret"
  fi
  rm -rf "$job" 2>/dev/null
  if [ -e "$job" ]; then echo "$job"
  elif [ "$secret" ]; then echo "${job##*/}" >> "$1/wiped"
  fi
done
true
"""
)
#: sh -c WIPED sh WORKDIR: prints the jobs that are noted as gone; FORGET, as soon as they are noted elsewhere.
_WIPED: Final = 'if [ -f "$1/wiped" ]; then cat "$1/wiped"; fi'
_FORGET: Final = 'rm -f "$1/wiped"'
#: Writes a beat in place, so that it is never read empty; not if it was removed with the lease.
_BEAT: Final = r"""
[ -w "$1" ] || exit
{ read -r boot < /proc/sys/kernel/random/boot_id; read -r up rest < /proc/uptime; } 2>/dev/null
[ -n "$up" ] || { boot=clock; up=$(date +%s); }
printf '%s %s\n' "${boot:-unknown}" "${up%%.*}" 1<> "$1"
"""


def lease_of(device: Device) -> Lease:
    """Return the module by which a device is leased."""
    module: Lease = registry.load("leases", device.lease, file=str(device.file), key="lease")
    return module


class Patience:
    """How long a busy device is still waited for, over all the times that it is: `left_s`, s.

    Args:
        seconds: at most, s.
        remedy: how more is allowed.
    """

    def __init__(self, seconds: float, remedy: str = "") -> None:
        self.left_s, self._seconds, self._remedy = seconds, seconds, remedy

    def pause(self, handle: DeviceHandle, seconds: float) -> None:
        """Wait so long before the device is looked at again."""
        handle.pause(seconds)

    def ended(self, busy: Busy) -> Busy:
        """Return the error of a device that is still busy at the end."""
        waited_s = self._seconds - self.left_s
        said = f"; it was waited for {human(waited_s, 's')} in all" if waited_s > 0 else ""
        return Busy(busy.text + said, remedy=self._remedy or busy.remedy, device=busy.device)


class Held:
    """A lease that is held; `renew` makes sure of it."""

    def __init__(self, handle: DeviceHandle, patience: Patience | None = None) -> None:
        self._handle, self._lease, self._patience = handle, lease_of(handle.device), patience
        self.owner = this_process(handle.root)

    def take(self, *, wait: bool = True) -> None:
        """Become the device's one measurer, and end what earlier ones left there.

        Raises:
            Busy: somebody else still is, after all patience or, without `wait`, now.
        """
        handle, before = self._handle, None
        patience = self._patience or Patience(handle.device.limits.cooldown_s)
        said, said_at = "", 0.0
        while True:
            try:
                hold = self._lease.take(handle, self.owner) or Hold()
                break
            except Busy as busy:
                holder = self._lease.holder(handle)
                if holder is not None and is_gone(holder):
                    self._lease.free(handle, holder)
                    before = holder
                    continue
                # Another device file of this campaign names the same machine: its turn ends for certain.
                own = holder is not None and is_this_process(holder)
                if handle.interrupted or not (own or (wait and patience.left_s > 0)):
                    raise patience.ended(busy) from busy
                now = time.monotonic()
                if busy.text != said or now - said_at >= _SAY_S:
                    handle.say(f"waiting: {busy.text}")
                    said, said_at = busy.text, now
                patience.pause(handle, _LOOK_S if own else min(_LOOK_S, patience.left_s))
                if not own:
                    patience.left_s -= time.monotonic() - now
        handle.beat = hold.beat
        self._end_orphans(hold.before or before)

    def renew(self) -> None:
        """Make sure that the lease is still held, after the device was out of reach; raises Busy as `take` does."""
        self.take()

    def keep(self) -> None:
        """Do that while something of this campaign is under way: raise Busy at once if somebody else measures now."""
        self._lease.take(self._handle, self.owner)

    def clear(self) -> None:
        """Remove all jobs: what was sent before its connection was closed may have come after its job was removed."""
        with suppress(DeviceError), self._handle.cleaning():
            self.keep()
            self._end_orphans(None)

    def free(self) -> None:
        """Free the device, also over a connection that died with the last case or was closed by `interrupt`."""
        with self._handle.cleaning():
            self._lease.free(self._handle, self.owner)

    def _end_orphans(self, before: Owner | None) -> None:
        """End and remove jobs of earlier holders: two jobs at a time would falsify both.

        A job that may still be collected is left alone by the campaign that will do so, and by what cleans up for it.
        """
        handle, spared = self._handle, " ".join(self._handle.spared)
        for root in dict.fromkeys([handle.root, before.root if before and before.root else handle.root]):
            running = ["sh", "-c", _RUNNING, "sh", root, spared]
            for job in handle.run(running).text.splitlines():
                handle.say(f"ending {job}, which an earlier campaign had to leave running")
                runner(handle.device).stop(handle, job)
            left = handle.run(running).text.splitlines()
            if left:
                text = f"{left[0]} of {before or 'another account'} still runs and cannot be ended by this account"
                raise Busy(text, remedy="end it there", device=handle.device.id)
            for job in handle.run(["sh", "-c", _CLEAR, "sh", root, spared], timeout_s=600).text.splitlines():
                handle.say(f"{job}, of an earlier campaign, cannot be removed by this account")
            if handle.wiped is None:
                continue
            # Noted by whatever removed them: this, the device side of a killed host, or `harness.deploy.keeper`.
            if jobs := handle.run(["sh", "-c", _WIPED, "sh", root]).text.split():
                for job in jobs:
                    handle.wiped(job)
                handle.run(["sh", "-c", _FORGET, "sh", root])


@contextmanager
def leased(handle: DeviceHandle, *, wait: bool = True, patience: Patience | None = None) -> Iterator[Held]:
    """Be the device's one measurer meanwhile, after waiting for the one before.

    Args:
        handle: of the device.
        wait: whether to wait for the one before at all.
        patience: how long; None for at most `limits.cooldown_s` each time.

    Raises:
        Busy: somebody else still is.
    """
    held = Held(handle, patience)
    with keeper.kept(handle.device):
        try:
            held.take(wait=wait)
        except DeviceError:
            # It may have been got before the connection was lost, or before an orphan could not be ended.
            with suppress(DeviceError):
                held.free()
            raise
        try:
            with _beating(handle):
                handle.renew = held.keep
                yield held
        finally:
            handle.renew = lambda: None
            if handle.interrupted:
                held.clear()
            held.free()


@contextmanager
def _beating(handle: DeviceHandle) -> Iterator[None]:
    """Write the lease's beat from time to time while no job runs: then nothing may be sent."""
    over = threading.Event()

    def beat() -> None:
        while handle.beat and not over.wait(_BEAT_S):
            if handle.quiet:
                continue
            try:
                handle.beside(["sh", "-c", _BEAT, "sh", handle.beat])
            except DeviceError:
                # The one who works with the device makes the connection again, but may be busy here for minutes.
                with suppress(DeviceError), DeviceHandle(handle.device) as other:
                    other.beside(["sh", "-c", _BEAT, "sh", handle.beat])

    thread = threading.Thread(target=beat, name=f"beat {handle.device.id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def clean_up(devices: Iterable[str]) -> None:
    """Do for each device, given as `harness.deploy.keeper` was given it, what its owner cannot do any more."""
    found = [pickle.loads(base64.b64decode(device)) for device in {*devices}]
    threads = [threading.Thread(target=_clean, args=(device,)) for device in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _clean(device: Device) -> None:
    for _ in range(_CLEAN_TRIES):
        try:
            with DeviceHandle(device) as handle:
                handle.spared = KEPT
                with leased(handle, wait=False):
                    return
        except (Busy, Transient):
            # It has ended, but perhaps not quite; or somebody else was faster, who then has cleaned up.
            time.sleep(_CLEAN_PAUSE_S)
        except HarnessError:
            return
