"""Keeps one virtual device running by itself: python -m devices.virtual.keeper NAME LAB STATE.

It starts the device, writes devices/virtual/NAME.toml into the lab and STATE, and undoes both when it is asked to end.
SIGUSR1 is the thumb of the user of a phone that asks: it allows the computer that asks now or in the next seconds.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from devices.virtual import armhf, far, fleet, phone, unit, vm

#: A device in a folder of its own: gives the text of its device file while it runs.
Starter = Callable[[Path], contextlib.AbstractContextManager[str]]
_RUNTIMES: Final = ("onnxruntime==1.31.1",)
#: How long an emulated board may take to boot beside everything else that is started; s.
_BOOT_S: Final = 600.0
#: How long a phone's user waits for the dialog; s.
_WELCOME_S: Final = 30.0


@contextlib.contextmanager
def _host(folder: Path) -> Iterator[str]:
    with fleet.fleet(folder, [folder.name]) as (host,):
        yield host.server.device_toml(runtimes=_RUNTIMES)


@contextlib.contextmanager
def _far(folder: Path) -> Iterator[str]:
    with fleet.fleet(folder, ["far"]) as (host,), far.far(host.machine, round_trip_s=0.05, bytes_per_s=2e6) as wire:
        yield host.at(wire.address).device_toml(runtimes=_RUNTIMES)


@contextlib.contextmanager
def _unit(folder: Path) -> Iterator[str]:
    with unit.unit(folder) as running:
        yield running.device_toml(runtimes=_RUNTIMES)


@contextlib.contextmanager
def _vm(folder: Path) -> Iterator[str]:
    # Its emulated processor takes ten seconds to start Python with numpy, and a case starts a process twenty times.
    with vm.vm(folder, boot_s=_BOOT_S) as running:
        yield running.device_toml(runtimes=(*_RUNTIMES, "ai-edge-litert==2.3.0"), meter=True, runner="native")


@contextlib.contextmanager
def _armhf(folder: Path) -> Iterator[str]:
    with armhf.armhf(folder) as running:
        yield running.server.device_toml(runtimes=("tflite-runtime==2.14.0",), workdir=armhf.WORKDIR)


@contextlib.contextmanager
def _phone(folder: Path) -> Iterator[str]:
    with phone.phone(folder) as running:
        yield running.device_toml(runtimes=_RUNTIMES)


@contextlib.contextmanager
def _asking(folder: Path) -> Iterator[str]:
    with phone.phone(folder, asks=True) as running:
        assert running.gate is not None
        signal.signal(signal.SIGUSR1, lambda *_, gate=running.gate: gate.welcome(_WELCOME_S))
        yield running.device_toml(runtimes=_RUNTIMES)


#: What `edgeward lab up` starts by name; the first ones need the least.
DEVICES: Final[Mapping[str, Starter]] = {
    "h1": _host,
    "h2": _host,
    "unit": _unit,
    "far": _far,
    "phone": _phone,
    "asking": _asking,
    "vm": _vm,
    "armhf": _armhf,
}
#: Those that ask their user before they let a computer in: `edgeward lab allow` is the user's OK.
ASKING: Final = frozenset({"asking"})
#: What each of them needs of this machine.
NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "h1": fleet.NEEDS,
    "h2": fleet.NEEDS,
    "unit": unit.NEEDS,
    "far": (*fleet.NEEDS, *far.NEEDS),
    "phone": phone.NEEDS,
    "asking": phone.NEEDS,
    "vm": vm.NEEDS,
    "armhf": armhf.NEEDS,
}


def keep(name: str, lab: Path, state: Path) -> None:
    """Run a device until this process is asked to end."""
    file = lab / "devices" / "virtual" / f"{name}.toml"
    with tempfile.TemporaryDirectory(prefix="edgeward-") as work, DEVICES[name](Path(work) / name) as toml:
        try:
            file.write_text(tagged(toml))
            part = state.with_suffix(".part")
            part.write_text(json.dumps({"name": name, "folder": work, "since": time.time()}))
            part.replace(state)
            while True:
                signal.pause()
        finally:
            file.unlink(missing_ok=True)
            state.unlink(missing_ok=True)


def tagged(toml: str) -> str:
    """Return a device file with the tag `virtual`, whatever tags it had."""
    bare = re.sub(r"^tags = .*\n", "", toml, flags=re.MULTILINE)
    return re.sub(r"^(address = .*\n)", r'\1tags = ["virtual"]\n', bare, count=1, flags=re.MULTILINE)


def _end(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise SystemExit(0)


if __name__ == "__main__":
    for _signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(_signal, _end)
    keep(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
