"""What is known of a group's cases while their job goes on: which are complete, and whether a ratio is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness import compare, stats
from harness.agent import contract
from harness.errors import HarnessError, MeasurementError, Unforeseen
from harness.measure import racing
from harness.measure.jobs import Group
from harness.model import Case, Omission, Run, Samples
from harness.results import runs
from harness.results.job_log import JobLog
from harness.results.runs import DROPPED


@dataclass(frozen=True, slots=True)
class Found:
    """What a case gave: a Run, or the error that is this case's alone.

    A run that was given before the job's end comes once more, with what only the end shows.
    """

    case: Case
    result: Run | HarnessError


@dataclass(slots=True)
class Known:
    """What is known of a group's cases so far.

    Attributes:
        group: the cases.
        samples: the split that is judged.
        campaign: its id.
        quick: whether durations are cut to a tenth.
        facts: what the host adds to fingerprints.
        log: what the job said.
        given: place of a model -> the id of its run, once that was given on.
        failed: models that give none.
        decided: models of which enough is known.
        out: models that dropped out of a race -> why.
        judged: their lines on accuracy, once those are known.
        collected: whether the job ended while its host was away.
    """

    group: Group
    samples: Samples
    campaign: str
    quick: bool
    facts: Mapping[str, Any]
    log: JobLog = field(default_factory=JobLog)
    given: dict[int, str] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)
    decided: set[int] = field(default_factory=set)
    out: dict[int, str] = field(default_factory=dict)
    judged: Mapping[int, racing.Lines] = field(default_factory=dict)
    collected: bool = False

    def fresh(self) -> Iterator[int]:
        """Yield the models that are complete now and were not given yet; the baseline first, others never before it."""
        baseline = self.group.baseline
        order = [] if baseline is None else [baseline]
        order += [index for index in range(len(self.group.cases)) if index != baseline]
        for index in order:
            done = index in self.given or index in self.failed
            if not done and (self.log.failure(index) is not None or self._complete(index)):
                yield index
            elif index == baseline and not done:
                return

    def _complete(self, index: int) -> bool:
        """Return whether all that is measured of a model has been measured, though the job goes on."""
        # A meter that the host reads is only joined with the events at the end.
        if self.group.device.meter is not None:
            energy = self.log.of(contract.EnergyPass, index)
            return bool(energy) and energy[0].meter != contract.HOST_METER
        return bool(self.log.of(contract.Sustained, index))

    def found(self, index: int) -> Found:
        """Return what a model gave."""
        case = self.group.cases[index]
        failure = self.log.failure(index)
        if failure is not None:
            self.failed.add(index)
            return Found(case, runs.failed(case, failure))
        try:
            run = runs.run_of(
                case,
                index,
                self.log,
                self.samples,
                campaign=self.campaign,
                quick=self.quick,
                facts=self.facts,
                fit=self.group.fits.get(case.id),
                control=self.group.control if case.is_baseline else None,
            )
        except MeasurementError as error:
            self.failed.add(index)
            text = f"{case.variant.path.name}: {error.text}"
            return Found(case, MeasurementError(text, remedy=error.remedy, where=case.device.id))
        except HarnessError as error:
            self.failed.add(index)
            return Found(case, error)
        except Exception as error:  # noqa: BLE001 -- not swallowed: it is this case's error, and the others have none
            self.failed.add(index)
            return Found(case, Unforeseen(f"{case.device.id}: judging {case.variant.path.name}", error))
        if index in self.out:
            run = replace(run, notes={**run.notes, DROPPED: self.out[index]})
        if self.collected:
            run = replace(run, notes={**run.notes, runs.COLLECTED: True})
        run = runs.with_id(run, self.given.setdefault(index, run.id))
        return Found(case, run)

    def rest(self) -> Iterator[Found]:
        """Yield every case that has not failed before, complete."""
        for index in range(len(self.group.cases)):
            if index not in self.failed:
                yield self.found(index)


def is_known(group: Group, log: JobLog, index: int) -> bool:
    """Return whether a model's ratio to the baseline has a verdict, or is known to half the suite's precision.

    A model without a baseline to compare with is known when its 99th percentile can be reported. An interval as narrow
    as `precision` may still leave the verdict open, so then it is asked for twice as narrow.

    Args:
        group: the cases.
        log: what the job said so far.
        index: the model's place in the job.
    """
    load = group.suite.load
    if any(group.fit(group.cases[one]).paths for one in (index, group.baseline) if one is not None):
        return False  # the level of a round is that of the images it had
    if sum(one.round.count for one in log.rounds_of(index)) < stats.samples_needed(0.99):
        return False
    if group.baseline is None or index == group.baseline or log.failure(group.baseline) is not None:
        return True
    base_values, base_rounds, base_keep = log.levels(group.baseline)
    values, own_rounds, keep = log.levels(index)
    ratio = stats.ratio_estimate(base_values, base_rounds, values, own_rounds, base_keep=base_keep, keep=keep)
    if ratio is None or ratio.omits is not Omission.NOTHING:
        return False
    decided = compare.decided(ratio, neutral=1.0, margin=load.margin)
    return decided or (ratio.high - ratio.low) / 2 <= load.precision / 2 * ratio.point
