"""Run x Run -> Comparison with a verdict; Run x `[accept]` -> Judgement; a case in two campaigns -> CampaignChange."""

from __future__ import annotations

from harness.compare.campaigns import CampaignChange, across_campaigns
from harness.compare.judgement import judge
from harness.compare.verdicts import compare, verdict

__all__ = ["CampaignChange", "across_campaigns", "compare", "judge", "verdict"]
