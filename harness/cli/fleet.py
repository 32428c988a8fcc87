"""`edgeward devices` and `edgeward check`: asks the devices themselves, all at once, each with a deadline."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import click
from rich.markup import escape

from harness import lab
from harness.agent import survey
from harness.cli.settings import Settings
from harness.cli.tables import empty, show
from harness.deploy import DeviceHandle, leased
from harness.deploy.lease import lease_of
from harness.errors import HarnessError, LabError, StoreError
from harness.model import Device
from harness.units import ABSENT, decimal

if TYPE_CHECKING:
    from harness.measure.preflight import Finding

#: How long a device whose file does not say it may take to let us in, and how much longer until it has answered; s.
_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 2.0

#: Prints "TYPE|TEMPERATURE" of each thermal zone, as its files have them; nothing where there are none.
_HEAT: Final = """
for zone in /sys/class/thermal/thermal_zone*; do
    kind= heat=
    read -r kind < "$zone/type"
    read -r heat < "$zone/temp"
    echo "edgeward|$kind|$heat"
done 2>/dev/null
true
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a device answered, or why not; who measures on it, and how warm it is where that can be read."""

    reachable: bool
    reason: str = ""
    holder: str = ""
    temperature_c: float | None = None

    def state(self, device: Device) -> str:
        """Return "busy: WHO", "hot: 71 °C", or what is known of a device that is neither."""
        heat, limit = self.temperature_c, device.limits.max_start_temperature_c
        warmth = "" if heat is None else f"{decimal(heat, 0)} °C"
        if self.holder:
            return f"[yellow]busy[/]: {escape(self.holder)}"
        if heat is not None and limit is not None and heat > limit:
            return f"[yellow]hot[/]: {warmth}, limit {decimal(limit, 0)} °C"
        return f"free {warmth}".strip() if self.reachable else ABSENT


def connect(device: Device, say: Callable[[str], None] = lambda _: None) -> DeviceHandle:
    """Return an open handle, which tries a lost connection once more; raises DeviceError."""
    return DeviceHandle(device, say, timeout_s=_connect_s(device), patience_s=0.0)


def _connect_s(device: Device) -> float:
    """Return how long a device may take to let us in: as long as its file allows it, whatever its transport, s."""
    return float(device.options.get("connect_timeout_s", _CONNECT_S))


def probe(device: Device) -> Probe:
    """Return whether a device runs a command now."""
    try:
        with connect(device) as handle:
            done = handle.run(["sh", "-c", _HEAT], timeout_s=_connect_s(device))
            owner = lease_of(device).holder(handle)
    except HarnessError as error:
        return Probe(False, str(error.reason))
    except Exception as error:  # noqa: BLE001  one device's fault, and one of ours, is that device's line
        return Probe(False, f"unexpected {type(error).__name__}: {error}; this is a fault of edgeward")
    return Probe(True, holder=str(owner or ""), temperature_c=_temperature(done.text, device))


def _temperature(printed: str, device: Device) -> float | None:
    """Return how warm a device is, by the same rule as its own side has."""
    lines = [line.split("|", 2) for line in printed.splitlines() if line.startswith("edgeward|")]
    return survey.hottest([(kind, heat) for _, kind, heat in lines], device.limits.thermal_zone)


def probe_all(devices: Iterable[Device], *, deadline_s: float | None = None) -> dict[str, Probe]:
    """Return id -> Probe; every device is asked at the same time, and none can hold up the others.

    Args:
        devices: those that are asked.
        deadline_s: how long each may take to answer, s; None for a little longer than it may take to let us in.
    """
    devices, answers = list(devices), queue.SimpleQueue[tuple[str, Probe]]()
    waiting = {device.id: deadline_s or _connect_s(device) + _ANSWER_S for device in devices}
    found = {name: Probe(False, f"no answer within {limit_s:.0f} s") for name, limit_s in waiting.items()}
    for device in devices:
        # A daemon: one that hangs in a system call must not keep the command from ending.
        threading.Thread(target=lambda one=device: answers.put((one.id, probe(one))), daemon=True).start()
    begun = time.monotonic()
    while waiting:
        try:
            name, answer = answers.get(timeout=max(0.0, begun + max(waiting.values()) - time.monotonic()))
        except queue.Empty:
            break
        found[name] = answer
        del waiting[name]
    return found


def overview(settings: Settings) -> None:
    """Print the table of all devices of the lab."""
    found = lab.read_devices(settings.folder())
    if not found:
        raise LabError(
            "there is no device here", remedy="add a NAME.toml", file=lab.shown(settings.folder() / "devices")
        )
    seen = _last_seen(settings)
    probes = probe_all([device for device in found.values() if isinstance(device, Device)])
    table = empty("device", "kind", "address", "reachable", "state", "runtimes", "tags", "last measured")
    for name, device in found.items():
        if isinstance(device, LabError):
            table.add_row(name, ABSENT, ABSENT, f"[red]no[/]: {escape(str(device))}", ABSENT, ABSENT, ABSENT, ABSENT)
            continue
        answer = probes[name]
        table.add_row(
            name,
            device.kind,
            escape(str(device.address)),
            "[green]yes[/]" if answer.reachable else f"[red]no[/]: {escape(answer.reason)}",
            answer.state(device),
            "\n".join(device.runtimes) or ABSENT,
            ", ".join(device.tags) or ABSENT,
            f"{seen[name]:%Y-%m-%d %H:%M} UTC" if name in seen else ABSENT,
        )
    show(table)


def _last_seen(settings: Settings) -> Mapping[str, datetime]:
    """Return id -> start of its newest run."""
    try:
        return settings.open_store().last_seen()
    except StoreError:
        if settings.store is not None:
            raise
        return {}  # nothing measured yet: the column stays empty


def one_device(settings: Settings, selector: str) -> Device:
    """Return the one device that is chosen; raises LabError for several."""
    folder = settings.folder()
    (device, *more) = lab.select(folder, [selector])
    if more:
        raise LabError(f"{selector!r} chooses several devices", remedy="name one", file=lab.shown(folder / "devices"))
    return device


def examine(settings: Settings, selector: str) -> None:
    """Print what can be measured on one device, and exit with 1 if nothing can; raises DeviceError out of reach."""
    from harness.measure import preflight

    device = one_device(settings, selector)
    with connect(device) as handle:
        findings = preflight.survey(handle)
    _show(device, findings)


def calibrate(settings: Settings, selector: str) -> None:
    """Print what one device's meter makes of a known load, and exit with 1 if it cannot be believed.

    Raises:
        Busy: somebody measures there.
        DeviceError: it is out of reach, or plays no load.
    """
    from harness.measure import calibration

    device = one_device(settings, selector)
    with connect(device, lambda line: click.echo(line, err=True)) as handle, leased(handle, wait=False):
        findings = calibration.findings(handle)
    _show(device, findings)


def _show(device: Device, findings: Sequence[Finding]) -> None:
    """Print findings, and exit with 1 if one of them keeps the device from being measured."""
    table = empty(device.id, "", "found", "what to do")
    for one in findings:
        mark = "[green]yes[/]" if one.ok else "[red]no[/]"
        table.add_row(escape(one.topic), mark, escape(one.says), "" if one.ok else escape(one.remedy))
    show(table)
    if any(one.needed and not one.ok for one in findings):
        sys.exit(1)
