"""Is the device fit to be measured now? Waits until it is inside its limits, or refuses with the reason."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import deploy, registry
from harness.agent import contract
from harness.deploy import DeviceHandle, android
from harness.errors import DeviceError, OutOfSpace, Refused
from harness.measure import host_meter
from harness.model import Device, Limits
from harness.ports.runners import Wanted
from harness.results import events
from harness.units import decimal, human, printable

#: How often a hot device is looked at again.
_LOOK_S = 5.0
#: What `edgeward check` wants: a clock with steps well below a latency, room for two runtimes and the models, and a
#: meter that makes the energy pass's 50 updates in 10 s.
_CLOCK_S = 1e-6
_SPACE_BYTES = 500_000_000
CHANGES_HZ = 5.0
TOO_SLOW = f"{CHANGES_HZ:.0f} changes a second are needed: shorten the meter's update interval"
#: How long a trial on the device may take.
_TRIAL_S = 60.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edgeward check`: can this be measured there, what was seen, and what to do if not.

    Without what is `needed` nothing can be measured there at all.
    """

    topic: str
    ok: bool
    says: str
    remedy: str = ""
    needed: bool = False


def obstacles(limits: Limits, conditions: Mapping[str, Any]) -> list[str]:
    """Return why a device in these conditions may not be measured now; empty if it may."""
    found = []
    heat, charge = conditions.get("temperature_c"), conditions.get("battery_ratio")
    if limits.max_start_temperature_c is not None and heat is not None and heat > limits.max_start_temperature_c:
        found.append(f"it is at {decimal(heat, 0)} °C, its limit is {decimal(limits.max_start_temperature_c, 0)} °C")
    if limits.min_battery_ratio is not None and charge is not None and charge < limits.min_battery_ratio:
        found.append(f"its battery is at {human(charge, '%')}, its limit is {human(limits.min_battery_ratio, '%')}")
    return found


def no_such_zone(device: Device, seen: Mapping[str, Any]) -> Finding | None:
    """Return that the device lacks the thermal zone that its file names, None where it has it or none is named."""
    wanted, there = device.limits.thermal_zone, seen.get("thermal_zones", ())
    if not wanted or wanted in there:
        return None
    says = f"the device has no thermal zone of the type {wanted!r}; there is: {', '.join(there) or 'none'}"
    return Finding("limits", False, says, f"correct thermal_zone under [limits] in {device.file.name}")


def wait_until_fit(handle: DeviceHandle) -> Mapping[str, Any]:
    """Wait at most `limits.cooldown_s` until the device is inside its limits and return what was read last.

    Raises:
        Refused: it still is not, or lacks the thermal zone that is meant; the message says which or by how much.
        Untrue: it says of its state what cannot be.
    """
    device = handle.device
    deadline = time.monotonic() + device.limits.cooldown_s
    while True:
        seen = deploy.survey(handle)
        unknown = no_such_zone(device, seen)
        if unknown is not None:
            raise Refused(unknown.says, remedy=unknown.remedy, device=device.id)
        seen["conditions"] = _checked(seen.get("conditions"), device)
        why = obstacles(device.limits, seen["conditions"])
        if not why:
            return seen
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            waited = f"after {human(device.limits.cooldown_s, 's')}, "
            raise Refused(
                f"not fit to be measured: {waited}{'; '.join(why)}", remedy="cool or charge it", device=device.id
            )
        handle.say(f"waiting at most {human(left_s, 's')} more: {'; '.join(why)}")
        time.sleep(min(_LOOK_S, left_s))


def _checked(said: Any, device: Device) -> dict[str, Any]:
    """Return the state of a device, its numbers within their ranges; raises Untrue."""
    if not isinstance(said, dict):
        return events.readings(said, device=device.id)
    words = {name: printable(str(said[name])) for name in android.WORDS if name in said}
    return {**words, **events.readings({k: v for k, v in said.items() if k not in words}, device=device.id)}


