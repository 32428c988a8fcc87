"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement; a case in two campaigns -> CampaignChange."""

from __future__ import annotations

from harness.compare.campaigns import CampaignChange, Change, across_campaigns
from harness.compare.control import Control, control_of
from harness.compare.decision import decided, non_inferiority, verdict
from harness.compare.judgement import judge
from harness.compare.robustness import with_changes
from harness.compare.verdicts import compare, margin

__all__ = [
    "CampaignChange",
    "Change",
    "Control",
    "across_campaigns",
    "compare",
    "control_of",
    "decided",
    "judge",
    "margin",
    "non_inferiority",
    "verdict",
    "with_changes",
]
