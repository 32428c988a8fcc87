"""What a search found: its fronts, the suite file that measures them again, that measurement, a table and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from harness import lab, units
from harness.cli import found_suite
from harness.cli.search_places import Place
from harness.cli.searching import Searching
from harness.cli.studies import Attempt
from harness.cli.tables import empty, show
from harness.compare.front import Member, Standing, standings
from harness.errors import MeasurementError, Transient
from harness.lab.ledger import sha256
from harness.lab.tables import VariantTable
from harness.measure.campaign import CampaignRunner, Result
from harness.measure.campaign import Settings as CampaignSettings
from harness.measure.described import described
from harness.model import Estimate, Run
from harness.page import search_page, wording
from harness.variants.build import build_suite
from harness.vocabulary import METRICS

#: Candidates of a front that are measured in full, the cheapest first.
FINALISTS: Final = 6


@dataclass(frozen=True, slots=True)
class Front:
    """What a search found in one place.

    Attributes:
        place: device and runtime.
        attempts: in the order in which they were tried.
        runs: name of a candidate, or of the baseline -> the run that speaks for it, the full one where there is one.
        standings: name -> how it stands to the others.
        final: name -> the result of measuring it in full.
    """

    place: Place
    attempts: tuple[Attempt, ...]
    runs: Mapping[str, Run]
    standings: Mapping[str, Standing]
    final: Mapping[str, Result]

    @property
    def finalists(self) -> list[Attempt]:
        """Those of the front that may be what was asked for, the cheapest first."""
        kept = [
            one
            for one in self.attempts
            if one.status in ("accepted", "undecided")
            and one.candidate in self.standings
            and not self.standings[one.candidate].dominated
        ]
        return sorted(kept, key=lambda one: one.cost.point if one.cost else 0.0)[:FINALISTS]

    @property
    def winner(self) -> str:
        """The cheapest that was measured in full and passed, "" if none did."""
        passed = [name for name, one in self.final.items() if one.outcome.status == "passed"]
        return min(passed, key=lambda name: self.standings[name].member.cost.point, default="")


def conclude(searching: Searching, folder: Path) -> None:
    """Measure what was found in full, write and print it all.

    Args:
        searching: a search that has run.
        folder: of the lab's reports.

    Raises:
        HarnessError: the goal cannot be met somewhere, or a device was lost; all that is known is written before.
    """
    fronts = [_front(searching, place, {}) for place in searching.places]
    # A device that was lost is not asked again now: the next time the search is.
    finalists = {id(front.place): front.finalists if front.place.lost is None else [] for front in fronts}
    file = None
    if any(finalists.values()):
        file = _suite_file(searching, fronts)
        final = _measured(searching, file, finalists)
        fronts = [_front(searching, front.place, final.get(id(front.place), {})) for front in fronts]
    for front in fronts:
        _show(searching, front)
    page = search_page.write(_page(searching, fronts, file), folder / "html" / f"search-{searching.suite.id}.html")
    say = searching.options.say
    if file is not None:
        say(f"measures it again: pytest {lab.shown(file)} --device {fronts[0].place.device.id}")
    say(f"page: {page}")
    wrong = [said for front in fronts if (said := _missed(front))]
    if wrong:
        raise MeasurementError(
            "; ".join(wrong),
            remedy="the page shows every attempt; widen [[space]] or --trials, or ask less of [accept]",
            where=lab.shown(searching.suite.file),
        )


def _missed(front: Front) -> str:
    """Return why a place has no answer, "" if it has one."""
    if front.place.lost is not None:
        return f"{front.place.title} is not done: {front.place.lost}; the same command goes on from here"
    if front.winner:
        return ""
    lost = [one.error for one in front.final.values() if isinstance(one.error, Transient)]
    if lost:
        return f"{front.place.title} is not done: {lost[0]}; the same command goes on from here"
    if front.final:
        near = next(iter(front.final.values()))
        reasons = "; ".join(map(str, near.outcome.reasons))
        return f"{front.place.title}: cannot be met: best was {near.case.variant.id}, measured in full: {reasons}"
    known = [one for one in front.attempts if one.cost is not None]
    if not known:
        first = next((f": {one.said}" for one in front.attempts), "")
        return f"{front.place.title}: cannot be met: no candidate could be measured{first}"
    near_one = min(known, key=lambda one: (one.status == "dropped", one.missed, one.cost.point if one.cost else 0.0))
    return f"{front.place.title}: cannot be met: best was {near_one.candidate}: {near_one.said}"


def _front(searching: Searching, place: Place, final: Mapping[str, Result]) -> Front:
    """Return how the attempts of a place stand to each other, by their full runs where there are such."""
    search, attempts = searching.search, place.study.attempts()
    members = {
        one.candidate: Member(one.candidate, searching.store.run(one.run), one.cost)
        for one in attempts
        if one.run and one.cost is not None and one.change is not None
    }
    for name, result in final.items():
        cost = next((one.change for one in result.comparisons if one.metric == search.ratio), None)
        if result.run is not None and cost is not None:
            members[name] = Member(name, result.run, cost)
    runs = [one.run for one in members.values()]
    head = next((found for run in reversed(runs) if (found := _baseline(searching, run))), None)
    if head is not None:
        members[place.baseline.id] = Member(place.baseline.id, head, Estimate(1.0, 1.0, 1.0, 1.0, "the baseline"))
    ordered = standings(
        list(members.values()), described(searching.suite), ratio=search.ratio, accuracy=search.accuracy
    )
    by_name = {one.member.name: one for one in ordered}
    return Front(place, tuple(attempts), {name: one.run for name, one in members.items()}, by_name, final)


def _baseline(searching: Searching, run: Run) -> Run | None:
    """Return the run of the baseline that took turns with a run."""
    same = (run.case.suite, run.case.device, run.case.runtime)
    return next(
        (
            one
            for one in searching.store.runs(campaign=run.campaign, device=run.case.device)
            if one.is_baseline and (one.case.suite, one.case.device, one.case.runtime) == same
        ),
        None,
    )


def _suite_file(searching: Searching, fronts: Sequence[Front]) -> Path:
    """Write the suite file of all fronts, and put what its recipes build in its place, from the cache."""
    tables: dict[str, VariantTable] = {}
    notes = []
    for front in fronts:
        for one in front.finalists if front.place.lost is None else ():
            tables.setdefault(one.candidate, front.place.search.family(one.family).candidate(one.values))
            cost = units.full_change("ratio", "", one.cost)
            notes.append(
                f"{front.place.title}: {one.candidate}: {METRICS[searching.search.ratio].title.lower()} {cost}"
            )
    file = found_suite.write(searching.suite.file, list(tables.values()), notes)
    build_suite(file)
    return file


def _measured(
    searching: Searching, file: Path, finalists: Mapping[int, Sequence[Attempt]]
) -> dict[int, dict[str, Result]]:
    """Measure the finalists of each place in full, all of a place in turns, and return what each gave."""
    suite = lab.read_suite(file)
    wanted = {
        (id(place), case.variant.id): case
        for place in searching.places
        for case in lab.cases(suite, [place.device])
        if case.runtime == place.runtime and case.variant.id in {one.candidate for one in finalists[id(place)]}
    }
    searching.options.say(f"measuring {len(wanted)} in full")
    command = (
        f"edgeward search {searching.suite.id}: {file.name} {sha256(file)[:12]}"
        f"{' --quick' if searching.options.quick else ''}"
    )
    settings = CampaignSettings(
        command=command,
        purpose=command,
        say=searching.say,
        quick=searching.options.quick,
        resume=True,
        patience_s=searching.options.patience_s,
    )
    runner = CampaignRunner(list(wanted.values()), searching.store, settings)
    found: dict[int, dict[str, Result]] = {}
    for (place, name), result in zip(wanted, runner.results(wanted.values()), strict=True):
        found.setdefault(place, {})[name] = result
    return found


def _standing(front: Front, name: str) -> str:
    """Return how a candidate stands to the others, in words."""
    one = front.standings.get(name)
    if one is None:
        return ""
    if one.dominated:
        return f"dominated by {one.dominated[0]}" + (f" and {len(one.dominated) - 1} more" if one.dominated[1:] else "")
    words = ["on the front"]
    if one.dominates:
        words.append(f"dominates {len(one.dominates)}")
    if one.unclear:
        words.append(f"cannot be separated from {', '.join(one.unclear)}")
    return ", ".join(words)


def _rows(searching: Searching, front: Front) -> list[search_page.Row]:
    ratio, accuracy = searching.search.ratio, searching.search.accuracy
    info = METRICS[accuracy]
    rows = []
    for one in front.attempts:
        standing, final = front.standings.get(one.candidate), front.final.get(one.candidate)
        changes = {c.metric: c.change for c in final.comparisons} if final else {}
        status, said = one.status, one.said
        if final is not None:
            status, said = f"{final.outcome.status} in full", "; ".join(map(str, final.outcome.reasons))
        status = "best" if one.candidate == front.winner else status
        rows.append(
            search_page.Row(
                number=str(one.number),
                name=one.candidate,
                status=status,
                cost=units.full_change("ratio", "", changes.get(ratio) or one.cost),
                change=units.full_change(info.kind, info.unit, changes.get(accuracy) or one.change),
                standing=_standing(front, one.candidate),
                seconds=f"{one.seconds:.0f} s",
                said=said,
                point=_point(standing, accuracy, str(one.number), front) if standing else None,
            )
        )
    return rows


def _point(standing: Standing, accuracy: str, label: str, front: Front) -> Mapping[str, Any] | None:
    """Return where a member is drawn, None where its accuracy has no interval."""
    level, cost = standing.member.run.accuracy.get(accuracy), standing.member.cost
    if not wording.bounded(level) or not wording.bounded(cost):
        return None
    name = standing.member.name
    baseline = name == front.place.baseline.id
    state = "baseline" if baseline else "regressed" if standing.dominated else "improved"
    if state == "improved" and standing.unclear:
        state = "inconclusive"
    shown = "{} ({})".format(*wording.level(accuracy, level))
    return {
        "variant": label, "number": label, "state": state,
        "x": cost.point, "x_low": cost.low, "x_high": cost.high,
        "y": 100 * level.point, "y_low": 100 * level.low, "y_high": 100 * level.high,
        "hover": f"{label} {name}: cost {units.full_change('ratio', '', cost)}, {accuracy} {shown}",
    }  # fmt: skip


def _show(searching: Searching, front: Front) -> None:
    info, metric = METRICS[searching.search.ratio], METRICS[searching.search.accuracy]
    searching.options.say(f"\n{front.place.title}: {_answer(searching, front)}")
    table = empty("attempt", "candidate", "status", info.title, f"{metric.title}, change", "standing", "took", "why")
    for row in _rows(searching, front):
        words = (row.number, row.name, row.status, row.cost, row.change, row.standing, row.seconds, row.said)
        table.add_row(*map(escape, words))
    show(table)


def _answer(searching: Searching, front: Front) -> str:
    """Return in one sentence what the search says of a place."""
    if not front.winner:
        return _missed(front).removeprefix(f"{front.place.title}: ")
    best = front.standings[front.winner]
    cost = units.full_change("ratio", "", best.member.cost)
    others = f"; it cannot be separated from {', '.join(best.unclear)}" if best.unclear else ""
    dear = "" if best.member.cost.high < 1 else ", which is not certainly less than the baseline's"
    return f"{front.winner} has the smallest {searching.search.minimise}, {cost} of the baseline's{dear}{others}"


def _page(searching: Searching, fronts: Sequence[Front], file: Path | None) -> search_page.Page:
    parts = []
    for front in fronts:
        rows = _rows(searching, front)
        head = front.standings.get(front.place.baseline.id)
        own = _point(head, searching.search.accuracy, "baseline", front) if head else None
        points = [row.point for row in rows if row.point is not None]
        parts.append(
            search_page.Part(
                front.place.title, _answer(searching, front), tuple(rows), tuple(filter(None, [own, *points]))
            )
        )
    run = next((run for front in fronts for run in front.runs.values()), None)
    return search_page.Page(
        title=searching.suite.title,
        cost=METRICS[searching.search.ratio].title,
        accuracy=METRICS[searching.search.accuracy].title,
        parts=tuple(parts),
        again=f"pytest {lab.shown(file)}" if file else "",
        synthetic=run is not None and _synthetic(searching, run),
        quick=searching.options.quick,
    )


def _synthetic(searching: Searching, run: Run) -> bool:
    campaign = next((one for one in searching.store.campaigns() if one.id == run.campaign), None)
    suites = campaign.suites.values() if campaign else ()
    return any(one.get("data", {}).get("synthetic") for one in suites)
