"""Energy from files that really change while they are read: the numbers known, and every reason to have none."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import record
from harness.agent import energy
from harness.agent.meters import power_supply, powercap

IDLE_W, BUSY_W = 2.0, 5.0
WINDOW_S = 10.3
RANGE_UJ = 20_000_000


class Supply:
    """A folder like one of sysfs, whose files a thread keeps up to date; each write is one, as the kernel's are."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.watts, self.spent_j = folder, IDLE_W, 0.0
        self._files: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def write(self, name: str, value: int | str) -> None:
        """Change a file in place; fixed in width, so that no reader sees it empty."""
        if name not in self._files:
            self._files[name] = os.open(self.folder / name, os.O_RDWR | os.O_CREAT)
        text = f"{value:020d}\n" if isinstance(value, int) else f"{value}\n"
        os.pwrite(self._files[name], text.encode(), 0)

    def update(self) -> None:
        """Write what the meter shows now."""

    def start(self) -> Supply:
        """Begin to move."""
        self.update()
        self._thread.start()
        return self

    def close(self) -> None:
        """Stand still."""
        self._done.set()
        self._thread.join()
        for descriptor in self._files.values():
            os.close(descriptor)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._done.wait(0.01):
            now = time.monotonic()
            self.spent_j += self.watts * (now - last)
            last = now
            self.update()


class Counter(Supply):
    """Microjoules that begin near the end of their range, so that they turn over."""

    def update(self) -> None:
        """Write energy_uj and its range."""
        self.write("max_energy_range_uj", RANGE_UJ)
        self.write("energy_uj", int(RANGE_UJ - 5_000_000 + self.spent_j * 1e6) % RANGE_UJ)


class Battery(Supply):
    """Volts and amperes that sag and swing, the current negative as some drivers have it."""

    status = "Discharging"

    def update(self) -> None:
        """Write voltage, current and status."""
        volts = 3.8 + 0.1 * np.sin(time.monotonic() * 7)
        self.write("voltage_now", int(volts * 1e6))
        self.write("current_now", -int(self.watts / volts * 1e6))
        self.write("status", self.status)


class Still(Counter):
    """A meter that is not connected."""

    def update(self) -> None:
        """Write the same for ever."""
        self.write("max_energy_range_uj", RANGE_UJ)
        self.write("energy_uj", 1234)


class Plugged(Battery):
    """A battery that begins to charge while the model runs."""

    def update(self) -> None:
        """Charge from the busy window on."""
        self.status = "Charging   " if self.watts == BUSY_W else "Discharging"
        super().update()


class Vanishing(Counter):
    """A meter whose driver is unloaded while the model runs."""

    def update(self) -> None:
        """Go away in the busy window."""
        super().update()
        if self.watts == BUSY_W:
            (self.folder / "energy_uj").unlink(missing_ok=True)


class Slow(Counter):
    """A meter that moves three times a second: too coarse for the window."""

    def update(self) -> None:
        """Write only now and then."""
        now = int(time.monotonic() * 3)
        if getattr(self, "last", None) != now:
            self.last = now
            super().update()


@dataclass
class Trial:
    """One measurement under way on one supply."""

    kind: str
    supply: Supply
    started: float = field(default_factory=time.monotonic)
    result: Future[dict[str, Any]] = field(default_factory=Future)


def load(supply: Supply) -> Callable[[float], dict[str, Any]]:
    """Return inferences of 1 ms each that draw more power."""

    def infer(seconds: float) -> dict[str, Any]:
        supply.watts = BUSY_W
        started = time.monotonic_ns()
        time.sleep(seconds)
        supply.watts = IDLE_W
        elapsed = time.monotonic_ns() - started
        return {"count": round(elapsed / 1e6), "ns": elapsed}

    return infer


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Trial]]:
    """Measure with every meter at the same time: three windows of ten seconds are the least that counts."""
    folder = tmp_path_factory.mktemp("sys")
    kinds: dict[str, tuple[str, type[Supply]]] = {
        "counter": ("powercap", Counter), "battery": ("power_supply", Battery), "still": ("powercap", Still),
        "plugged": ("power_supply", Plugged), "vanishing": ("powercap", Vanishing), "slow": ("powercap", Slow),
    }  # fmt: skip
    with ThreadPoolExecutor(len(kinds)) as pool:
        made = {name: Trial(kind, make(folder / name).start()) for name, (kind, make) in kinds.items()}
        for name, trial in made.items():
            meter = {"kind": trial.kind, "path": str(folder / name)}
            trial.result = pool.submit(energy.measure, meter, WINDOW_S, load(trial.supply))
        yield made
    for trial in made.values():
        trial.supply.close()


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(energy.Refused) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["counter", "battery"])
def test_a_known_power_is_found_in_every_window_also_over_a_turn_of_the_counter(
    trials: Mapping[str, Trial], name: str
) -> None:
    windows = trials[name].result.result(60)["windows"]
    for window, watts in (("idle_before", IDLE_W), ("busy", BUSY_W), ("idle_after", IDLE_W)):
        found = windows[window]
        assert found["seconds"] >= WINDOW_S
        assert found["joules"] / found["seconds"] == pytest.approx(watts, rel=0.03), window
        assert len(found["watts"]) == 10
        assert np.mean(found["watts"]) == pytest.approx(watts, rel=0.03)
    assert windows["busy"]["updates"] > 100


