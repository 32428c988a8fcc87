"""What may happen to an image before a model sees it: MedMNIST-C's corruptions and severities, and two of ours."""

from __future__ import annotations

from harness.corruptions.effects import KNOWN, corrupted
from harness.corruptions.severities import LEVELS, OWN, REGISTRIES, Step, steps

__all__ = ["KNOWN", "LEVELS", "OWN", "REGISTRIES", "Step", "corrupted", "steps"]
