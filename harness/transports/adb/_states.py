"""What the adb server says of a device that cannot be used, each with its own remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.errors import DeviceError, Refused, TimedOut, Unreachable
from harness.transports.adb._devices import Listed, Wanted

READY: Final = "device"
OFFLINE: Final = "offline"
#: How the states begin that a person must end, and what they mean and ask for; adb puts words of its own behind some.
_STABLE: Final = {
    "unauthorized": (
        "has not authorised this computer",
        "unlock it and allow USB debugging in the dialog it shows (none comes? `adb reconnect offline`, plug it in"
        " again, or revoke the authorisations in its developer options)",
    ),
    "no permissions": (
        "may not be opened by this user",
        "install the Debian package `android-sdk-platform-tools-common`, join the group plugdev, and plug it in again",
    ),
    "recovery": ("runs its recovery system", "restart it (`adb {option} reboot`)"),
    "sideload": ("waits for an update (sideload)", "restart it (`adb {option} reboot`)"),
    "rescue": ("runs its rescue system", "restart it (`adb {option} reboot`)"),
    "bootloader": ("is in its boot loader", "restart it (`fastboot reboot`)"),
    "host": ("is the adb of a computer and no device", "correct `address`"),
}
#: States that pass by themselves, and what they mean where they do not.
_PASSING: Final = {
    "connecting": ("adb is still connecting to it", "plug it in again, and run again"),
    "authorizing": (
        "it is still to say whether it knows this computer",
        "unlock it and look for a dialog on its screen, then run again",
    ),
    "detached": ("adb was made to let go of it", "run `adb {option} attach`"),
    "": ("adb lists it no more", "see that it is switched on, and run again"),
}
PASSING: Final = (*_PASSING, OFFLINE)


def trouble(device: str, wanted: Wanted, state: str) -> DeviceError:
    """Return the error for a device in a state other than `device`.

    Args:
        device: its id.
        wanted: which one of the adb server's it is.
        state: what the adb server says of it.
    """
    for name, (meaning, remedy) in _STABLE.items():
        if state.startswith(name):
            return Refused(f"{wanted} {meaning}", remedy=remedy.format(option=wanted.option), device=device)
    if state == OFFLINE:
        return Unreachable(
            f"{wanted} is offline: adb sees it and gets no answer",
            remedy="wake it, plug it in again, or switch USB debugging off and on there",
            device=device,
        )
    meaning, remedy = _PASSING.get(state, ("that is no state known here", "look at its screen, then run again"))
    return TimedOut(
        f"{wanted} did not become ready in time (adb says {state!r}: {meaning})",
        remedy=remedy.format(option=wanted.option),
        device=device,
    )


def missing(device: str, wanted: Wanted, devices: Sequence[Listed]) -> DeviceError:
    """Return the error for a device that the adb server does not see, with those it sees.

    Args:
        device: its id.
        wanted: what its file says of it.
        devices: what the adb server sees.
    """
    others = [other.place for other in devices if other.serial == wanted.serial]
    if others:
        return Unreachable(
            f"adb sees no {wanted}, but that serial number at {', '.join(others)}",
            remedy="plug it in there or correct [adb] (transport_id is another one each time it is plugged in)",
            device=device,
        )
    seen = ", ".join(sorted(f"{other.serial} ({other.state})" for other in devices)) or "none"
    return Unreachable(
        f"adb sees no {wanted}",
        remedy=f"it sees {seen}. Correct `address`, or switch on USB debugging there and check the cable;"
        " one that restarts takes a moment",
        device=device,
    )


def several(device: str, file: object, devices: Sequence[Listed]) -> Refused:
    """Return the error for several devices of one serial number, with what tells them apart.

    Args:
        device: the id of the one that is meant.
        file: its file.
        devices: all of that serial number.
    """
    port = next((other.usb for other in devices if other.usb), "")
    key = f'usb = "{port}"' if port else f"transport_id = {devices[0].transport_id}"
    return Refused(
        f"adb lists {len(devices)} devices of the serial number {devices[0].serial}:"
        f" {'; '.join(other.place for other in devices)}",
        remedy=(
            f"write under [adb] in {file} which one is meant, as in {key} (the port stays the same, transport_id is"
            " another one each time it is plugged in)"
        ),
        device=device,
    )


def dead(device: str, wanted: Wanted, why: str, *, late: bool) -> DeviceError:
    """Return the error for a device that adb calls `device`, and that runs nothing.

    Args:
        device: its id.
        wanted: which one of the adb server's it is.
        why: what became of the shell that was to start there.
        late: whether it was silent, so that it may only be slow.
    """
    return (TimedOut if late else Unreachable)(
        f"{wanted} is listed but dead: adb calls it `device`, and {why}",
        remedy=(
            "restart it, or plug it in at another port or with another cable"
            + ("; a slow one needs a longer connect_timeout_s under [adb]" if late else "")
        ),
        device=device,
    )
