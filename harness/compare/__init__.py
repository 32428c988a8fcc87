"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement."""

from __future__ import annotations

from harness.compare.judgement import judge, statistic
from harness.compare.verdicts import compare, verdict

__all__ = ["compare", "judge", "statistic", "verdict"]
