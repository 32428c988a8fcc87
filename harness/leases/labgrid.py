"""lease = "labgrid"                          # of itself where `address` is a labgrid:// one

The place is acquired at labgrid's coordinator while the device is measured, and released at any end. labgrid knows no
leases that end by themselves, so the note on the device (`harness.leases.file`) stays in force beside it: who could
take that, and finds the place still acquired by a campaign, knows that campaign to be gone and releases its place. What
a person has acquired is never released.
"""

from __future__ import annotations

from harness.errors import DeviceError
from harness.leases import file
from harness.ports.leases import Hold, Owner
from harness.ports.runners import Handle
from harness.transports.labgrid import _coordinator


def take(handle: Handle, owner: Owner) -> Hold:
    """Become the one measurer of the device, by its own note and by labgrid, or stay it.

    Raises:
        Busy: somebody else is; the message says who and since when.
        Refused: the device has no folder to note it in, or the place is gone.
        Unreachable: the coordinator does not answer.
    """
    with _coordinator.session(handle.device, id=owner.id) as lab:
        # First, so that nothing is written on a device that a person works with.
        lab.unless_held()
        hold = file.take(handle, owner)
    try:
        # Asked anew: until the note was ours, the campaign before may have been letting go.
        with _coordinator.session(handle.device, id=owner.id) as lab:
            lab.acquire(_coordinator.name_of(owner.id))
    except DeviceError:
        file.free(handle, owner)
        raise
    return hold


def free(handle: Handle, owner: Owner) -> None:
    """Let the next one measure, if it is `owner` who does now."""
    try:
        with _coordinator.session(handle.device, id=owner.id) as lab:
            if _coordinator.is_of(lab.acquired, owner.id):
                lab.release(lab.acquired)
    finally:
        file.free(handle, owner)


def holder(handle: Handle) -> Owner | None:
    """Return who measures on the device now or has acquired its place, None if nobody does."""
    with _coordinator.session(handle.device) as lab:
        if lab.acquired and not lab.ours:
            return Owner(f"{lab.acquired} (labgrid, since {lab.since})")
    return file.holder(handle)
