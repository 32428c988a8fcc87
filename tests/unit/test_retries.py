"""Only what may pass by itself is tried again: every kind of error, on the handle that all steps go through."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.deploy import DeviceHandle
from harness.deploy.handle import TRIES
from harness.errors import (
    Busy,
    DeviceError,
    HarnessError,
    HostKeyMismatch,
    MeasurementError,
    MissingTool,
    OutOfSpace,
    Refused,
    Stable,
    TimedOut,
    TooMuch,
    Transient,
    Unreachable,
    Unsupported,
)
from harness.measure.question import device_digest
from harness.model import Address, Device, Recover

HERE = Device("here", "workstation", Address("local"))
#: What a step is not repeated for: what a person must change, and what somebody else is about.
FOR_GOOD = (DeviceError, Stable, Refused, HostKeyMismatch, MissingTool, Unsupported, OutOfSpace, TooMuch, Busy)
#: What may pass by itself.
PASSING = (Transient, Unreachable, TimedOut)


def tried(error: HarnessError) -> tuple[int, list[str]]:
    """Return how often a step that always ends in an error is begun, and what the handle counts as repeated."""
    begun = list[None]()

    def step() -> None:
        begun.append(None)
        raise error

    with DeviceHandle(HERE, patience_s=0) as handle:
        with pytest.raises(type(error)):
            handle.retry(step)
        return len(begun), handle.repeated


def test_no_kind_of_error_is_left_out() -> None:
    assert set(Stable.__subclasses__()) <= set(FOR_GOOD)
    # That of a user who ended the campaign is held in tests/faults/test_interrupted.py.
    assert {one.__name__ for one in Transient.__subclasses__()} == {
        "Unreachable",
        "TimedOut",
        "Reset",
        "Stopped",
        "Busy",
    }


@pytest.mark.parametrize("kind", FOR_GOOD)
def test_what_does_not_pass_by_itself_is_never_tried_again(kind: type[DeviceError]) -> None:
    assert tried(kind("it cannot be", device="here")) == (1, [])


def test_a_number_that_cannot_be_trusted_is_never_tried_again() -> None:
    assert tried(MeasurementError("it cannot be")) == (1, [])


@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_tried_a_few_times_and_each_is_counted(kind: type[DeviceError]) -> None:
    assert tried(kind("the cable is out", device="here")) == (TRIES, ["the cable is out"] * (TRIES - 1))


def test_how_a_device_is_reset_changes_no_question_so_that_resume_measures_nothing_twice() -> None:
    assert device_digest(replace(HERE, recover=Recover("command", {"command": ["true"]}))) == device_digest(HERE)
