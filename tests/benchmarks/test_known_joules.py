"""Joules of courses of power that are known, as real meters show them. `make figures` prints what was found.

Real files, programs and instruments follow a known course in real time, all at once, and the energy pass reads them.
One is an instrument that the host asks while the device, behind 50 ms and with another clock, says when it worked.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.virtual import far, fleet
from devices.virtual.requirements import require
from harness import deploy, lab
from harness.agent import contract
from harness.agent import energy as agent
from harness.deploy import DeviceHandle
from harness.measure import host_meter
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Device, Estimate, FloatArray, Run
from harness.results import energy, events
from harness.store import Store
from tests import small_models as small
from tests.events import event

WINDOW_S = 10.2
TICK_S = 0.01
IDLE_W = 1.5
#: Host minus device, s: a clock cannot be shown earlier than this machine's start, which may be minutes ago.
SHIFT_S = -5000
ROUND_TRIP_S = 0.05


def added(kind: str, at: FloatArray) -> FloatArray:
    """Return the power that the load adds at moments of the host's monotonic clock, W."""
    if kind == "constant":
        return np.full(len(at), 3.0)
    if kind == "stepped":
        return np.choose((at / 0.11).astype(np.int64) % 4, [2.0, 5.0, 3.0, 4.0])
    # A pulse of 25 ms somewhere in every ninth of a second.
    cell = np.floor(at * 9)
    phase = (cell * 7919 % 997) / 997 * 0.75
    return np.where(np.abs(at * 9 - cell - phase - 0.1125) < 0.1125, 8.0, 0.8)


@dataclass
class Load:
    """What flows at a moment: idle power, and the load's while it works."""

    kind: str
    busy: bool = False
    _spent: float = 0.0
    _at: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def joules(self) -> float:
        """Return what was spent up to now."""
        with self._lock:
            now = time.monotonic()
            self._spent += self.between(self._at, now, self.busy)
            self._at = now
            return self._spent

    def between(self, begin: float, end: float, busy: bool) -> float:
        """Return the joules of a stretch."""
        steps = max(2, int((end - begin) * 2000))
        at = begin + (np.arange(steps) + 0.5) * (end - begin) / steps
        watts = IDLE_W + (float(added(self.kind, at).mean()) if busy else 0.0)
        return watts * (end - begin)

    def infer(self, seconds: float) -> dict[str, Any]:
        """Work for a while."""
        self.joules()
        self.busy = True
        time.sleep(seconds)  # the work itself: it draws what the course says, whatever this processor does
        self.joules()
        self.busy = False
        return {"count": 1000}


@contextmanager
def following(load: Load, show: Callable[[float, float], None], tick_s: float = TICK_S) -> Iterator[None]:
    """Show joules so far and mean watts since the last time, every `tick_s`, until the block is left."""
    done = threading.Event()

    def run() -> None:
        spent, at = load.joules(), time.monotonic()
        while not done.wait(tick_s):
            now_spent, now = load.joules(), time.monotonic()
            show(now_spent, (now_spent - spent) / (now - at))
            spent, at = now_spent, now

    thread = threading.Thread(target=run)
    show(load.joules(), IDLE_W)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def in_place(file: Path) -> Callable[[float], None]:
    """Return what writes a number into a file as the kernel does: whole."""
    stream = file.open("wb", buffering=0)
    return lambda number: void(os.pwrite(stream.fileno(), f"{round(number * 1e6):020d}\n".encode(), 0))


def restless(watts: float) -> float:
    """Move the last digits of a power, because a meter that stands still would be refused."""
    return watts + (time.monotonic_ns() % 1000 - 500) * 1e-6


def void(value: object) -> None:
    """Forget a value."""
    del value


class Instrument(socketserver.StreamRequestHandler):
    """A power meter on the network that speaks SCPI, a line a question."""

    def handle(self) -> None:
        """Answer until the other side hangs up."""
        for line in self.rfile:
            if line.strip() == b"MEAS:POW?":
                self.wfile.write(f"{self.server.watts:.5E}\n".encode())  # type: ignore[attr-defined]


