"""How often intervals of energy hold the joules that were spent, in EDGEWARD_TRIALS passes of the agent's own code.

They are simulated on time that passes at once. `make figures` prints the shares.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from harness.agent import energy as agent
from harness.results import energy
from tests import power_traces

TRIALS = int(os.environ.get("EDGEWARD_TRIALS", "200"))


@pytest.fixture(scope="module")
def simulated() -> dict[str, list[tuple[power_traces.Played, energy.Energy]]]:
    """Simulate passes; those that the agent refuses, such as of a meter that updates too seldom, give no interval."""
    found: dict[str, list[tuple[power_traces.Played, energy.Energy]]] = {}
    for turn in range(TRIALS):
        kind = ("constant", "stepped", "spiky")[turn % 3]
        chance = np.random.default_rng([20261122, turn])
        while True:
            try:
                one = power_traces.played(chance, kind)
            except agent.Refused:
                continue
            break
        found.setdefault(kind, []).append((one, energy.per_inference(one.event)))
    return found


def test_intervals_that_claim_95_percent_cover_at_least_93(
    simulated: dict[str, list[tuple[power_traces.Played, energy.Energy]]], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {}
    everything = [one for several in simulated.values() for one in several]
    for kind, passes in {**simulated, "all": everything}.items():
        truths = np.array([[one.spent, one.expected, one.expected_net] for one, _ in passes])
        ends = np.array([[[e.low, e.high] for e in (found.gross, found.gross, found.net)] for _, found in passes])
        inside = (ends[..., 0] <= truths) & (truths <= ends[..., 1])
        widths = (ends[..., 1] - ends[..., 0]) / 2 / truths
        rows[kind] = inside.mean(0)
        with capsys.disabled():
            print(
                f"\n{kind}, {len(passes)} passes: covers the joules spent {rows[kind][0]:.1%}, expected "
                f"{rows[kind][1]:.1%}, expected net {rows[kind][2]:.1%}; half-width gross {widths[:, 0].mean():.1%}, "
                f"net {widths[:, 2].mean():.1%}",
                end="",
            )
    with capsys.disabled():
        print()
    assert len(everything) == TRIALS
    assert (rows["all"] >= 0.93).all()
