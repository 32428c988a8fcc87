"""What it takes to go on with a campaign: whose it is, what each case asked, which runs were measured again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from harness.model import Reason
from harness.store.conversion import plain, restored, utc
from harness.store.tables import CampaignRow, JobRow, ProgressRow, QuestionRow, SupersededRow


@dataclass(frozen=True, slots=True)
class Undertaking:
    """A campaign and who works on it.

    Attributes:
        campaign: its id.
        started_at: when it began.
        quick: whether its durations are cut.
        lab: digest of the lab's name.
        place: digest of the machine and the folder where the lab lies.
        purpose: what a program began it for; "" for one that a person asked for.
        holder: the `Owner` who works on it, as one line; "" for nobody.
        seen_at: when that one was last heard of.
        ended_at: when nothing was left to measure; None for one that is not finished.
    """

    campaign: str
    started_at: datetime
    quick: bool
    lab: str
    place: str
    purpose: str
    holder: str
    seen_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a case asks: a run answers it only where all parts are the same.

    Attributes:
        case: its id.
        suite, device: their ids.
        digest: of all parts; "" while it is not known what is asked.
        asked_at: when it was asked.
        settled: whether it has its answer: a run, or an error that measuring again does not mend.
        parts: name -> digest, so that it can be said what is no longer the same.
    """

    case: str
    suite: str
    device: str
    digest: str
    asked_at: datetime
    settled: bool = False
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Superseded:
    """A run whose case was measured again in the same campaign.

    Attributes:
        run: its id.
        by: the id of the run that counts in its place, "" where the case has none now.
        reason: why it was measured again.
    """

    run: str
    by: str
    reason: Reason


#: What is said of a job that gave its results: to the host that followed it, or to one that came back.
DONE: Final = "done"
COLLECTED: Final = "collected"


@dataclass(frozen=True, slots=True)
class Job:
    """A job that was begun on a device, which does it by itself.

    Attributes:
        name: of its folder there.
        device: its id.
        begun_at: when.
        questions: id of each case in it -> digest of what that asked.
        conditions: what the device said of its state before.
        ended: "" while it may still be collected, `DONE`, `COLLECTED`, or why it gave nothing.
    """

    name: str
    device: str
    begun_at: datetime
    questions: Mapping[str, str]
    conditions: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""


def job_row(campaign: str, one: Job) -> JobRow:
    """Return a job as a row."""
    document = {"questions": dict(one.questions), "conditions": plain(dict(one.conditions))}
    return JobRow(
        name=one.name,
        campaign=campaign,
        device=one.device,
        begun_at=utc(one.begun_at),
        ended=one.ended,
        document=document,
    )


def job_of(row: JobRow) -> Job:
    """Return the job that a row holds."""
    document = restored(row.document)
    return Job(row.name, row.device, utc(row.begun_at), document["questions"], document["conditions"], row.ended)


def progress_row(one: Undertaking) -> ProgressRow:
    """Return an undertaking as a row."""
    return ProgressRow(
        campaign=one.campaign,
        lab=one.lab,
        place=one.place,
        purpose=one.purpose,
        holder=one.holder,
        seen_at=utc(one.seen_at),
        ended_at=one.ended_at and utc(one.ended_at),
    )


def undertaking_of(row: ProgressRow, campaign: CampaignRow) -> Undertaking:
    """Return the undertaking that rows hold."""
    ended = row.ended_at and utc(row.ended_at)
    return Undertaking(
        row.campaign, utc(campaign.started_at), campaign.quick, row.lab, row.place, row.purpose, row.holder,
        utc(row.seen_at), ended,
    )  # fmt: skip


def question_row(campaign: str, one: Question) -> QuestionRow:
    """Return a question as a row."""
    return QuestionRow(
        campaign=campaign,
        case=one.case,
        suite=one.suite,
        device=one.device,
        digest=one.digest,
        asked_at=utc(one.asked_at),
        settled=one.settled,
        parts=dict(one.parts),
    )


def question_of(row: QuestionRow) -> Question:
    """Return the question that a row holds."""
    parts = restored(row.parts)
    return Question(row.case, row.suite, row.device, row.digest, utc(row.asked_at), row.settled, parts)


def superseded_row(campaign: str, one: Superseded) -> SupersededRow:
    """Return what supersedes a run as a row."""
    return SupersededRow(run=one.run, campaign=campaign, successor=one.by, reason=json.dumps(asdict(one.reason)))


def superseded_of(row: SupersededRow) -> Superseded:
    """Return what a row holds of a run that was measured again."""
    return Superseded(row.run, row.successor, Reason(**json.loads(row.reason)))
