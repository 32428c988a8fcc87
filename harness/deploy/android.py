"""What an Android device says of its screen, charger, battery and heat, beside what the agent reads.

An app or a shell may not read most of /sys there; the system's services answer `dumpsys` for the shell's user. What a
version does not say is left out. None of it is changed: see devices/README.md for what to set by hand.
"""

from __future__ import annotations

import re
from typing import Any, Final

from harness.deploy.handle import DeviceHandle

#: Prints nothing where there is no dumpsys; else the few lines that are read below, and nothing else of the many.
_ASK: Final = """
command -v dumpsys > /dev/null 2>&1 || exit 0
dumpsys power 2>/dev/null | grep -E '^ *mWakefulness='
dumpsys battery 2>/dev/null | grep -E '^ *(AC|USB|Wireless|Dock) powered:|^ *(level|scale|status):'
dumpsys thermalservice 2>/dev/null | grep -E '^ *Thermal Status:'
echo "doze: $(dumpsys deviceidle get deep 2>/dev/null | head -n 1)"
true
"""
#: The words of Android's BatteryManager for its `status`.
_CHARGING, _DISCHARGING, _NOT_CHARGING, _FULL = "2", "3", "4", "5"
#: What is said beside the agent's own readings, in words.
WORDS: Final = ("wakefulness", "doze", "powered_by", "thermal_status")
#: Steps of Android's PowerManager.THERMAL_STATUS_*, in their order.
THERMAL: Final = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_POWERED: Final = re.compile(r"(\w+) powered")


def conditions(handle: DeviceHandle) -> dict[str, Any]:
    """Return the state of an Android device now, {} of any other.

    Returns:
        of `wakefulness` (Awake, Asleep, Dozing …), `doze` (ACTIVE, IDLE …), `powered_by` (AC, USB …, nothing),
        `thermal_status` (one of `THERMAL`), `battery_ratio` (0 to 1) and `charging` those that it says.
    """
    said: dict[str, str] = {}
    for line in handle.run(["sh", "-c", _ASK]).text.splitlines():
        name, _, value = line.strip().replace("=", ":", 1).partition(":")
        said[name.strip()] = value.strip()
    status = said.get("Thermal Status", "")
    found = {
        "wakefulness": said.get("mWakefulness"),
        "doze": said.get("doze") if re.fullmatch(r"[A-Z_]+", said.get("doze", "")) else None,
        "powered_by": _powered(said),
        "thermal_status": THERMAL[int(status)] if status.isdecimal() and int(status) < len(THERMAL) else None,
        "battery_ratio": _charge(said),
        "charging": _charging(said.get("status", "")),
    }
    return {key: value for key, value in found.items() if value is not None}


def _powered(said: dict[str, str]) -> str | None:
    """Return from where it is supplied; "nothing" on its battery; None where it does not say."""
    supplies = {match[1]: value for name, value in said.items() if (match := _POWERED.fullmatch(name))}
    if not supplies:
        return None
    return "+".join(name for name, value in supplies.items() if value == "true") or "nothing"


def _charge(said: dict[str, str]) -> float | None:
    level, scale = said.get("level", ""), said.get("scale", "")
    if not (level.isdecimal() and scale.isdecimal()) or not 0 < int(scale) >= int(level):
        return None
    return int(level) / int(scale)


def _charging(status: str) -> bool | None:
    if status in (_CHARGING, _FULL):
        return True
    return False if status in (_DISCHARGING, _NOT_CHARGING) else None
