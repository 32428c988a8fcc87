"""What the rest of the house sees of the store: nouns in, nouns out.

Every case is committed the moment it is known, in one transaction, so that an interrupted campaign keeps what it
measured.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from harness.errors import StoreError
from harness.model import Campaign, Comparison, Outcome, Run, StepCost
from harness.store import audit
from harness.store.conversion import (
    campaign_of,
    campaign_row,
    comparison_of,
    comparison_row,
    outcome_of,
    outcome_row,
    outline_of,
    run_of,
    run_row,
    utc,
)
from harness.store.opening import first_line
from harness.store.progress import ProgressStore
from harness.store.step_costs import step_of, step_row
from harness.store.tables import (
    CampaignRow,
    ComparisonRow,
    OutcomeRow,
    RunRow,
    StepRow,
    SupersededRow,
)
from harness.store.undertakings import Question, Superseded, question_row, superseded_row

#: What is left where it is when a run is read without its arrays.
_OUTLINE: Final = (
    orm.load_only(RunRow.campaign, RunRow.started_at, RunRow.validity, RunRow.document),
    *(orm.lazyload(part) for part in (RunRow.measurements, RunRow.probes, RunRow.occlusion, RunRow.example)),
)


class Store(ProgressStore):
    """Results behind one URL, opened as `Opened` says; safe to use from several threads."""

    def add_campaign(self, campaign: Campaign) -> None:
        """Keep a campaign that begins, or what was found out about it since."""
        with self._writing() as session:
            session.merge(campaign_row(campaign))

    def add_case(
        self,
        campaign: str,
        run: Run,
        comparisons: Sequence[Comparison],
        outcome: Outcome | None = None,
        *,
        question: Question | None = None,
        superseded: Sequence[Superseded] = (),
    ) -> None:
        """Keep what one case gave in one transaction, so that a host that dies leaves all of a case or nothing.

        Args:
            campaign: the campaign's id.
            run: what was measured.
            comparisons: the run against its baseline.
            outcome: how the case ended; None for a run that no case asked for.
            question: what was asked.
            superseded: the runs that this one takes the place of.
        """
        with self._writing() as session:
            session.add(run_row(run))
            session.flush()
            for comparison in comparisons:
                session.merge(comparison_row(campaign, comparison))
            _end(session, campaign, outcome, question, superseded)
            self._note(session, audit.of_run(run, self.place))

    def judge_again(
        self, campaign: str, run: str, comparisons: Sequence[Comparison], outcome: Outcome, question: Question | None
    ) -> None:
        """Keep in one transaction how a run that is stored is judged now.

        Args:
            campaign: the campaign's id.
            run: the run's id; what it was compared by before is replaced.
            comparisons: of it, as they are found now.
            outcome: how its case ends.
            question: what was asked.
        """
        with self._writing() as session:
            session.execute(sa.delete(ComparisonRow).where(ComparisonRow.run == run))
            for comparison in comparisons:
                session.merge(comparison_row(campaign, comparison))
            _end(session, campaign, outcome, question, ())

    def complete_run(self, run: Run) -> None:
        """Keep a run that is stored already once more, with what is known only at the end of its job."""
        with self._writing() as session:
            session.merge(run_row(run))

    def add_outcome(
        self,
        campaign: str,
        outcome: Outcome,
        *,
        question: Question | None = None,
        superseded: Sequence[Superseded] = (),
    ) -> None:
        """Keep how a case without a run ended; a case that is done again replaces its outcome.

        Args:
            campaign: the campaign's id.
            outcome: how it ended.
            question: what was asked, as far as it is known.
            superseded: runs of it that do not count any more.
        """
        with self._writing() as session:
            _end(session, campaign, outcome, question, superseded)
            self._note(session, audit.of_outcome(campaign, outcome, self.place))

    def campaigns(self) -> list[Campaign]:
        """Return all campaigns, the newest first."""
        return [campaign_of(row) for row in self._all(sa.select(CampaignRow).order_by(CampaignRow.started_at.desc()))]

    def runs(
        self,
        campaign: str | None = None,
        suite: str | None = None,
        device: str | None = None,
        *,
        superseded: bool = False,
    ) -> list[Run]:
        """Return runs in the order they were made.

        Args:
            campaign: those of one, by its id.
            suite: those of one, by its id.
            device: those on one, by its id.
            superseded: whether also those whose case was measured again in the same campaign.
        """
        query = sa.select(RunRow).order_by(RunRow.started_at, RunRow.id)
        if campaign is not None:
            query = query.where(RunRow.campaign == campaign)
        if suite is not None:
            query = query.where(RunRow.suite == suite)
        if device is not None:
            query = query.where(RunRow.device == device)
        if not superseded and not self._lacks(SupersededRow):
            query = query.where(RunRow.id.not_in(sa.select(SupersededRow.run)))
        # The runs of one job began together; in it each has its place.
        found = [run_of(row) for row in self._all(query)]
        return sorted(found, key=_in_time)

    def last_seen(self) -> dict[str, datetime]:
        """Return device id -> start of its newest run."""
        query = sa.select(RunRow.device, sa.func.max(RunRow.started_at)).group_by(RunRow.device)
        with self._reading() as session:
            return {device: utc(moment) for device, moment in session.execute(query)}

    def places(self) -> dict[str, set[tuple[str, str, str]]]:
        """Return id of a campaign -> suite, device and validity of its runs, without reading what they measured."""
        found: dict[str, set[tuple[str, str, str]]] = {}
        with self._reading() as session:
            for name, *place in session.execute(
                sa.select(RunRow.campaign, RunRow.suite, RunRow.device, RunRow.validity).distinct()
            ):
                found.setdefault(str(name), set()).add((str(place[0]), str(place[1]), str(place[2])))
        return found

    def measured(self, suites: Collection[str]) -> dict[tuple[str, str], list[str]]:
        """Return suite and device -> ids of the campaigns that had a case there, the newest first.

        A case that ended in an error before there was a run counts too. What was measured is not read.
        """
        runs = sa.select(RunRow.campaign, RunRow.suite, RunRow.device).where(RunRow.suite.in_(suites)).distinct()
        started = sa.select(CampaignRow.id).order_by(CampaignRow.started_at.desc(), CampaignRow.id)
        with self._reading() as session:
            found = {(str(name), str(suite), str(device)) for name, suite, device in session.execute(runs)}
            order = [str(name) for name in session.scalars(started)]
        ended = self._whole(
            OutcomeRow, OutcomeRow.run == "", lambda row: (row.campaign, outcome_of(row).about), (OutcomeRow.case,), []
        )
        found |= {(name, one.suite, one.device) for name, one in ended if one is not None and one.suite in suites}
        places: dict[tuple[str, str], list[str]] = {}
        for name, *place in sorted(found, key=lambda one: order.index(one[0])):
            places.setdefault((place[0], place[1]), []).append(name)
        return places

    def run_ids(self) -> list[tuple[str, datetime]]:
        """Return id and start of every run, the newest first, without reading what they measured."""
        query = sa.select(RunRow.id, RunRow.started_at).order_by(RunRow.started_at.desc(), RunRow.id)
        with self._reading() as session:
            return [(name, utc(moment)) for name, moment in session.execute(query)]

    def run(self, prefix: str) -> Run:
        """Return the one run whose id begins with `prefix`; raises StoreError if there is none or more than one."""
        found = self._all(sa.select(RunRow).where(RunRow.id.startswith(prefix, autoescape=True)).limit(2))
        if len(found) == 1:
            return run_of(found[0])
        what = "no run has" if not found else "several runs have"
        raise StoreError(f"{what} an id that begins with {prefix!r}", remedy="`edgeward export` lists them")

    def comparisons(self, campaign: str) -> list[Comparison]:
        """Return what was compared in a campaign."""
        rows = self._all(sa.select(ComparisonRow).where(ComparisonRow.campaign == campaign))
        return [comparison_of(row) for row in rows]

    def outcomes(self, campaign: str) -> list[Outcome]:
        """Return how the cases of a campaign ended."""
        rows = self._all(sa.select(OutcomeRow).where(OutcomeRow.campaign == campaign).order_by(OutcomeRow.case))
        return [outcome_of(row) for row in rows]

    def readable(
        self, campaign: str, *, samples: bool = True
    ) -> tuple[list[Run], list[Comparison], list[Outcome], list[str]]:
        """Return runs, comparisons and outcomes of a campaign, and which of them cannot be read, with the cause.

        Args:
            campaign: its id.
            samples: whether runs hold measurements, outputs, labels, probes, maps and examples: they take long to
                read.

        Raises:
            StoreError: the store as a whole cannot be read.
        """
        lost: list[str] = []
        own, compared, ended = RunRow.campaign, ComparisonRow.campaign, OutcomeRow.campaign
        of_run = (RunRow.id, RunRow.suite, RunRow.device)
        runs = self._whole(RunRow, own == campaign, run_of if samples else outline_of, of_run, lost, whole=samples)
        of = (ComparisonRow.run, ComparisonRow.metric)
        comparisons = self._whole(ComparisonRow, compared == campaign, comparison_of, of, lost)
        outcomes = self._whole(OutcomeRow, ended == campaign, outcome_of, (OutcomeRow.case,), lost)
        return sorted(runs, key=_in_time), comparisons, sorted(outcomes, key=lambda one: one.case), lost

    def readable_run(self, name: str) -> Run | None:
        """Return the run of an id, None if it is not there or cannot be read."""
        found = self._whole(RunRow, RunRow.id == name, run_of, (RunRow.id,), [])
        return found[0] if found else None

    def _whole(
        self, table: Any, wanted: Any, convert: Any, named: Sequence[Any], lost: list[str], *, whole: bool = True
    ) -> list[Any]:
        """Return the rows of a table that can be read, and add to `lost` what is said of each other one.

        Args:
            table: the class of the rows.
            wanted: which rows.
            convert: makes a noun of a row.
            named: the columns by which people know a row.
            lost: is added to.
            whole: whether a run is read with its arrays and the rows that belong to it.
        """
        keys = [getattr(table, column.key) for column in sa.inspect(table).primary_key]
        options = [] if whole else list(_OUTLINE)
        try:
            with self._session() as session:
                rows = session.scalars(sa.select(table).where(wanted).order_by(*keys).options(*options))
                return [convert(row) for row in rows]
        except Exception:  # noqa: BLE001  one row is damaged: each is read by itself, to name it and to keep the others
            return list(self._one_by_one(table, wanted, convert, named, lost, options))

    def _one_by_one(
        self, table: Any, wanted: Any, convert: Any, named: Sequence[Any], lost: list[str], options: Sequence[Any]
    ) -> Iterator[Any]:
        """Yield as `_whole` returns, each row read by itself."""
        keys = [getattr(table, column.key) for column in sa.inspect(table).primary_key]
        with self._reading() as session:
            rows = [(tuple(row[: len(keys)]), row[len(keys) :]) for row in session.execute(
                sa.select(*keys, *named).where(wanted).order_by(*keys)
            )]  # fmt: skip
        for key, names in rows:
            try:
                with self._session() as session:
                    found = convert(session.get_one(table, key, options=options))
            except Exception as error:  # noqa: BLE001  what stands in a damaged row can make any part of its reading fail
                what = " of ".join((table.__tablename__, " ".join(map(str, names))))
                lost.append(f"{what} cannot be read from the store ({type(error).__name__}: {first_line(error)})")
            else:
                yield found

    def add_step_cost(self, cost: StepCost) -> None:
        """Keep what a step of training cost."""
        with self._writing() as session:
            session.merge(step_row(cost))
            about = {"suite": cost.suite, "device": cost.device, "detail": f"step of training of {cost.variant}"}
            self._note(session, audit.entry("measured", self.place, **about))

    def step_costs(self, suite: str) -> list[StepCost]:
        """Return what steps of training cost the models of a suite, the oldest first."""
        if self._lacks(StepRow):
            return []
        query = sa.select(StepRow).where(StepRow.suite == suite).order_by(StepRow.started_at, StepRow.id)
        return [step_of(row) for row in self._all(query)]

    def newest(self) -> dict[str, str]:
        """Return id of a case -> id of the newest campaign that says how it ended."""
        query = (
            sa.select(OutcomeRow.case, OutcomeRow.campaign)
            .join(CampaignRow, CampaignRow.id == OutcomeRow.campaign)
            .order_by(CampaignRow.started_at, CampaignRow.id)
        )
        with self._reading() as session:
            return {str(case): str(campaign) for case, campaign in session.execute(query)}


def _in_time(run: Run) -> tuple[datetime, int]:
    """Return what puts runs in the order they were made."""
    return run.started_at, run.notes.get("place", 0)


def _end(
    session: orm.Session,
    campaign: str,
    outcome: Outcome | None,
    question: Question | None,
    superseded: Sequence[Superseded],
) -> None:
    """Add what a case ends with to a transaction."""
    if outcome is not None:
        session.merge(outcome_row(campaign, outcome))
    if question is not None:
        session.merge(question_row(campaign, question))
    for one in superseded:
        session.merge(superseded_row(campaign, one))
