"""One device, held and made ready: the connection, the lease, files, runtimes, and what is cleaned up."""

from __future__ import annotations

from harness.deploy.answers import answer
from harness.deploy.handle import DeviceHandle, answered, checked, persistent
from harness.deploy.lease import Held, Patience, leased
from harness.deploy.workspace import prepare, refusal, runner, runtime, survey

__all__ = [
    "DeviceHandle",
    "Held",
    "Patience",
    "answer",
    "answered",
    "checked",
    "leased",
    "persistent",
    "prepare",
    "refusal",
    "runner",
    "runtime",
    "survey",
]
