"""lease = "labgrid"                          # of itself where `address` is a labgrid:// one

The place is acquired at labgrid's coordinator while the device is measured, and released at any end. labgrid knows no
leases that end by themselves, so the note on the device (`harness.leases.file`) stays in force beside it: who takes
that over from a campaign that is gone releases the place that was acquired for the same lease, and no other. What a
person has acquired is never released.
"""

from __future__ import annotations

from harness import coordinator
from harness.errors import DeviceError
from harness.leases import file
from harness.ports.leases import Hold, Owner
from harness.ports.runners import Handle


def take(handle: Handle, owner: Owner) -> Hold:
    """Become the one measurer of the device, by its own note and by labgrid, or stay it.

    Raises:
        Busy: somebody else is; the message says who and since when.
        Refused: the device has no folder to note it in, or the place is gone.
        Unreachable: the coordinator does not answer.
    """
    with coordinator.session(handle.device, id=owner.id) as lab:
        # First, so that nothing is written on a device that a person works with.
        lab.unless_held()
        hold, had = file.take(handle, owner), coordinator.is_of(lab.acquired, owner.id)
    if had:
        return hold
    try:
        # Asked anew: until the note was ours, the campaign before may have been letting go.
        with coordinator.session(handle.device, id=owner.id) as lab:
            lab.acquire(coordinator.name_of(owner.id), gone=hold.before.id if hold.before else "")
    except DeviceError:
        file.free(handle, owner)
        raise
    return hold


def free(handle: Handle, owner: Owner) -> None:
    """Let the next one measure, if it is `owner` who does now."""
    try:
        with coordinator.session(handle.device, id=owner.id) as lab:
            if coordinator.is_of(lab.acquired, owner.id):
                lab.release(lab.acquired)
    finally:
        file.free(handle, owner)


def holder(handle: Handle) -> Owner | None:
    """Return who measures on the device now or has acquired its place, None if nobody does."""
    with coordinator.session(handle.device) as lab:
        if lab.acquired and not lab.ours:
            return Owner(f"{lab.acquired} (labgrid, since {lab.since})")
    return file.holder(handle)
