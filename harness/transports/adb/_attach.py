"""From an address to a device that answers: over the network if need be, through adb's states, to a first word."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from harness.errors import DeviceError, TimedOut, Unreachable, Unsupported
from harness.model import Device
from harness.transports.adb import _server
from harness.transports.adb._server import Gone, Refusal, Server
from harness.transports.adb._session import AdbSession
from harness.transports.adb._states import OFFLINE, PASSING, READY, missing, trouble

#: A device that is still offline after this will not come back by itself; s.
_OFFLINE_S: Final = 2.0
#: How often a state is asked for; s.
_POLL_S: Final = 0.05
#: Without it a shell has no exit code: Android 6 and older.
_NEEDED: Final = "shell_v2"


def attach(device: Device, *, stall_s: float, timeout_s: float) -> AdbSession:
    """Return an open session; raises what `adb.connect` promises.

    Args:
        device: the device.
        stall_s: how long a copy may make no progress, s.
        timeout_s: for all of it, s.
    """
    ends_at = time.monotonic() + timeout_s
    server = _server.running(device.id, ends_at)
    serial = device.address.serial or f"{device.address.host}:{device.address.port}"
    attempt = _Attempt(device.id, server, serial, bool(device.address.port), ends_at)
    try:
        attempt.make()
    except TimeoutError:
        raise TimedOut(
            f"{serial} did not answer within {timeout_s:g} s",
            remedy=(
                "is it switched on, awake and in reach? A slow one needs a longer connect_timeout_s under [adb] in"
                f" {device.file}"
            ),
            device=device.id,
        ) from None
    except (Gone, Refusal) as error:
        raise Unreachable(
            f"{serial} was lost while connecting ({error})",
            remedy="check power and cable, then run again",
            device=device.id,
        ) from error
    return AdbSession(device, server, serial, stall_s=stall_s)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One attempt to reach a device, until the moment `ends_at`."""

    device: str
    server: Server
    serial: str
    network: bool
    ends_at: float

    def make(self) -> None:
        """Come to a device that answers; raises DeviceError, TimeoutError, Gone or Refusal."""
        self._await_ready()
        if not self._answers((time.monotonic() + self.ends_at) / 2):
            # adb goes on saying `device` of one whose link was cut without a word; only a new link tells
            self._renew()
            self._await_ready(renewed=True)
            if not self._answers(self.ends_at):
                raise TimeoutError
        features = self.server.ask(f"host-serial:{self.serial}:features", self.ends_at).split(",")
        if _NEEDED not in features:
            raise Unsupported(
                f"{self.serial} lacks {_NEEDED} (Android 6 or older), so no exit codes",
                remedy="use a newer device",
                device=self.device,
            )

    def _await_ready(self, *, renewed: bool = False) -> None:
        """Wait for the state `device`; a device that stays offline is given a new link, once."""
        patient_until, said = time.monotonic() + _OFFLINE_S, ""
        while (state := (states := self.server.states(self.ends_at)).get(self.serial, "")) != READY:
            late = time.monotonic() > patient_until
            if state not in PASSING or (renewed and late and state == OFFLINE):
                raise trouble(self.device, self.serial, state)
            if not state and self.network:
                if said:
                    raise self._unreachable(said)
                said = self.server.ask(f"host:connect:{self.serial}", self.ends_at)
            elif not state and not renewed:
                raise missing(self.device, self.serial, states)
            elif not state and late:  # it was there until its link was renewed
                raise trouble(self.device, self.serial, OFFLINE)
            elif state == OFFLINE and late:
                self._renew()
                patient_until, renewed = time.monotonic() + _OFFLINE_S, True
            time.sleep(_POLL_S)

    def _unreachable(self, said: str) -> DeviceError:
        return Unreachable(
            f"adb cannot reach {self.serial} ({said})",
            remedy=(
                "check `address` and the network, and that debugging over the network is switched on "
                "there (`adb tcpip PORT`)"
            ),
            device=self.device,
        )

    def _answers(self, ends_at: float) -> bool:
        """Return whether a shell starts there in time; adb's own word for it is not enough."""
        try:
            with self.server.dial(ends_at) as plug:
                self.server.request(plug, f"host:transport:{self.serial}", ends_at)
                self.server.request(plug, "shell:exit", ends_at)
        except (TimeoutError, Refusal):
            # Refused: the server learned between its two answers that the link is cut ("device offline").
            return False
        return True

    def _renew(self) -> None:
        """Have the adb server drop its link to the device, and make another where that does not happen by itself."""
        request = f"host:disconnect:{self.serial}" if self.network else f"host-serial:{self.serial}:reconnect"
        self.server.ask(request, self.ends_at)
