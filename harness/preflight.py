"""Is the device fit to be measured now? Waits until it is inside its limits, or refuses with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import provision
from harness.errors import DeviceError, Refused
from harness.model import Device, Limits
from harness.placing import Workspace
from harness.ports import Connection
from harness.units import human

#: How often a hot device is looked at again.
_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edgeward check`: can this be measured there, what was seen, and what to do if not."""

    topic: str
    ok: bool
    says: str
    remedy: str = ""


def obstacles(limits: Limits, conditions: Mapping[str, Any]) -> list[str]:
    """Return why a device in these conditions may not be measured now; empty if it may."""
    found = []
    heat, charge = conditions.get("temperature_c"), conditions.get("battery_ratio")
    if limits.max_start_temperature_c is not None and heat is not None and heat > limits.max_start_temperature_c:
        found.append(f"it is at {heat:.0f} °C, its limit is {limits.max_start_temperature_c:.0f} °C")
    if limits.min_battery_ratio is not None and charge is not None and charge < limits.min_battery_ratio:
        found.append(f"its battery is at {human(charge, '%')}, its limit is {human(limits.min_battery_ratio, '%')}")
    return found


def wait_until_fit(
    connection: Connection, device: Device, place: Workspace, say: Callable[[str], None]
) -> Mapping[str, Any]:
    """Wait at most `limits.cooldown_s` until the device is inside its limits and return what was read last.

    Raises:
        Refused: it still is not; the message says by how much.
    """
    deadline = time.monotonic() + device.limits.cooldown_s
    while True:
        seen = provision.survey(connection, device, place)
        why = obstacles(device.limits, seen["conditions"])
        if not why:
            return seen
        if time.monotonic() + _LOOK_S > deadline:
            raise Refused(f"not fit to be measured: {'; '.join(why)}; cool or charge it", device=device.id)
        say(f"waiting: {'; '.join(why)}")
        time.sleep(_LOOK_S)


def survey(connection: Connection, device: Device) -> list[Finding]:
    """Return what can be measured on a device and what cannot, each with its remedy; brings only the agent there."""
    try:
        place = provision.workspace(connection, device)
    except DeviceError as error:
        return [Finding("agent", False, str(error), "see above")]
    seen = provision.survey(connection, device, place)
    can, now, what = seen["can"], seen["conditions"], seen["fingerprint"]
    found = [
        Finding("python", True, f"{what['python']} ({place.target})" if "python" in what else "not needed"),
        Finding("processor", True, f"{what.get('soc', 'unnamed')}, {what['cores']} cores"),
        Finding("clock", seen["clock"]["resolution_s"] <= 1e-6, f"{human(seen['clock']['resolution_s'], 's')} steps"),
        Finding("free space", now["free_bytes"] > 500_000_000, human(now["free_bytes"], "B"), "500 MB are wanted"),
        _able("peak memory", can["vm_hwm"], "VmHWM", "this kernel does not say; peak memory will be absent"),
        _able(
            "shared memory", can["smaps_rollup"], "PSS from smaps_rollup", "kernel 4.14 or newer; PSS will be absent"
        ),
        _able(
            "temperature", can["temperature"], _degrees(now), "no thermal zone; the sentinel watches the clock instead"
        ),
        _able("governor", can["governor"], what.get("governor", ""), "not readable; the sentinel watches the clock"),
    ]
    found += [_runtime(connection, device, place, requirement) for requirement in device.runtimes]
    return [*found, *_limits(device, now), _meter(device)]


def _able(topic: str, able: bool, says: str, remedy: str) -> Finding:
    return Finding(topic, able, says if able else "not readable", "" if able else remedy)


def _degrees(conditions: Mapping[str, Any]) -> str:
    heat = conditions.get("temperature_c")
    return "" if heat is None else f"{heat:.0f} °C"


def _runtime(connection: Connection, device: Device, place: Workspace, requirement: str) -> Finding:
    try:
        folder = provision.runtime(connection, device, place, requirement)
    except DeviceError as error:
        return Finding(requirement, False, str(error), "")
    return Finding(requirement, True, f"installed in {folder}")


def _limits(device: Device, conditions: Mapping[str, Any]) -> Sequence[Finding]:
    return [Finding("limits", False, why, "cool or charge it") for why in obstacles(device.limits, conditions)]


def _meter(device: Device) -> Finding:
    if device.meter is None:
        return Finding("energy", False, "no meter configured", f"add [meter] to {device.file.name}")
    return Finding("energy", True, f"meter {device.meter['kind']}")
