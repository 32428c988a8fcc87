"""The part of the store that says whose a campaign is, what it asked, what was measured again, and who did what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import orm

from harness.errors import StoreError
from harness.model import Campaign
from harness.store import audit
from harness.store.conversion import campaign_row, utc
from harness.store.opening import Opened
from harness.store.tables import AuditRow, CampaignRow, JobRow, ProgressRow, QuestionRow, RunRow, SupersededRow
from harness.store.undertakings import (
    Job,
    Question,
    Superseded,
    Undertaking,
    job_of,
    job_row,
    progress_row,
    question_of,
    question_row,
    superseded_of,
    undertaking_of,
)


class ProgressStore(Opened):
    """An opened store, as far as campaigns under way are concerned."""

    def begin(self, campaign: Campaign, undertaking: Undertaking, questions: Sequence[Question]) -> None:
        """Keep a campaign that begins or goes on, who works on it, and what is asked that was not asked before.

        Args:
            campaign: what was asked for.
            undertaking: who works on it.
            questions: of cases that it did not have.
        """
        with self._writing() as session:
            session.merge(campaign_row(campaign))
            session.flush()
            session.merge(progress_row(undertaking))
            for one in questions:
                session.merge(question_row(campaign.id, one))

    def take(self, campaign: str, holder: str, before: str, at: datetime) -> bool:
        """Become the one who works on a campaign; False if somebody else did so meanwhile.

        Args:
            campaign: its id.
            holder: who takes it.
            before: who had it when it was looked at.
            at: now.
        """
        own = sa.update(ProgressRow).where(ProgressRow.campaign == campaign, ProgressRow.holder == before)
        with self._writing() as session:
            # Whatever is left in it is measured again from now on, so it is not finished.
            done = session.execute(own.values(holder=holder, seen_at=utc(at), ended_at=None))
            return bool(getattr(done, "rowcount", 0))

    def note(self, kind: str, **about: str) -> None:
        """Add to the audit record what is done now and is written nowhere else.

        Args:
            kind: one of `harness.store.audit.KINDS`.
            about: fields of `harness.store.audit.Entry`, such as `campaign` and `detail`.

        Raises:
            StoreError: it cannot be written, or is of before the audit record.
        """
        if self._lacks(AuditRow):
            raise StoreError(
                f"{self.url} is older than the audit record", remedy="measure into it once: that makes the record"
            )
        with self._writing() as session:
            self._note(session, audit.entry(kind, self.place, **about))

    def _note(self, session: orm.Session, entry: audit.Entry) -> None:
        if self._audited:
            session.add(audit.row_of(entry))

    def audit(self, *, campaign: str = "", suite: str = "") -> list[audit.Entry]:
        """Return the audit record in the order it was written; nothing of a store that is older than it.

        Args:
            campaign: only what is of this one, by its id.
            suite: only what is of this one, by its id.
        """
        if self._lacks(AuditRow):
            return []
        query = sa.select(AuditRow).order_by(AuditRow.id)
        if campaign:
            query = query.where(AuditRow.campaign == campaign)
        if suite:
            query = query.where(AuditRow.suite == suite)
        return [audit.entry_of(row, utc(row.at)) for row in self._all(query)]

    def seen(self, campaign: str, at: datetime) -> None:
        """Keep when the one who works on a campaign was heard of."""
        with self._writing() as session:
            session.execute(sa.update(ProgressRow).where(ProgressRow.campaign == campaign).values(seen_at=utc(at)))

    def let_go(self, campaign: str, holder: str, ended_at: datetime | None) -> None:
        """Keep that nobody works on a campaign any more.

        Args:
            campaign: its id.
            holder: who did; if it is somebody else now, nothing is changed.
            ended_at: when it was finished, None if something is left.
        """
        own = sa.update(ProgressRow).where(ProgressRow.campaign == campaign, ProgressRow.holder == holder)
        with self._writing() as session:
            session.execute(own.values(holder="", ended_at=ended_at and utc(ended_at)))

    def undertakings(self) -> list[Undertaking]:
        """Return every campaign of which it is known whose it is, the newest first."""
        if self._lacks(ProgressRow):
            return []
        query = (
            sa.select(ProgressRow, CampaignRow)
            .join(CampaignRow, CampaignRow.id == ProgressRow.campaign)
            .order_by(CampaignRow.started_at.desc(), CampaignRow.id)
        )
        with self._reading() as session:
            return [undertaking_of(row, campaign) for row, campaign in session.execute(query)]

    def questions(self, campaign: str) -> dict[str, Question]:
        """Return id of a case -> what was asked in it, of a campaign."""
        if self._lacks(QuestionRow):
            return {}
        rows = self._all(sa.select(QuestionRow).where(QuestionRow.campaign == campaign).order_by(QuestionRow.case))
        return {row.case: question_of(row) for row in rows}

    def superseded(self, campaign: str | None = None) -> dict[str, Superseded]:
        """Return id of a run -> what supersedes it, of one campaign or of all."""
        if self._lacks(SupersededRow):
            return {}
        query = sa.select(SupersededRow).order_by(SupersededRow.run)
        rows = self._all(query if campaign is None else query.where(SupersededRow.campaign == campaign))
        return {row.run: superseded_of(row) for row in rows}

    def keep_job(self, campaign: str, job: Job) -> None:
        """Keep a job that is about to begin, or how it ended.

        Args:
            campaign: its id.
            job: as it is now.
        """
        with self._writing() as session:
            session.merge(job_row(campaign, job))

    def jobs(self, campaign: str) -> list[Job]:
        """Return the jobs of a campaign that could be left to themselves, in the order in which they were begun."""
        if self._lacks(JobRow):
            return []
        rows = self._all(sa.select(JobRow).where(JobRow.campaign == campaign).order_by(JobRow.begun_at, JobRow.name))
        return [job_of(row) for row in rows]

    def runs_of_cases(self, campaign: str) -> dict[str, list[str]]:
        """Return id of a case -> ids of its runs in a campaign that are not superseded; no array is read."""
        with self._reading() as session:
            query = sa.select(RunRow.id, RunRow.document).where(RunRow.campaign == campaign).order_by(RunRow.started_at)
            rows = [(str(name), document["case"].get("id", "")) for name, document in session.execute(query)]
        gone, found = self.superseded(campaign), dict[str, list[str]]()
        for name, case in rows:
            if name not in gone:
                found.setdefault(case, []).append(name)
        return found
