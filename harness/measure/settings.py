"""What a campaign is given, and what it gives for a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness import deploy
from harness.errors import HarnessError
from harness.measure.jobs import Race
from harness.model import Case, Comparison, Outcome, Run


@dataclass(frozen=True, slots=True)
class Result:
    """What a case gave: a run with its comparisons, or an error; `outcome` is what was stored.

    Attributes:
        case: which.
        outcome: how it ended.
        run: what was measured.
        comparisons: of that with the baseline.
        error: why there is no run.
        duration_s: the case's own part of the time that its device was measured on (`harness.measure.clock`), s.
        before: how it ended when it was measured before in this campaign, such as "failed"; mostly nothing.
    """

    case: Case
    outcome: Outcome
    run: Run | None = None
    comparisons: tuple[Comparison, ...] = ()
    error: HarnessError | None = None
    duration_s: float = 0.0
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """How a campaign is run.

    Attributes:
        command: the command line that repeats it.
        say: `say(device, text)` is called from several threads.
        quick: whether durations are cut to a tenth.
        resume: whether to do only what an unfinished campaign left (`harness.measure.resuming`).
        purpose: what a program measures for, by which it finds its campaign again; "" for one that a person asked for.
        note: takes a line that a person should read, also from several threads.
        devices_at_once: 0 for all; one that is waited for does not count.
        wait_s: how long a device on which somebody else measures is waited for, over the whole campaign, s; None for
            its `limits.cooldown_s`.
        patience_s: how long a lost connection is tried again, s.
        races: (device, runtime) -> how its cases race; those of others are measured in full.
        timeout_s: id of a case -> longest `Result.duration_s`, s; others take what they need.
    """

    command: str
    say: Callable[[str, str], None]
    quick: bool = False
    resume: bool = False
    purpose: str = ""
    note: Callable[[str], None] = lambda _: None
    devices_at_once: int = 0
    wait_s: float | None = None
    patience_s: float = deploy.handle.PATIENCE_S
    races: Mapping[tuple[str, str], Race] = field(default_factory=dict)
    timeout_s: Mapping[str, float] = field(default_factory=dict)
