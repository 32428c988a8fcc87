"""Makes a device ready for a case: runner and runtime, each brought once and verified."""

from __future__ import annotations

from typing import Any, Final

from harness import registry
from harness.deploy import android
from harness.deploy.answers import answer
from harness.deploy.cores import bind
from harness.deploy.handle import DeviceHandle, checked, persistent
from harness.errors import Refused, Unsupported
from harness.model import Device
from harness.ports.runners import NOTHING, Runner, Wanted

#: sh -c OWN sh FOLDER: makes it, or looks whose it is, and whose the link is where it is one. A tool that does not say
#: it in numbers is no reason to refuse the device.
_OWN: Final = r"""
umask 077
mkdir -p "$1" || exit 1
folder=$1 me=$(id -u)
for path in "$folder" "$folder/"; do
  set -- $(ls -ldn "$path" 2>/dev/null)
  case ${3:-none}$me in *[!0-9]*) continue;; esac
  [ "$3" = "$me" ] || exit 73
done
chmod 700 "$folder"
"""
_ANOTHERS: Final = 73


def runner(device: Device) -> Runner:
    """Return the module that runs jobs on a device."""
    module: Runner = registry.load("runners", device.runner, file=str(device.file), key="runner")
    return module


def refusal(device: Device, scenario: str) -> Unsupported | None:
    """Return why a device's runner cannot measure a scenario of `[load]`, None if it can."""
    able = runner(device).SCENARIOS
    if scenario in able:
        return None
    remedy = 'set runner = "python" if the device has Python' if device.runner != "python" else "correct [load]"
    text = f"the {device.runner} runner measures {', '.join(able)} and not the scenario {scenario}"
    return Unsupported(text, remedy=f'{remedy}, or scenario = "{able[0]}"', device=device.id)


@persistent
def prepare(handle: DeviceHandle, wanted: Wanted = NOTHING) -> None:
    """Bring the runner to the workdir, whose folders are made by what is put there; gives the handle its workspace.

    Args:
        handle: of the device.
        wanted: what the device shall be given after that; without room for all of it nothing is brought.

    Raises:
        DeviceError: the workdir cannot be written, or the device lacks what the runner needs.
        OutOfSpace: there is no room for all that is wanted.
        Unsupported: it cannot bind a job to the cores that its file names.
    """
    if not handle.device.workdir:
        _own_root(handle)
    handle.wanted = wanted
    handle.workspace = bind(handle, runner(handle.device).install(handle))


def _own_root(handle: DeviceHandle) -> None:
    """Make the workdir that we chose this account's alone: what lies there is run.

    Raises:
        Refused: it, or the link by which it is reached, belongs to another account.
        DeviceError: it cannot be made.
    """
    done = handle.run(["sh", "-c", _OWN, "sh", handle.root])
    if done.code == _ANOTHERS:
        text = f"{handle.root} belongs to another account there, which could change what is run"
        raise Refused(text, remedy="remove it there, or set workdir", device=handle.device.id)
    checked(done, handle.device, f"{handle.root} cannot be made for this account alone")


@persistent
def runtime(handle: DeviceHandle, requirement: str) -> str:
    """Return the folder of a runtime on the device, bringing it there if it is missing or damaged."""
    return runner(handle.device).runtime(handle, requirement)


@persistent
def survey(handle: DeviceHandle) -> dict[str, Any]:
    """Return the device's fingerprint, conditions and abilities as the device side reads them, and Android beside."""
    zone = handle.device.limits.thermal_zone
    done = handle.run([*handle.workspace.command, "survey", handle.root, *([zone] if zone else [])])
    parts = ("fingerprint", "conditions", "clock", "can")
    report = answer(done, handle.device, "the agent does not run on the device", keys=parts)
    report["conditions"] = {**android.conditions(handle), **report["conditions"]}
    return report