@contextmanager
def instrument(load: Load) -> Iterator[str]:
    """Give the VISA name of an instrument that measures a load."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Instrument) as server:
        server.daemon_threads = True
        server.watts = IDLE_W  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with following(load, lambda _, watts: setattr(server, "watts", watts)):
            yield f"TCPIP::127.0.0.1::{server.server_address[1]}::SOCKET"
        server.shutdown()


def measured(meter: dict[str, Any], load: Load) -> contract.EnergyPass:
    """Return the event of one energy pass of the agent."""
    return event(contract.EnergyPass, **agent.measure(meter, WINDOW_S, load.infer))


def by_hwmon(folder: Path, load: Load, tick_s: float = TICK_S) -> contract.EnergyPass:
    folder.mkdir()
    write = in_place(folder / "power1_input")
    with following(load, lambda _, watts: write(restless(watts)), tick_s):
        return measured({"kind": "hwmon", "chip": str(folder)}, load)


def by_powercap(folder: Path, load: Load) -> contract.EnergyPass:
    folder.mkdir()
    write = in_place(folder / "energy_uj")
    with following(load, lambda joules, _: write(joules)):
        return measured({"kind": "powercap", "path": str(folder)}, load)


TELL = "import sys,time\nwhile True: print(int(open(sys.argv[1]).read())*1e-6, flush=True); time.sleep(0.02)"


def by_command(folder: Path, load: Load) -> contract.EnergyPass:
    folder.mkdir()
    write = in_place(folder / "watts")
    with following(load, lambda _, watts: write(restless(watts))):
        argv = [sys.executable, "-S", "-c", TELL, str(folder / "watts")]
        return measured({"kind": "command", "argv": argv}, load)


#: On the device: one energy pass whose meter the host reads. To work is to make a file that is gone afterwards.
PASS = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from harness.agent import contract, energy
busy = Path(sys.argv[3])
def say(kind, **fields):
    event = kind(kind.KIND, time.monotonic_ns(), model=0, **fields)
    print(json.dumps(contract.plain(event)), flush=True)
def infer(seconds):
    busy.touch()
    time.sleep(seconds)
    busy.unlink()
    return {"count": 1000}
say(contract.EnergyStart)
found = energy.measure({"kind": "host", "lead_s": float(sys.argv[4])}, float(sys.argv[2]), infer)
say(contract.EnergyPass, turn=0, of=1, **found)
"""


def watch(file: Path, load: Load, done: threading.Event) -> None:
    """Let the load work while the device says so."""
    while not done.wait(0.001):
        if file.exists() != load.busy:
            load.joules()
            load.busy = not load.busy


#: A command's clock on the device, which then differs by SHIFT_S from this host's.
SHIFTED = ("unshare", "--time", "--monotonic", str(-SHIFT_S), "--fork")


@pytest.fixture(scope="module")
def distant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """Give a device behind a slow link."""
    require(*fleet.NEEDS, *far.NEEDS)
    folder = tmp_path_factory.mktemp("distant")
    with fleet.fleet(folder / "fleet", ["far"]) as (host,), far.far(host.machine, round_trip_s=ROUND_TRIP_S) as wire:
        yield host.at(wire.address).device(workdir=folder / "work")


def by_scpi(folder: Path, load: Load, distant: Device) -> contract.EnergyPass:
    """Measure a device with another clock by an instrument that this host asks."""
    folder.mkdir()
    done = threading.Event()
    with ExitStack() as stack:
        resource = stack.enter_context(instrument(load))
        device = replace(distant, meter={"kind": "scpi", "side": "host", "resource": resource, "power": "MEAS:POW?"})
        handle = stack.enter_context(DeviceHandle(device))
        stack.callback(done.set)
        threading.Thread(target=watch, args=(folder / "busy", load, done), daemon=True).start()
        prepare(handle, SHIFTED)
        recorder = stack.enter_context(host_meter.recording(handle))
        words = [handle.workspace.folder, str(WINDOW_S), str(folder / "busy"), str(host_meter.LEAD_S)]
        command = [*SHIFTED, sys.executable, "-I", "-S", "-c", PASS, *words]
        heard = []
        for line in handle.stream(command, silence_s=90):
            heard.append(events.parse(line, device=device.id))
            recorder.hear(heard[-1])
        recorder.compare()
        found = recorder.joined(heard[-1])
        assert isinstance(found, contract.EnergyPass)
        return found


def prepare(handle: DeviceHandle, before: tuple[str, ...] = ()) -> None:
    """Bring the agent to a device; `before` stands before every command of it."""
    deploy.prepare(handle)
    handle.workspace = replace(handle.workspace, command=(*before, *handle.workspace.command))


def by_suite(folder: Path, workdir: Path) -> Run:
    """Measure a whole suite on this machine, whose meter the host reads, and return the run of its one model."""
    suite = small.write_suite(folder, "tiny", ("good", small.good))
    # Its latency is nobody's question here; the windows of the energy pass are as long as ever.
    suite.write_text(suite.read_text().replace("max_duration_s = 20", "max_duration_s = 2"))
    write = in_place(folder / "watts")
    argv = json.dumps([sys.executable, "-S", "-c", TELL, str(folder / "watts")])
    (folder / "devices").mkdir()
    (folder / "devices" / "here.toml").write_text(
        f'kind = "workstation"\naddress = "local:"\nworkdir = "{workdir}"\nruntimes = ["{small.ONNXRUNTIME}"]\n'
        f'[meter]\nkind = "command"\nside = "host"\nargv = {argv}\n'
    )
    cases = lab.cases(lab.read_suite(folder / "suites" / "tiny.toml"), lab.select(folder, ["all"]))
    settings = Settings(command="pytest", say=lambda *_: None)
    with following(Load("constant"), lambda _, watts: write(restless(watts))):
        campaign = CampaignRunner(cases, Store(f"sqlite:///{folder}/results.sqlite"), settings)
        try:
            run = campaign.future(cases[0]).result(300).run
        finally:
            campaign.stop()
    assert run is not None
    return run


