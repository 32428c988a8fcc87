"""[meter]
kind = "joulescope"
serial = "002557"                           # its serial number; default: the only Joulescope on this host
update_hz = 20.0                            # how often it reports its energy

A Joulescope JS220 or JS110 in the device's supply, read by the host through pyjoulescope_driver: joules that the
instrument counts itself. Never tried on the hardware.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from harness.meters import missing

QUANTITY = "joules"
UNTESTED = "never tried on a Joulescope: no hardware was at hand"

#: Samples a second of the models, which the count of one update is taken from.
_RATES = {"js110": 2_000_000, "js220": 1_000_000}
#: Longest time without an update before the instrument counts as lost.
_SILENCE_S = 2.0


@dataclass(frozen=True)
class Options:
    """The keys of `[meter]`."""

    serial: str = ""
    update_hz: float = 20.0

    def __post_init__(self) -> None:
        if not 5 <= self.update_hz <= 1000:
            raise ValueError(f"update_hz must lie between 5 and 1000, not {self.update_hz:g}")


class Meter:
    """A counter of joules."""

    resolution = 1e-9

    def __init__(self, options: Options) -> None:
        try:
            from pyjoulescope_driver import Driver
        except ImportError:
            raise missing("pyjoulescope_driver") from None
        self._driver: Any = Driver()
        self._fresh, self._joules, self._at = threading.Condition(), 0.0, 0.0
        try:
            self._begin(chosen(self._driver.device_paths(), options.serial), options.update_hz)
            self.read()
        except RuntimeError as error:
            self.close()
            raise OSError(f"the Joulescope does not start: {error}") from error
        except BaseException:
            self.close()
            raise

    def read(self) -> float:
        """Return the joules that were counted at the newest update."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._at, timeout=_SILENCE_S)
            # A counter that stands still because no update comes must not pass for a device that draws nothing.
            if not self._at or time.monotonic() - self._at > _SILENCE_S:
                raise OSError(f"the Joulescope sent nothing for {_SILENCE_S:g} s; look at its plug")
            return self._joules

    def charging(self) -> bool:
        """Return False: the instrument sits in the supply."""
        return False

    def close(self) -> None:
        """Let go of the instrument."""
        self._driver.finalize()

    def _begin(self, path: str, update_hz: float) -> None:
        model = path.split("/")[1]
        if model not in _RATES:
            raise OSError(f"{path} is no Joulescope that is known; known: {', '.join(sorted(_RATES))}")
        self._driver.open(path)
        if model == "js110":
            self._driver.publish(path + "/s/i/range/select", "auto")
            for signal in ("i", "v", "p"):
                self._driver.publish(f"{path}/s/{signal}/ctrl", "on")
        else:
            self._driver.publish(path + "/s/i/range/mode", "auto")
        self._driver.publish(path + "/s/stats/scnt", round(_RATES[model] / update_hz))
        self._driver.publish(path + "/s/stats/ctrl", "on" if model == "js110" else 1)
        self._driver.subscribe(path + "/s/stats/value", "pub", self._hear)

    def _hear(self, topic: str, value: dict[str, Any]) -> None:
        del topic
        with self._fresh:
            self._joules, self._at = float(value["accumulators"]["energy"]["value"]), time.monotonic()
            self._fresh.notify_all()


def chosen(paths: list[str], serial: str) -> str:
    """Return the one instrument that is meant; raises OSError naming those that are there."""
    found = [path for path in paths if not serial or path.rsplit("/", 1)[-1] == serial]
    if len(found) == 1:
        return found[0]
    there = ", ".join(paths) or "none"
    if not found:
        wanted = f"Joulescope {serial}" if serial else "Joulescope"
        raise OSError(f"no {wanted} on this host; seen: {there}")
    raise OSError(f"several Joulescopes: {there}; set serial under [meter]")
