"""`edgeward history`: each case in its last campaigns, for people in 100 columns and as plain values."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import click

from harness import registry
from harness.compare import CaseHistory, Point
from harness.errors import StoreError
from harness.model import Validity
from harness.store.audit import Entry
from harness.store.audit import document as audited
from harness.units import ABSENT, full_change, human
from harness.vocabulary import METRICS

_WIDTH: Final = 100
#: Between two columns, and before what is said of a line.
_GAP: Final = "  "
_INDENT: Final = 6 * " "
_MARKS: Final = {"improved": "+", "regressed": "-"}
_LEGEND: Final = (
    "- became worse, + became better, both beyond intervals and margin. A ratio of one night alone may be "
    "chance, so the next campaign confirms it. ~ was set up otherwise than in the campaign before."
)


def chosen(places: Collection[tuple[str, str]], device: str) -> list[tuple[str, str]]:
    """Return the places (suite and device) of one device, of all if it is "".

    Raises:
        StoreError: nothing was measured there.
    """
    found = [place for place in places if not device or place[1] == device]
    if not found:
        known = [name for _, name in places]
        raise StoreError(f"nothing was measured on a device {device!r}", remedy=registry.suggestion(device, known))
    return found


def show_audit(found: Sequence[Entry], *, as_json: bool) -> None:
    """Print who did what, where and when, the oldest first: a line each, or JSON for programs."""
    if as_json:
        click.echo(json.dumps([audited(one) for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        about = " ".join(word for word in (one.case or one.suite, one.address and f"at {one.address}") if word)
        more = ", ".join(word for word in (one.detail, one.lab and f"lab {one.lab}") if word)
        click.echo(
            f"{one.at:%Y-%m-%d %H:%M} UTC  {one.who}@{one.host} {one.kind} {about}{f' ({more})' if more else ''}"
        )


def show_histories(found: Sequence[CaseHistory]) -> None:
    """Print every case: a line a campaign, the oldest first, and below it what moved and what was set up otherwise."""
    for number, one in enumerate(found):
        if number:
            click.echo("")
        click.echo("\n".join(_lines(one)))
    click.echo(f"\n{textwrap.fill(_LEGEND, _WIDTH)}")


def _lines(one: CaseHistory) -> Iterator[str]:
    yield from textwrap.wrap(one.name, _WIDTH)
    titles = [METRICS[metric].title for metric in one.metrics]
    head = ["campaign", "", "latency ratio", "verdict", "outcome", *titles]
    rows = [_row(point, one.metrics) for point in one.points]
    # More accuracies than fit stand in a line of their own.
    fitting = 5 + sum(_width([head, *rows], upto) <= _WIDTH for upto in range(6, len(head) + 1))
    widths = [max(len(line[at]) for line in [head, *rows]) for at in range(fitting)]
    yield _joined(head, widths)
    for point, row in zip(one.points, rows, strict=True):
        yield _joined(row, widths)
        beyond = [f"{title} {text}" for title, text in zip(head[fitting:], row[fitting:], strict=True)]
        said = [", ".join(beyond)] if beyond else []
        said += [f"{_MARKS.get(move.verdict, '!')} {move.sentence}." for move in point.moves]
        said += [f"~ {cause.sentence}" for cause in point.changed]
        for text in said:
            yield from textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=f"{_INDENT}  ")


def _width(rows: Sequence[Sequence[str]], upto: int) -> int:
    widths = [max(len(line[at]) for line in rows) for at in range(upto)]
    return len(_GAP) + sum(widths) + len(_GAP) * (upto - 1)


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    return (_GAP + _GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=False))).rstrip()


def _row(point: Point, metrics: Sequence[str]) -> list[str]:
    run = point.run
    # The numbers of an invalid run are not numbers.
    usable = run is not None and run.validity is not Validity.INVALID
    ratio = full_change("ratio", "", point.ratio.change) if usable and point.ratio else ABSENT
    verdict = str(point.ratio.verdict) if usable and point.ratio else ""
    if run is not None and run.is_baseline:
        ratio, verdict = "baseline", ""
    if run is not None and not usable:
        verdict = "(invalid)"
    elif verdict and point.ratio and point.ratio.validity is not Validity.VALID:
        # Of the comparison, by its control: that a run's times are degraded does not touch its ratio.
        verdict += f" ({point.ratio.validity})"
    levels = [run.accuracy.get(metric) if run is not None and usable else None for metric in metrics]
    shown = [human(one.point, METRICS[name].unit) if one else ABSENT for name, one in zip(metrics, levels, strict=True)]
    quick = " quick" if point.campaign.quick else ""
    return [f"{point.at:%Y-%m-%d %H:%M}", f"{point.campaign.id[:8]}{quick}", ratio, verdict, point.status, *shown]


def document(found: Sequence[CaseHistory]) -> dict[str, Any]:
    """Return everything as plain values, in the order in which people read it."""
    return {"schema": 1, "cases": [_case(one) for one in found]}


def _case(one: CaseHistory) -> dict[str, Any]:
    place = {"suite": one.place[0], "device": one.place[1], "variant": one.variant, "runtime": one.runtime}
    return {"case": one.case, **place, "margin": one.margin, "points": [_values(p, one.metrics) for p in one.points]}


def _values(point: Point, metrics: Sequence[str]) -> dict[str, Any]:
    from harness.store.export import interval, moment

    run, change = point.run, point.ratio.change if point.ratio else None
    accuracies = {name: interval(run.accuracy[name]) for name in metrics if name in run.accuracy} if run else {}
    return {
        "campaign": point.campaign.id,
        "started_at": moment(point.at),
        "quick": point.campaign.quick,
        "run": run.id if run else None,
        "is_baseline": bool(run and run.is_baseline),
        "validity": run.validity.value if run else None,
        "comparison_validity": point.ratio.validity.value if point.ratio else None,
        "outcome": point.status,
        "latency_ratio": interval(change) if change else None,
        "verdict": point.ratio.verdict.value if point.ratio else None,
        "accuracy": accuracies,
        "moves": [
            {
                "metric": move.metric,
                "verdict": move.verdict.value,
                "standing": move.standing,
                "change": interval(move.change) if move.change else None,
                "sentence": move.sentence,
            }
            for move in point.moves
        ],
        "changed": [{"topic": cause.topic, "sentence": cause.sentence} for cause in point.changed],
    }
