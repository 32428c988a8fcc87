"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement; a case in two campaigns -> CampaignChange."""

from __future__ import annotations

from harness.compare.campaigns import CampaignChange, Change, across_campaigns
from harness.compare.control import Control, control_of
from harness.compare.decision import non_inferiority, verdict
from harness.compare.judgement import judge
from harness.compare.robustness import with_changes
from harness.compare.verdicts import compare

__all__ = [
    "CampaignChange",
    "Change",
    "Control",
    "across_campaigns",
    "compare",
    "control_of",
    "judge",
    "non_inferiority",
    "verdict",
    "with_changes",
]