#: How the course is seen -> which course, and how it is read.
WAYS: dict[str, tuple[str, Callable[..., contract.EnergyPass]]] = {
    "hwmon, constant": ("constant", by_hwmon),
    # As an INA226 set to average 128 conversions. A sensor that looks for 10 ms, twenty times a second, misses spikes
    # by chance: it then is off by some percent and has an interval that says so.
    "hwmon that averages, spiky": ("spiky", partial(by_hwmon, tick_s=0.15)),
    "powercap, stepped": ("stepped", by_powercap),
    "powercap, spiky": ("spiky", by_powercap),
    "command, constant": ("constant", by_command),
    "command, stepped": ("stepped", by_command),
    "scpi by the host, stepped": ("stepped", by_scpi),
}


@dataclass(frozen=True)
class Recovered:
    """What was measured: each way's load and event, and the run of a whole suite."""

    ways: dict[str, tuple[Load, contract.EnergyPass]]
    suite: Run


@pytest.fixture(scope="module")
def recovered(distant: Device, device_workdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recovered]:
    """Measure all ways at the same time: three windows of ten seconds are the least that counts."""
    folder = tmp_path_factory.mktemp("energy")
    loads = {name: Load(kind) for name, (kind, _) in WAYS.items()}
    with ThreadPoolExecutor(len(WAYS) + 1) as pool:
        suite = pool.submit(by_suite, folder / "suite", device_workdir)
        asked = {
            name: pool.submit(way, folder / str(number), loads[name], *([distant] if way is by_scpi else []))
            for number, (name, (_, way)) in enumerate(WAYS.items())
        }
        yield Recovered({name: (loads[name], one.result(120)) for name, one in asked.items()}, suite.result(300))


def assert_near(estimate: Estimate, truth: float) -> None:
    """Hold one interval of 95 % against the truth: one in twenty misses it, and hardly any by its own width more.

    How often they do is counted by `test_energy_intervals.py`, not here.
    """
    below, above = estimate.point - estimate.low, estimate.high - estimate.point
    assert estimate.low - below <= truth <= estimate.high + above


@pytest.mark.parametrize("name", WAYS)
def test_the_joules_of_a_known_course_are_recovered_within_two_percent(
    recovered: Recovered, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    load, found = recovered.ways[name]
    assert found.absent is None, found
    assert found.windows is not None
    busy = found.windows["busy"]
    shift_s = SHIFT_S if found.clock_s is not None else 0
    begin, end = busy.begin_ns * 1e-9 + shift_s, busy.end_ns * 1e-9 + shift_s
    truth, added_j = load.between(begin, end, True), load.between(begin, end, True) - IDLE_W * (end - begin)
    gross, net = (one.estimate for one in energy.measurements([found]))
    assert gross is not None
    assert net is not None
    off, net_off = gross.point * 1000 / truth - 1, net.point * 1000 / added_j - 1
    within = (gross.high - gross.low) / 2 / gross.point
    with capsys.disabled():
        clock = f", clock known to {found.clock_s * 1e3:.1f} ms" if found.clock_s is not None else ""
        print(f"\n{name}: {truth:.2f} J played, found {off:+.2%} (net {net_off:+.2%}), interval ±{within:.1%}{clock}")
    assert abs(off) < 0.02
    assert_near(gross, truth / 1000)


def test_a_suite_has_joules_of_a_meter_that_the_host_reads(
    recovered: Recovered, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recovered.suite
    gross, net = (run.measurements[name].estimate for name in ("energy_j", "energy_net_j"))
    assert gross is not None, run.measurements["energy_j"].absent_reason
    assert net is not None
    facts = run.notes["energy"]
    truth = IDLE_W * facts["window_s"] / facts["inferences"]
    with capsys.disabled():
        print(f"\na suite, meter on the host: off by {gross.point / truth - 1:+.2%}, {facts['inferences']} inferences")
    assert_near(gross, truth)
    assert gross.point == pytest.approx(truth, rel=0.02)
    # What the meter shows does not depend on the model here, so that without idle power nothing is left.
    assert_near(net, 0)


@pytest.mark.parametrize("shift_s", [0, SHIFT_S])
def test_the_offset_between_two_clocks_is_found_within_what_is_said(
    distant: Device, shift_s: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with DeviceHandle(distant) as handle:
        prepare(handle, SHIFTED if shift_s else ())
        found = host_meter.compare(handle)
    off_s = found.middle_ns * 1e-9 - shift_s
    with capsys.disabled():
        said = f"off by {off_s * 1e3:+.1f} ms, said to be within {found.uncertainty_s * 1e3:.1f} ms"
        print(f"\nclocks {shift_s} s and {ROUND_TRIP_S * 1e3:.0f} ms of round trip apart: {said}")
    assert found.low_ns <= shift_s * 1e9 <= found.high_ns
    assert abs(off_s) <= found.uncertainty_s
