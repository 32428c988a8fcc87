"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement; night x night -> why, and by how much."""

from __future__ import annotations

from harness.compare.judgement import judge
from harness.compare.nights import Nights, nights
from harness.compare.verdicts import compare, verdict

__all__ = ["Nights", "compare", "judge", "nights", "verdict"]
