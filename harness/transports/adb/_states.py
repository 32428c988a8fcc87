"""What the adb server says of a device that cannot be used, each with its own remedy."""

from __future__ import annotations

from typing import Final

from harness.errors import DeviceError, Refused, TimedOut, Unreachable

READY: Final = "device"
OFFLINE: Final = "offline"
#: States that pass by themselves.
PASSING: Final = ("", OFFLINE, "connecting", "authorizing", "host", "detached")
_STABLE: Final = {
    "unauthorized": (
        "has not authorised this computer; unlock it and allow USB debugging in the dialog it shows "
        "(none comes? `adb kill-server`, plug it in again, or revoke the authorisations in its developer options)"
    ),
    "no permissions": (
        "may not be opened by this user; install the Debian package `android-sdk-platform-tools-common`, "
        "join the group plugdev, and plug it in again"
    ),
    "recovery": "runs its recovery system; restart it (`adb reboot`)",
    "sideload": "waits for an update (sideload); restart it (`adb reboot`)",
    "rescue": "runs its rescue system; restart it (`adb reboot`)",
    "bootloader": "is in its boot loader; restart it (`fastboot reboot`)",
}


def trouble(device: str, serial: str, state: str) -> DeviceError:
    """Return the error for a device in a state other than `device`.

    Args:
        device: its id.
        serial: what the adb server calls it.
        state: what the adb server says of it.
    """
    for name, remedy in _STABLE.items():
        if state.startswith(name):
            return Refused(f"{serial} {remedy}", device=device)
    if state == OFFLINE:
        return Unreachable(
            f"{serial} is offline: adb sees it and gets no answer",
            remedy="wake it, plug it in again, or switch USB debugging off and on there",
            device=device,
        )
    return TimedOut(
        f"{serial} did not become ready in time (adb says {state!r})",
        remedy="look at its screen, then run again",
        device=device,
    )


def missing(device: str, serial: str, states: dict[str, str]) -> Unreachable:
    """Return the error for a device that the adb server does not see, with those it sees."""
    seen = ", ".join(f"{name} ({state})" for name, state in sorted(states.items())) or "none"
    return Unreachable(
        f"adb sees no {serial}",
        remedy=f"it sees {seen}. Correct `address`, or switch on USB debugging there and check the cable",
        device=device,
    )
