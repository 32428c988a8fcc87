"""A campaign -> one signed file that anybody can check without the lab, the store or the network; and the check."""

from __future__ import annotations

from harness.evidence.bundle import Bundle, made, opened
from harness.evidence.signing import Signature, sign, signed_by
from harness.evidence.verifying import Findings, verified

__all__ = ["Bundle", "Findings", "Signature", "made", "opened", "sign", "signed_by", "verified"]
