"""Campaigns of a small lab that were interrupted: their answers are made runs, and no device is asked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from harness import compare, lab
from harness.measure import grouping
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.measure.concluding import concluded
from harness.measure.described import described
from harness.measure.jobs import Group, load_samples
from harness.measure.question import data_digest
from harness.measure.resuming import Taken, Work
from harness.model import Campaign, Case, Comparison, Run
from harness.results.runs import measured_case
from harness.store import Store
from tests.made_runs import BASELINE, FASTER, SUITE

#: When the answers were measured.
THEN = datetime(2026, 11, 20, 14, 3, tzinfo=UTC)
FAST = "\n[accept]\nlatency_p50_s = { max = 1.0 }\n"


@dataclass
class Bench:
    """The cases of a lab and the work on their campaign; answers are made, no device is asked."""

    folder: Path
    store: Store
    resume: bool = False
    quick: bool = False
    only: str = ""
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        devices = lab.select(self.folder, ["all"])
        suites = [lab.read_suite(path) for path in lab.suite_files(self.folder)]
        found = [case for suite in suites for case in lab.cases(suite, devices)]
        self.cases = [case for case in found if self.only in case.id]
        suites_now = {one.suite.id: {**described(one.suite), "devices": {"here": ""}} for one in self.cases}
        begun = THEN + timedelta(days=len(self.store.campaigns()))
        fresh = Campaign(
            f"c{len(self.store.campaigns())}", begun, "pytest suites", suites_now,
            {"edgeward": "0.1.0", "python": "3.11", "system": "Linux"}, self.quick,
        )  # fmt: skip
        self.work = Work(self.store, self.cases, fresh, resume=self.resume, purpose="", note=self.said.append)

    @property
    def campaign(self) -> str:
        """The id of the campaign that is worked on."""
        return self.work.campaign.id

    def case(self, variant_id: str) -> Case:
        """Return the case of a variant."""
        return next(case for case in self.cases if case.variant.id == variant_id)

    def split(self) -> tuple[list[str], list[str]]:
        """Return the variants that are to be measured and those that are taken over."""
        left, taken = self.whole_split()
        names = [case.variant.id for case in left.cases] if left else []
        return names, [one.case.variant.id for one in taken]

    def whole_split(self) -> tuple[Group | None, list[Taken]]:
        """Return what is to be measured and what is taken over."""
        (group,) = grouping.groups(self.cases)
        samples = load_samples(group.suite)
        group = grouping.fitted(group, samples, lambda *_: None)
        wanted = {case.id for case in self.cases}
        return self.work.split(group, data_digest(samples), lambda case: case.id in wanted)

    def answer(self, *variants: str, suffix: str = "") -> list[Run]:
        """Store what a device would give for some variants, the baseline first, each case whole."""
        runs: list[Run] = []
        for name in variants:
            (group,) = grouping.groups(self.cases)
            case = next(one for one in group.cases if one.variant.id == name)
            run = replace(
                FASTER if runs else BASELINE, id=f"{name}{suffix}-{self.campaign}", campaign=self.campaign,
                case=measured_case(case), is_baseline=case.is_baseline, started_at=THEN,
                variant=replace(case.variant, path=Path(case.variant.path.name)),
            )  # fmt: skip
            compared = [replace(one, baseline=runs[0].id, run=run.id) for one in changes()] if runs else []
            asked = any(one.id == case.id for one in self.cases) or self.work.ended_before(case)
            self.store.add_case(
                self.campaign, run, compared, concluded(case, run, compared) if asked else None,
                question=self.work.question(case.id) if asked else None,
                superseded=self.work.superseded(case.id, run.id),
            )  # fmt: skip
            runs.append(run)
        return runs

    def leave(self) -> None:
        """End as a host that is killed: nothing is finished, and nobody works on it any more."""
        (own,) = [one for one in self.store.undertakings() if one.campaign == self.campaign]
        self.store.let_go(self.campaign, own.holder, None)


def interrupted(folder: Path, store: Store, *answered: str, quick: bool = False) -> Bench:
    """Return a campaign of which some variants were answered before its host died."""
    bench = Bench(folder, store, quick=quick)
    bench.split()
    bench.answer(*answered)
    bench.leave()
    return bench


@cache
def changes() -> list[Comparison]:
    """Return what the made runs differ in: finding it again for each test would take most of their time."""
    return compare.compare(BASELINE, FASTER, SUITE)


def resumed(folder: Path, store: Store, *, quick: bool = False) -> dict[str, Result]:
    """Go on with the campaign of a lab, and return variant -> what its case gave."""
    suite = lab.read_suite(folder / "suites" / "small.toml")
    cases = lab.cases(suite, lab.select(folder, ["here"]))
    settings = Settings(command="pytest", say=lambda *_: None, quick=quick, resume=True)
    runner = CampaignRunner(cases, store, settings)
    return {case.variant.id: one for case, one in zip(cases, runner.results(cases), strict=True)}
