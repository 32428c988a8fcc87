"""The time of the cases of one group, and its bound."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from harness.agent import contract
from harness.measure.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give a clock that the test sets."""
    found = SimpleNamespace(at=100.0)
    monkeypatch.setattr("harness.measure.clock.time", SimpleNamespace(monotonic=lambda: found.at))
    return found


def of_model(model: int) -> contract.Event:
    """Return the event that ends a pass of one model."""
    return contract.Cold(event="cold", t_ns=0, model=model, turn=0, of=1, page_cache="warm")


def turns() -> contract.Event:
    """Return the event that ends a launch, in which all took turns."""
    return contract.Launch(event="launch", t_ns=0, launch=0, rounds=[], conditions=contract.Readings(), paused_s=0.0)


def test_the_times_of_cases_add_up_to_that_of_their_device(now: SimpleNamespace) -> None:
    clock = Clock(["base", "int8"], ["base", "int8"], {})
    now.at += 1000  # waiting for the device
    with clock.bounded(lambda: None):
        now.at += 5
        clock.hear(of_model(1))
        now.at += 7
        clock.hear(of_model(0))
        now.at += 4
        clock.hear(turns())
        now.at += 2
        assert clock.spent_s("base") == 7 + 2 + 1
    now.at += 1000
    assert clock.spent_s("base") == 7 + 2 + 1
    assert clock.spent_s("int8") == 5 + 2 + 1


def test_the_time_of_a_partner_that_nobody_asked_for_is_that_of_the_case_that_needs_it(now: SimpleNamespace) -> None:
    clock = Clock(["base", "int8"], ["int8"], {})
    with clock.bounded(lambda: None):
        now.at += 3
        clock.hear(of_model(0))
        now.at += 4
        clock.hear(of_model(1))
    assert clock.spent_s("int8") == 7


def test_a_case_that_takes_longer_than_it_may_is_stopped() -> None:
    clock, stopped = Clock(["base", "int8"], ["int8"], {"int8": 0.05}), threading.Event()
    with clock.bounded(stopped.set):
        assert stopped.wait(30)
    assert clock.expired


def test_cases_that_take_turns_have_their_limits_together(now: SimpleNamespace) -> None:
    clock, stopped = Clock(["base", "int8"], ["base", "int8"], {"int8": 100.0, "base": 100.0}), threading.Event()
    with clock.bounded(stopped.set):
        now.at += 199
        clock.hear(turns())
        assert not stopped.is_set()
        now.at += 2
        clock.hear(turns())
        assert stopped.wait(30)
