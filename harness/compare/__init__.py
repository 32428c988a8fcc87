"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement; a case in two campaigns -> CampaignChange."""

from __future__ import annotations

from harness.compare.campaigns import CampaignChange, Change, across_campaigns
from harness.compare.control import Control, control_of
from harness.compare.decision import decided, non_inferiority, verdict
from harness.compare.history import CaseHistory, Move, Point, Results, histories
from harness.compare.judgement import judge
from harness.compare.robustness import with_changes
from harness.compare.since import Since, since
from harness.compare.verdicts import compare, margin
from harness.compare.watching import Finding, watch

__all__ = [
    "CampaignChange",
    "CaseHistory",
    "Change",
    "Control",
    "Finding",
    "Move",
    "Point",
    "Results",
    "Since",
    "across_campaigns",
    "compare",
    "control_of",
    "decided",
    "histories",
    "judge",
    "margin",
    "non_inferiority",
    "since",
    "verdict",
    "watch",
    "with_changes",
]