@pytest.mark.parametrize("name", ["counter", "battery"])
def test_joules_per_inference_are_the_power_over_the_rate_gross_and_net(trials: Mapping[str, Trial], name: str) -> None:
    answer = trials[name].result.result(60)
    gross, net = record._energy([{"event": "energy", **answer}])
    assert gross.values.mean() == pytest.approx(BUSY_W / 1000, rel=0.04)
    assert net.values.mean() == pytest.approx((BUSY_W - IDLE_W) / 1000, rel=0.06)
    assert (gross.unit, net.unit) == ("J", "J")
    assert "idle subtracted" in net.method


def test_a_meter_that_never_moves_is_refused(trials: Mapping[str, Trial]) -> None:
    says = refusal(lambda: trials["still"].result.result(60))
    assert says == "the meter never changed: it is broken or not connected"


def test_a_battery_that_begins_to_charge_is_refused(trials: Mapping[str, Trial]) -> None:
    says = refusal(lambda: trials["plugged"].result.result(60))
    assert says == "the battery began to charge during the window; unplug it"


def test_a_meter_that_vanishes_in_the_middle_is_refused_not_bridged(trials: Mapping[str, Trial]) -> None:
    says = refusal(lambda: trials["vanishing"].result.result(60))
    assert says.startswith("the meter cannot be read: [Errno 2] No such file")
    assert says.endswith("look at [meter] in the device's file")


def test_a_meter_too_coarse_for_the_window_is_refused(trials: Mapping[str, Trial]) -> None:
    says = refusal(lambda: trials["slow"].result.result(60))
    assert says.startswith("the window was too short: 10.")
    assert says.endswith("meter updates; 10 s and 50 updates are needed")


def test_a_window_too_short_is_refused(tmp_path: Path) -> None:
    supply = Counter(tmp_path / "rapl").start()
    meter = {"kind": "powercap", "path": str(tmp_path / "rapl")}
    says = refusal(lambda: energy.measure(meter, 0.3, load(supply)))
    supply.close()
    assert says.startswith("the window was too short: 0.3 s with ")


@pytest.mark.parametrize("status", ["Charging", "Full"])
def test_a_battery_on_its_charger_is_refused_before_anything_runs(tmp_path: Path, status: str) -> None:
    supply = Battery(tmp_path / "battery")
    supply.status = status
    supply.start()
    started = time.monotonic()
    says = refusal(lambda: energy.measure({"kind": "power_supply", "path": str(supply.folder)}, 10, load(supply)))
    supply.close()
    assert says == "the battery is charging, which hides what the device draws; unplug it"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("kind", ["powercap", "power_supply"])
def test_a_meter_that_is_not_there_is_refused(tmp_path: Path, kind: str) -> None:
    says = refusal(lambda: energy.measure({"kind": kind, "path": str(tmp_path / "none")}, 10, lambda _: {}))
    assert says.startswith("the meter cannot be read: ")
    assert str(tmp_path / "none") in says


def test_a_counter_that_turns_without_saying_where_is_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "energy_uj").write_text("1000")
    meter = powercap.Meter(powercap.Options(path=str(tmp_path)))
    (tmp_path / "energy_uj").write_text("10")
    with pytest.raises(ValueError, match="went backwards and max_energy_range_uj does not say where it turns"):
        meter.read()


def test_power_now_is_taken_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "power_now").write_text("-2500000\n")
    assert power_supply.Meter(power_supply.Options(path=str(tmp_path))).read() == pytest.approx(2.5)


def test_an_absent_energy_keeps_its_reason() -> None:
    for events, reason in (([], "no meter configured"), ([{"event": "energy", "absent": "charging"}], "charging")):
        measured = record._energy(events)
        assert [m.metric for m in measured] == ["energy_j", "energy_net_j"]
        assert all(m.absent_reason == reason and len(m.values) == 0 for m in measured)
