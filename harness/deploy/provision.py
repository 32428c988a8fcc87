"""Makes a device ready for a case: workdir, runner, runtime, models and data, each brought once and verified."""

from __future__ import annotations

import json
import posixpath
from importlib import import_module
from types import ModuleType
from typing import Any

from harness import registry
from harness.deploy.placing import Workspace, checked
from harness.errors import Unsupported
from harness.model import Device
from harness.ports import Connection


def runner(device: Device) -> ModuleType:
    """Return the module that runs jobs on a device."""
    return registry.load("runners", device.runner, file=str(device.file), key="runner")


def refusal(device: Device, scenario: str) -> Unsupported | None:
    """Return why a device's runner cannot measure a scenario of `[load]`, None if it can.

    A runner that does not say what it measures knows but the usual one.
    """
    able: tuple[str, ...] = getattr(runner(device), "SCENARIOS", ("single_stream",))
    if scenario in able:
        return None
    remedy = 'set runner = "python" if the device has Python' if device.runner != "python" else "correct [load]"
    said = f"the {device.runner} runner measures {', '.join(able)} and not the scenario {scenario}"
    return Unsupported(said, remedy=f'{remedy}, or scenario = "{able[0]}"', device=device.id)


def workspace(connection: Connection, device: Device) -> Workspace:
    """Bring the runner to the workdir, whose folders are made by what is put there.

    Raises:
        DeviceError: the workdir cannot be written, or the device lacks what the runner needs.
    """
    root = workdir(connection, device)
    place: Workspace = runner(device).install(connection, device, root)
    return place


def runtime(connection: Connection, device: Device, place: Workspace, requirement: str) -> str:
    """Return the folder of a runtime on the device, bringing it there if it is missing or damaged."""
    folder: str = runner(device).runtime(connection, device, place, requirement)
    return folder


def survey(connection: Connection, device: Device, place: Workspace) -> dict[str, Any]:
    """Return the device's fingerprint, conditions and abilities as the agent reads them."""
    done = connection.run([*place.command, "survey", place.root])
    report: dict[str, Any] = json.loads(checked(done, device, "the agent does not run on the device").text)
    return report


def workdir(connection: Connection, device: Device) -> str:
    """Return the harness's folder on the device, absolute: its file's `workdir`, else the transport's own."""
    scheme = device.address.scheme
    wanted: str = device.workdir or import_module(f"harness.transports.{scheme}").workdir(device)
    if not wanted.startswith("~/"):
        return posixpath.normpath(wanted)
    home = checked(connection.run(["sh", "-c", "cd && pwd"]), device, "the user has no home; set workdir").text
    return posixpath.join(home, wanted[2:])