def survey(handle: DeviceHandle) -> list[Finding]:
    """Return what can be measured on a device and what cannot, each with its remedy; brings runner and runtimes."""
    device = handle.device
    try:
        deploy.prepare(handle, Wanted(device.runtimes))
        seen = deploy.survey(handle)
    except OutOfSpace as error:
        return [Finding("free space", False, error.text, error.remedy, needed=True)]
    except DeviceError as error:
        return [Finding(f"{device.runner} runner", False, error.text, error.remedy, needed=True)]
    now, what = seen["conditions"], seen["fingerprint"]
    found = [
        _python(handle, what),
        Finding("processor", True, _processor(handle, what)),
        _clock(seen["clock"]),
        _space(handle.root, now),
        *_memory(seen["can"]),
        *_speed(seen["can"], now, what),
        *_battery(now),
    ]
    runtimes = [_runtime(handle, requirement) for requirement in device.runtimes]
    missing = Finding("runtimes", False, "none named", f'add runtimes = ["onnxruntime==VERSION"] to {device.file.name}')
    needed = [replace(one, needed=True) for one in (*(runtimes or [missing]), *_limits(device, seen))]
    return [*found, *needed, meter(handle)]


def _failed(topic: str, error: DeviceError, otherwise: str) -> Finding:
    """Return an error as a finding; `otherwise` is the remedy of one that has none."""
    return Finding(topic, False, error.text, error.remedy or otherwise)


def _python(handle: DeviceHandle, fingerprint: Mapping[str, Any]) -> Finding:
    if "python" in fingerprint:
        return Finding("python", True, f"{fingerprint['python']} ({handle.workspace.target})")
    return Finding("python", True, f"not needed by the {handle.device.runner} runner")


def _processor(handle: DeviceHandle, fingerprint: Mapping[str, Any]) -> str:
    bound = f"; jobs run on {handle.workspace.cores}" if handle.workspace.cores else ""
    return f"{fingerprint.get('soc') or 'unnamed'}, {fingerprint['cores']} cores{bound}"


def _clock(clock: Mapping[str, Any]) -> Finding:
    says = f"{human(clock['resolution_s'], 's')} steps, {clock['implementation']}"
    fine = clock["resolution_s"] <= _CLOCK_S
    return Finding("clock", fine, says, f"boot a kernel with high-resolution timers: {human(_CLOCK_S, 's')} are wanted")


def _space(root: str, conditions: Mapping[str, Any]) -> Finding:
    free = conditions.get("free_bytes")
    says = "not readable" if free is None else f"{human(free, 'B')} under {root}"
    remedy = f"{human(_SPACE_BYTES, 'B')} are wanted: free some, or set workdir to another disk"
    return Finding("free space", free is not None and free >= _SPACE_BYTES, says, remedy)


def _memory(can: Mapping[str, bool]) -> Sequence[Finding]:
    return (
        _able(
            "peak memory", can["vm_hwm"], "VmHWM", "peak memory will be absent; mount /proc, or use a kernel with it"
        ),
        _able(
            "shared memory",
            can["smaps_rollup"],
            "PSS from smaps_rollup",
            "PSS will be absent; Linux 4.14 or newer has it",
        ),
    )


