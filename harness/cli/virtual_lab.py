"""`edgeward lab up|down|status|allow`: real servers that stand in for hardware, from the lab's own devices/virtual/.

Those devices are the checkout's, not the wheel's: a lab without devices/virtual/keeper.py has none.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import click

from harness.cli.settings import Settings, with_settings
from harness.errors import HarnessError, LabError, Refused

if TYPE_CHECKING:
    from harness.model import Device

#: How long a device may take to be built and started for the first time; s.
_START_S: Final = 900.0
_STOP_S: Final = 30.0
#: How long a phone may take to let this computer in after its user agreed; s.
_CONSENT_S: Final = 10.0


@click.group("lab")
def lab_group() -> None:
    """Start and stop virtual devices: hosts, a closed unit, phones, aarch64 and armhf boards, a far clinic."""


@lab_group.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@with_settings
@click.pass_obj
def up(settings: Settings, names: tuple[str, ...]) -> None:
    """Start virtual devices NAME… (all of them, if none is named) and write their device files.

    `pytest suites --device tag:virtual` then measures on them.
    """
    place = _place(settings.folder())
    keeper = place.keeper()
    wanted = _wanted(names, keeper)
    started = {name: _start(place, keeper, name) for name in wanted if place.kept(name) is None}
    for name in wanted:
        if name in started:
            _await(place, name, started[name])
        asks = f"; it asks for your consent: edgeward lab allow {name}" if name in keeper.ASKING else ""
        click.echo(f"{name}: {'up' if name in started else 'was up'}, devices/virtual/{name}.toml{asks}")


@lab_group.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@with_settings
@click.pass_obj
def down(settings: Settings, names: tuple[str, ...]) -> None:
    """Stop virtual devices NAME… (all that `up` started, if none is named)."""
    place = _place(settings.folder())
    kept = {name: place.kept(name) for name in _wanted(names, place.keeper())}
    for process in kept.values():  # all are asked to end before any is waited for
        if process is not None:
            process.terminate()
    for name, process in kept.items():
        if process is not None:
            process.wait(_STOP_S)
            click.echo(f"{name}: down")
        elif names:
            click.echo(f"{name}: was not up")


@lab_group.command()
@click.argument("name")
@with_settings
@click.pass_obj
def allow(settings: Settings, name: str) -> None:
    """Press OK on the virtual phone NAME, which asks its user whether to let this computer in."""
    from harness import lab

    place = _place(settings.folder())
    keeper = place.keeper()
    _wanted((name,), keeper)
    if name not in keeper.ASKING:
        raise HarnessError(f"{name} asks nobody", remedy=f"only {', '.join(sorted(keeper.ASKING))} waits for consent")
    process = place.kept(name)
    if process is None:
        raise HarnessError(f"{name} is not up", remedy=f"run `edgeward lab up {name}`")
    process.send_signal(signal.SIGUSR1)
    (device,) = lab.select(place.lab, [name])
    _let_in(device)
    click.echo(f"{name}: lets this computer in")


@lab_group.command()
@with_settings
@click.pass_obj
def status(settings: Settings) -> None:
    """Show which virtual devices run, and what the others need."""
    from rich.markup import escape

    from harness.cli.tables import empty, show

    place = _place(settings.folder())
    keeper, requirements = place.keeper(), importlib.import_module("devices.virtual.requirements")
    table = empty("device", "up", "since", "what it lacks here")
    for name in keeper.DEVICES:
        process = place.kept(name)
        since = f"{datetime.fromtimestamp(process.create_time(), UTC):%Y-%m-%d %H:%M} UTC" if process else ""
        lacks = requirements.lacking(*keeper.NEEDS[name])
        table.add_row(name, "[green]yes[/]" if process else "no", since, escape(lacks))
    show(table)


@dataclass(frozen=True, slots=True)
class _Place:
    """The lab's virtual devices, and where it is written which of them run."""

    lab: Path

    @property
    def state(self) -> Path:
        return self.lab / "devices" / "virtual" / ".state"

    def keeper(self) -> ModuleType:
        """Return the lab's own module that knows its devices; raises LabError if it has none."""
        file = self.lab / "devices" / "virtual" / "keeper.py"
        if not file.is_file():
            raise LabError(
                "this lab has no virtual devices",
                remedy="they are in edgeward's own checkout: name it with --lab",
                file=str(self.lab / "devices" / "virtual"),
            )
        sys.path.insert(0, str(self.lab))
        return importlib.import_module("devices.virtual.keeper")

    def kept(self, name: str) -> Any:
        """Return the process (psutil) that keeps a device, None if it is not up."""
        import psutil

        file = self.state / f"{name}.pid"
        if not file.is_file():
            return None
        wanted = json.loads(file.read_text())
        try:
            process = psutil.Process(wanted["pid"])
            # A number is given to another process one day; its birthday is not.
            return process if abs(process.create_time() - wanted["born"]) < 1 else None
        except psutil.NoSuchProcess:
            return None


def _let_in(device: Device) -> None:
    """Connect to a phone whose user has just said yes: adb takes a moment to notice."""
    from harness.cli.fleet import connect

    ends_at = time.monotonic() + _CONSENT_S
    while True:
        try:
            connect(device).close()
            return
        except Refused:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.1)


def _place(folder: Path) -> _Place:
    return _Place(folder)


def _wanted(names: tuple[str, ...], keeper: ModuleType) -> list[str]:
    from harness.registry import suggestion

    for name in names:
        if name not in keeper.DEVICES:
            raise HarnessError(f"no virtual device {name!r}", remedy=suggestion(name, keeper.DEVICES))
    return list(names or keeper.DEVICES)


def _start(place: _Place, keeper: ModuleType, name: str) -> subprocess.Popen[bytes]:
    import psutil

    missing = importlib.import_module("devices.virtual.requirements").lacking(*keeper.NEEDS[name])
    if missing:
        raise HarnessError(f"{name} needs {missing}")
    place.state.mkdir(parents=True, exist_ok=True)
    ready = place.state / f"{name}.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "devices.virtual.keeper", name, str(place.lab), str(ready)]
    with (place.state / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=place.lab, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    identity = {"pid": process.pid, "born": psutil.Process(process.pid).create_time()}
    (place.state / f"{name}.pid").write_text(json.dumps(identity))
    return process


def _await(place: _Place, name: str, process: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _START_S
    while not (place.state / f"{name}.json").exists():
        if process.poll() is not None or time.monotonic() > ends_at:
            process.kill()
            log = place.state / f"{name}.log"
            said = log.read_text(errors="replace").strip().splitlines()
            raise HarnessError(
                f"{name} did not start ({(said[-1] if said else 'it said nothing')})", remedy=f"look into {log}"
            )
        time.sleep(0.05)
