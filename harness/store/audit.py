"""Who measured, resumed or exported what, where and when: a record that is only ever added to.

A row is written in the transaction of what it speaks of, so neither is there without the other. The database itself
refuses to change or remove one, whatever program asks: triggers of SQLite and of PostgreSQL. They do not hold a person
who may change the tables themselves, or a SQLite file's bytes; what must be believed elsewhere is signed by `edgeward
evidence`.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from harness.model import Device, Outcome, Run
from harness.redaction import redacted
from harness.store.tables import AuditRow

#: What may have been done. `tried` is a case that ended in an error before there was a run; `wiped` speaks of a job
#: with images of a confidential suite, after a look that found nothing of it left.
KINDS: Final = ("measured", "tried", "resumed", "exported", "pruned", "wiped")
_ONLY_ADDED: Final = "the audit record is only added to"
#: `INSERT OR REPLACE` removes a row without asking the trigger for that.
_SQLITE: Final = (
    "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, '{said}'); END",
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{said}'); END",
    "CREATE TRIGGER audit_not_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, '{said}'); END",
)
_POSTGRESQL: Final = (
    "CREATE OR REPLACE FUNCTION audit_only_added() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION '{said}'; END $$",
    "CREATE TRIGGER audit_unchanged BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_only_added()",
    "CREATE TRIGGER audit_kept BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_added()",
)


def only_added(dialect: str) -> list[str]:
    """Return the statements by which a database refuses to change the record; none for one that has no such."""
    known = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
    return [statement.format(said=_ONLY_ADDED) for statement in known.get(dialect, ())]


for _dialect in ("sqlite", "postgresql"):
    for _statement in only_added(_dialect):
        sa.event.listen(
            AuditRow.__table__,
            "after_create",
            sa.DDL(_statement).execute_if(dialect=_dialect),  # type: ignore[no-untyped-call]
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is written from.

    Attributes:
        lab: the folder of the lab, "" where there is none.
        addresses: device id -> where the device is, with its serial number where it is found by that.
    """

    lab: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, lab: Path | None, devices: Iterable[Device] = ()) -> Place:
        """Return the place of a lab and the devices that are measured."""
        return cls(str(lab or ""), {device.id: str(device.address) for device in devices})


#: Of a store that is written from no lab.
NOWHERE: Final = Place()


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done.

    Attributes:
        at: when, in UTC.
        kind: one of `KINDS`.
        who, host: the user's name and the host's.
        lab: the folder of the lab, "" where there was none.
        campaign, suite, case, device: their ids, "" where it is not of one.
        address: where the device is, with its serial number where it is found by that, "" where that is not known.
        detail: what more there is to say.
    """

    at: datetime
    kind: str
    who: str
    host: str
    lab: str = ""
    campaign: str = ""
    suite: str = ""
    case: str = ""
    device: str = ""
    address: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is none of {', '.join(KINDS)}")


def entry(kind: str, place: Place, **about: str) -> Entry:
    """Return what this process does now.

    Args:
        kind: one of `KINDS`.
        place: from where.
        about: the other fields of an `Entry`.
    """
    address = place.addresses.get(about.get("device", ""), "")
    return Entry(datetime.now(UTC), kind, _user(), socket.gethostname(), place.lab, address=address, **about)


def of_run(run: Run, place: Place) -> Entry:
    """Return the entry of a run that is stored."""
    about = {"suite": run.case.suite, "case": run.case.id, "device": run.case.device}
    return entry("measured", place, campaign=run.campaign, detail=f"run {run.id}", **about)


def of_outcome(campaign: str, outcome: Outcome, place: Place) -> Entry:
    """Return the entry of a case that gave no run.

    Args:
        campaign: its id.
        outcome: how it ended.
        place: from where.
    """
    about = outcome.about
    names = {"suite": about.suite, "device": about.device} if about else {}
    return entry("tried", place, campaign=campaign, case=outcome.case, detail=outcome.status, **names)


def row_of(one: Entry) -> AuditRow:
    """Return an entry as a row."""
    return AuditRow(**{**asdict(one), "lab": redacted(one.lab), "detail": redacted(one.detail)})


def entry_of(row: AuditRow, at: datetime) -> Entry:
    """Return the entry that a row holds; `at` is its moment with its zone."""
    return Entry(**{**{name: getattr(row, name) for name in Entry.__dataclass_fields__}, "at": at})


def document(one: Entry) -> dict[str, Any]:
    """Return an entry as values that JSON holds; the moment in UTC to the second."""
    return {**asdict(one), "at": one.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in a container
        return str(os.getuid())
