"""[meter]
kind = "ppk2"
port = "/dev/ttyACM0"                       # default: the only Power Profiler Kit II on this host
mode = "ampere"                             # "ampere": the device has its own supply; "source": the kit feeds it
voltage_v = 3.7                             # of the supply, or what the kit shall feed; V

Nordic's Power Profiler Kit II, read by the host through ppk2-api: it measures current alone, so joules are as right as
`voltage_v`, and its range ends at 1 A. Never tried on the hardware.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from harness.meters import missing

QUANTITY = "joules"
UNTESTED = "never tried on a Power Profiler Kit II: no hardware was at hand"

#: Samples a second, and how long the kit may be silent before it counts as lost.
_RATE_HZ = 100_000
_SILENCE_S = 1.0
_PAUSE_S = 0.005


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    port: str = ""
    mode: str = "ampere"
    voltage_v: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("ampere", "source"):
            raise ValueError(f'mode is "ampere" or "source", not {self.mode!r}')
        if self.voltage_v and not 0.8 <= self.voltage_v <= 5.0:
            raise ValueError(f"voltage_v must lie between 0.8 and 5 V, not {self.voltage_v:g}")


class Meter:
    """A counter of joules: current of each sample, times the voltage, times 10 µs."""

    def __init__(self, options: Options) -> None:
        if not options.voltage_v:
            raise ValueError("voltage_v is not set: the kit measures current alone")
        try:
            from ppk2_api.ppk2_api import PPK2_API
        except ImportError:
            raise missing("ppk2-api") from None
        self._voltage_v, self.resolution = options.voltage_v, options.voltage_v * 1e-6 / _RATE_HZ
        self._kit: Any = PPK2_API(options.port or _only(PPK2_API.list_devices()))
        self._kit.get_modifiers()
        getattr(self._kit, "use_ampere_meter" if options.mode == "ampere" else "use_source_meter")()
        self._kit.set_source_voltage(round(options.voltage_v * 1000))
        if options.mode == "source":
            self._kit.toggle_DUT_power("ON")
        self._joules, self._at, self._fault = 0.0, time.monotonic(), ""
        self._stop = threading.Event()
        self._kit.start_measuring()
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def read(self) -> float:
        """Return the joules since it was opened."""
        if not self._fault and time.monotonic() - self._at > _SILENCE_S:
            self._fault = f"nothing was heard for {_SILENCE_S:g} s"
        if self._fault:
            raise OSError(f"the Power Profiler Kit is lost: {self._fault}; look at its plug")
        return self._joules

    def charging(self) -> bool:
        """Return False: the kit sits in the supply."""
        return False

    def close(self) -> None:
        """Stop counting; a device that the kit feeds stays on, for what was measured there is still to be fetched."""
        self._stop.set()
        self._thread.join()
        if not self._fault:
            self._kit.stop_measuring()
        self._kit.ser.close()

    def _count(self) -> None:
        try:
            while not self._stop.wait(_PAUSE_S):
                heard = self._kit.get_data()
                if heard:
                    microamperes, _ = self._kit.get_samples(heard)
                    self._joules += sum(microamperes) * 1e-6 * self._voltage_v / _RATE_HZ
                    self._at = time.monotonic()
        except (OSError, TypeError) as error:  # pyserial reads None from a port that is gone
            self._fault = str(error)


def _only(ports: list[str]) -> str:
    """Return the one kit that is there; raises OSError if there is none, or several."""
    if len(ports) == 1:
        return ports[0]
    if not ports:
        raise OSError("no Power Profiler Kit II on this host; plug it in, or set port under [meter]")
    raise OSError(f"several Power Profiler Kits: {', '.join(ports)}; set port under [meter]")