def _speed(can: Mapping[str, bool], conditions: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> Sequence[Finding]:
    heat = conditions.get("temperature_c")
    return (
        _able(
            "temperature",
            can["temperature"],
            "" if heat is None else f"{decimal(heat, 0)} °C",
            "limits on temperature will not hold; rest the device between runs: the sentinel marks rounds it slows in",
        ),
        _able(
            "governor",
            can["governor"],
            str(fingerprint.get("governor", "")),
            "fix the clock in the firmware if it can be; the sentinel marks rounds in which it moved",
        ),
    )


def _battery(conditions: Mapping[str, Any]) -> Sequence[Finding]:
    if "charging" not in conditions:
        return ()
    charge = conditions.get("battery_ratio")
    says = "charge not readable" if charge is None else human(charge, "%")
    state = "charging" if conditions["charging"] else "not charging"
    remedy = "unplug it before energy is measured from the battery"
    return (Finding("battery", not conditions["charging"], f"{says}, {state}", remedy),)


def _able(topic: str, able: bool, says: str, remedy: str) -> Finding:
    return Finding(topic, able, says if able else "not readable", "" if able else remedy)


def _limits(device: Device, seen: Mapping[str, Any]) -> Sequence[Finding]:
    unknown = no_such_zone(device, seen)
    found = obstacles(device.limits, seen["conditions"])
    return [*([unknown] if unknown else []), *(Finding("limits", False, why, "cool or charge it") for why in found)]


def _runtime(handle: DeviceHandle, requirement: str) -> Finding:
    """Bring a runtime, start it once there and say which accelerators it offers."""
    device = handle.device
    remedy = f"name another version under runtimes in {device.file.name}"
    try:
        folder = deploy.runtime(handle, requirement)
        tried = asked(handle, ["runtime", registry.runtime_name(requirement), folder])
    except DeviceError as error:
        return _failed(requirement, error, remedy)
    if tried is None:
        where = f"installed in {folder}" if folder else "built into the tool"
        return Finding(requirement, True, f"{where}; not started with the {device.runner} runner")
    if "refused" in tried:
        return Finding(requirement, False, f"does not start: {tried['refused']}", remedy)
    beside = f" with numpy {tried['numpy']}" if "numpy" in tried else ""
    return Finding(requirement, True, f"starts{beside}; accelerators: {', '.join(tried['offers']) or 'none'}")


def no_meter(device: Device) -> Finding | None:
    """Return why no energy can be measured on a device, whatever its meter shows; None where it can."""
    if device.meter is None:
        return Finding("energy", False, "no meter configured", f"add [meter] to {device.file.name}")
    if deploy.runner(device).METERS:
        return None
    says = f"the {device.runner} runner has no energy pass"
    return Finding("energy", False, says, 'set runner = "native", or "python" if the device has it')


def meter(handle: DeviceHandle) -> Finding:
    """Read the meter at rest and under load, and say whether it moves as a meter must."""
    device, file = handle.device, handle.device.file.name
    if lacking := no_meter(device):
        return lacking
    table = dict(device.meter or {})
    kind = table["kind"]
    if host_meter.is_read_here(device):
        return Finding("energy", *_verdict(kind, host_meter.tried(device), file))
    try:
        tried = asked(handle, ["meter"], stdin=json.dumps(table).encode())
    except DeviceError as error:
        return _failed("energy", error, f"correct [meter] in {file}")
    if tried is None:
        remedy = 'see by hand that it moves, or check once with runner = "python"'
        return Finding("energy", False, f"meter {kind}: not checked with the {device.runner} runner", remedy)
    return Finding("energy", *_verdict(kind, tried, file))


def _verdict(kind: str, tried: Mapping[str, Any], file: str) -> tuple[bool, str, str]:
    if "refused" in tried:
        return False, f"meter {kind}: {tried['refused']}", tried.get("remedy") or f"correct [meter] in {file}"
    if tried["charging"]:
        return False, f"meter {kind}: the battery is charging, which hides what the device draws", "unplug it"
    watts = f"{human(tried['rest_w'], 'W')} at rest, {human(tried['load_w'], 'W')} under load"
    if tried["changes"] == 0:
        return (
            False,
            f"meter {kind}: never changed in {tried['seconds']:.0f} s",
            f"connect it, or correct [meter] in {file}",
        )
    rate = tried["changes"] / tried["seconds"]
    says = f"meter {kind}: {rate:.0f} changes a second, {watts}"
    if min(tried["rest_w"], tried["load_w"]) < 0:
        return False, says, "it counts backwards: turn its shunt round"
    return rate >= CHANGES_HZ, says, TOO_SLOW


def asked(
    handle: DeviceHandle, command: Sequence[str], stdin: bytes = b"", *, timeout_s: float = _TRIAL_S
) -> Mapping[str, Any] | None:
    """Return what a command of the device side answers, None from a runner that has no such command.

    Args:
        handle: of the device, which is prepared.
        command: with its arguments.
        stdin: what it reads.
        timeout_s: longest time that it may take, s.

    Raises:
        DeviceError: it gives no answer.
    """
    done = handle.run([*handle.workspace.command, *command], stdin=stdin, timeout_s=timeout_s)
    if done.code == contract.NO_SUCH_COMMAND:
        return None
    meaning = f"{command[0]} could not be tried on the device"
    return deploy.answer(done, handle.device, meaning)
