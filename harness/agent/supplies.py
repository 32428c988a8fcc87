"""The supplies that the kernel lists under /sys/class/power_supply: the machine's own batteries, and what feeds it.

Mice, pens and headsets have batteries there too; the kernel gives theirs `scope` "Device". An empty bay has `present`
0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.agent.sensors import number, word

ROOT = Path("/sys/class/power_supply")


def batteries(root: Path = ROOT) -> list[Path]:
    """Return the folders of the machine's own batteries, in the order of their names."""
    return [one for one in _own(root) if word(one / "type") == "Battery" and word(one / "present") != "0"]


def feeding(root: Path = ROOT) -> list[Path]:
    """Return the folders of the supplies that feed the machine from outside now: mains, USB, a pad."""
    outside = [one for one in _own(root) if word(one / "type") not in ("", "Battery", "UPS")]
    return [one for one in outside if (number(word(one / "online"), 0, 10) or 0) > 0]


def charge(root: Path = ROOT) -> dict[str, Any]:
    """Return battery_ratio, 0 to 1, and charging of all batteries together; what cannot be known is left out.

    Each counts by its capacity; where one does not say its own, the emptiest counts, for a limit is to hold.
    """
    found = batteries(root)
    if not found:
        return {}
    states = {word(one / "status") for one in found}
    known = {one: number(word(one / "capacity"), 0, 100) for one in found}
    ratios = {one: value / 100 for one, value in known.items() if value is not None}
    answer: dict[str, Any] = {"charging": bool(states & {"Charging", "Full"} or feeding(root))}
    if ratios:
        weights = _weights(list(ratios)) or {min(ratios, key=lambda one: ratios[one]): 1.0}
        answer["battery_ratio"] = sum(ratios[one] * weight for one, weight in weights.items()) / sum(weights.values())
    return answer


def _own(root: Path) -> list[Path]:
    return [one for one in sorted(root.glob("*")) if word(one / "scope") != "Device"]


def _weights(found: list[Path]) -> dict[Path, float]:
    """Return the capacity of each battery, all in one unit; empty where one lacks it."""
    for name in ("energy_full", "charge_full"):
        sizes = {one: number(word(one / name), 1, 1e12) for one in found}
        known = {one: size for one, size in sizes.items() if size is not None}
        if len(known) == len(found):
            return known
    return {}
