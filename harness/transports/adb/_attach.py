"""From an address to a device that answers: over the network if need be, through adb's states, to a first word."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Final

from harness.errors import DeviceError, TimedOut, Unreachable, Unsupported
from harness.model import Device
from harness.transports.adb._command import trial
from harness.transports.adb._devices import Listed, Several, Wanted, about, listed
from harness.transports.adb._endpoint import Gone
from harness.transports.adb._running import running
from harness.transports.adb._server import Refusal, Server
from harness.transports.adb._session import AdbSession
from harness.transports.adb._states import OFFLINE, PASSING, READY, dead, missing, several, trouble

#: A device that is still offline after this will not come back by itself; s.
_OFFLINE_S: Final = 2.0
#: How often a state is asked for; s.
_POLL_S: Final = 0.05
#: Without it a shell has no exit code: Android 6 and older.
_NEEDED: Final = "shell_v2"


def attach(device: Device, wanted: Wanted, *, stall_s: float, timeout_s: float) -> AdbSession:
    """Return an open session; raises what `adb.connect` promises.

    Args:
        device: for its id and its file.
        wanted: which one that is for adb.
        stall_s: how long a copy may make no progress, s.
        timeout_s: for all of it, s.
    """
    ends_at = time.monotonic() + timeout_s
    server = running(device.id, ends_at)
    attempt = _Attempt(device, server, wanted, ends_at)
    try:
        attempt.make()
    except TimeoutError:
        raise attempt.late(timeout_s) from None
    except Several as error:
        raise several(device.id, device.file, error.devices) from error
    except (Gone, Refusal) as error:
        raise Unreachable(
            f"{wanted} was lost while connecting ({error})",
            remedy="check power and cable, then run again",
            device=device.id,
        ) from error
    return AdbSession(device, server, attempt.wanted, stall_s=stall_s)


@dataclass(slots=True)
class _Attempt:
    """One attempt to reach a device, until the moment `ends_at`.

    Attributes:
        state: what adb said of it at last.
        silent: what its shell did instead of answering, over the first link that adb had called ready.
    """

    device: Device
    server: Server
    wanted: Wanted
    ends_at: float
    state: str = ""
    silent: str = ""

    def make(self) -> None:
        """Come to a device that answers; raises DeviceError, TimeoutError, Several, Gone or Refusal."""
        found = self._await_ready()
        self._check_features(found)
        self.silent = self._try_shell((time.monotonic() + self.ends_at) / 2)
        if not self.silent:
            return
        # adb goes on saying `device` of one whose link was cut without a word; only a new link tells
        if found.usb and self.wanted.transport_id:  # which the new link will not have
            self.wanted = dataclasses.replace(self.wanted, usb=found.usb, transport_id=0)
        self._renew(found)
        self._await_ready(renewed=True)
        self.silent = self._try_shell(self.ends_at)
        if self.silent:
            late = time.monotonic() >= self.ends_at
            raise dead(self.device.id, self.wanted, f"{self.silent}, over a new link too", late=late)

    def late(self, timeout_s: float) -> DeviceError:
        """Return the error for a device that was not reached in time."""
        if not self.silent and self.state not in ("", READY):
            return trouble(self.device.id, self.wanted, self.state)
        why = ": adb called it `device`, but that link is dead and no new one comes" if self.silent else ""
        return TimedOut(
            f"{self.wanted} did not answer within {timeout_s:g} s{why}",
            remedy=(
                "is it switched on, awake and in reach? A slow one needs a longer connect_timeout_s under [adb] in"
                f" {self.device.file}"
            ),
            device=self.device.id,
        )

    def _await_ready(self, *, renewed: bool = False) -> Listed:
        """Return the device in the state `device`; one that stays offline is given a new link, once."""
        patient_until, said = time.monotonic() + _OFFLINE_S, ""
        while True:
            devices = listed(self.server, self.ends_at)
            found = self.wanted.among(devices)
            self.state = found.state if found else ""
            if found and self.state == READY:
                return found
            late = time.monotonic() > patient_until
            if self.state not in PASSING or (renewed and late and self.state == OFFLINE):
                raise self._trouble()
            if not found and self.wanted.network:
                if said:
                    raise self._unreachable(said)
                said = self._connected()
            elif not found and not renewed:
                raise missing(self.device.id, self.wanted, devices)
            elif not found and late:  # it was there until its link was renewed
                raise self._trouble()
            elif found and self.state == OFFLINE and late:
                self._renew(found)
                patient_until, renewed = time.monotonic() + _OFFLINE_S, True
            time.sleep(_POLL_S)

    def _connected(self) -> str:
        """Have the adb server connect to the device and return what it says to that."""
        try:
            return self.server.ask(f"host:connect:{self.wanted.serial}", self.ends_at).strip() or "it said nothing"
        except Refusal as error:
            return str(error)

    def _trouble(self) -> DeviceError:
        if self.silent and self.state in ("", OFFLINE):
            why = f"{self.silent}; over a new link it is {self.state or 'gone'}"
            return dead(self.device.id, self.wanted, why, late=False)
        return trouble(self.device.id, self.wanted, self.state or OFFLINE)

    def _unreachable(self, said: str) -> DeviceError:
        return Unreachable(
            f"adb cannot reach {self.wanted} ({said})",
            remedy=(
                "check `address` and the network, that it is awake, and that debugging over the network is switched on"
                " there (`adb tcpip PORT`)"
            ),
            device=self.device.id,
        )

    def _check_features(self, found: Listed) -> None:
        if _NEEDED not in self.server.ask(about(found, "features"), self.ends_at).strip().split(","):
            raise Unsupported(
                f"{self.wanted} lacks {_NEEDED} (Android 6 or older), so no exit codes",
                remedy="use a newer device",
                device=self.device.id,
            )

    def _try_shell(self, ends_at: float) -> str:
        """Return "" if a shell starts there in time, else what it did; adb's own word for it is not enough."""
        with self.server.dial(ends_at) as plug:
            try:
                self.wanted.choose(self.server, plug, ends_at)
                said = trial(self.server, plug, ends_at)
            except TimeoutError:
                return "no shell answers"
            except (Refusal, Gone) as error:
                # the server learned between its two answers that the link is cut ("device offline"), or there is no
                # shell any more ("closed")
                return f"no shell starts ({error})"
        if said:
            raise dead(self.device.id, self.wanted, f"its shell fails ({said})", late=False)
        return ""

    def _renew(self, found: Listed) -> None:
        """Have the adb server drop its link to the device, and make another where that does not happen by itself."""
        network = self.wanted.network
        self.server.ask(f"host:disconnect:{found.serial}" if network else about(found, "reconnect"), self.ends_at)
