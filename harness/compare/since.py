"""What one campaign shows against the campaigns before it: outcomes, moves, cases that came or went, other set-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from harness.compare.history import CONFIRMED, RATIO, UNSEEN, CaseHistory, Move, judged
from harness.model import sentence
from harness.units import counted

_BROKEN: Final = ("failed", "error")


@dataclass(frozen=True, slots=True)
class Since:
    """What one campaign shows against the last campaigns before it of the same suites and devices.

    Attributes:
        earlier: when those began that the cases are held against, the oldest first.
        outcomes: cases that ended otherwise: the case, before, after and the reason; those that broke come first.
        moves: cases and what of them moved.
        settled: cases whose move in the campaign before was confirmed, or not seen again.
        new, gone: cases that no earlier campaign had, and those that only the one before had.
        changed: what was set up otherwise, each sentence with the cases that it is of; none where it is of all.
    """

    earlier: tuple[datetime, ...]
    outcomes: tuple[tuple[str, str, str, str], ...]
    moves: tuple[tuple[str, Move], ...]
    settled: tuple[tuple[str, Move], ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def nothing(self) -> bool:
        """True if nothing changed."""
        return not (self.outcomes or self.moves or self.settled or self.new or self.gone or self.changed)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        first, last = (f"{at:%Y-%m-%d %H:%M} UTC" for at in (self.earlier[0], self.earlier[-1]))
        when = f"Since the campaign of {last}" if first == last else f"Since the campaigns of {first} to {last}"
        if self.nothing:
            return (
                f"{when} no outcome changed, no ratio or accuracy moved beyond intervals and margins, and nothing that "
                "is recorded was set up otherwise."
            )
        broke = sum(after in _BROKEN for _, _, after, _ in self.outcomes)
        parts = [
            f"{counted(len(self.outcomes), 'outcome')} changed ({broke} to failed or error)" if self.outcomes else "",
            f"{counted(len(self.moves), 'number')} moved" if self.moves else "",
            f"{counted(len(self.settled), 'earlier move')} looked for again" if self.settled else "",
            f"{counted(len(self.new), 'case')} new" if self.new else "",
            f"{counted(len(self.gone), 'case')} not measured again" if self.gone else "",
            f"{counted(len(self.changed), 'thing')} set up otherwise" if self.changed else "",
        ]
        return f"{when}: {', '.join(filter(None, parts))}."


def since(found: Sequence[CaseHistory], campaign: str) -> Since | None:
    """Return what changed with a campaign, None where no campaign before it had the same suites on the same devices.

    Args:
        found: the cases, up to this campaign.
        campaign: its id.
    """
    here = [one for one in found if one.points[-1].campaign.id == campaign]
    places = {one.place for one in here}
    ended: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
    for one in found:
        for point in one.points:
            if one.place in places and point.campaign.id != campaign:
                ended.setdefault(one.place, []).append((point.at, point.campaign.id))
    if not ended:
        return None
    newest = {place: max(others)[1] for place, others in ended.items()}
    known = [one for one in here if len(one.points) > 1]
    pairs = [(one, one.points[-2], one.points[-1]) for one in known]
    broken = sorted(
        (
            (one.name, before.status, after.status, sentence(after.outcome.reasons) if after.outcome else "")
            for one, before, after in pairs
            if before.status != after.status
        ),
        key=lambda line: line[2] not in _BROKEN,
    )
    moves = tuple((one.name, move) for one, _, after in pairs for move in after.moves)
    settled = tuple(
        (one.name, move)
        for one, _, after in pairs
        if judged(after) is not None
        # Campaigns in between that could not show it left it open.
        for last in [next((point for point in reversed(one.points[:-1]) if judged(point)), None)]
        for move in (last.moves if last else ())
        if move.metric == RATIO and move.standing in (CONFIRMED, UNSEEN)
    )
    new = tuple(one.name for one in here if len(one.points) == 1 and one.place in ended)
    gone = tuple(
        one.name
        for one in found
        if one.place in places and one.points[-1].campaign.id == newest.get(one.place) != campaign
    )
    earlier = sorted({before.at for _, before, _ in pairs} or {max(others)[0] for others in ended.values()})
    return Since(tuple(earlier), tuple(broken), moves, settled, new, gone, tuple(_shared(known)))


def _shared(known: Sequence[CaseHistory]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each thing that was set up otherwise once, with the cases that it is of where it is not of all."""
    of: dict[str, list[str]] = {}
    for one in known:
        for cause in one.points[-1].changed:
            of.setdefault(cause.sentence, []).append(one.name)
    measured = sum(one.points[-1].run is not None for one in known)
    for text, names in of.items():
        yield text, () if len(names) == measured else tuple(names)
