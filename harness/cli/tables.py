"""Runs and comparisons as tables in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.compare import CampaignChange
from harness.model import Circumstance, Comparison, Estimate, Run, Verdict, sentence
from harness.stats import statistic
from harness.units import full_change, human, times
from harness.vocabulary import METRICS

_COLOURS = {Verdict.IMPROVED: "green", Verdict.REGRESSED: "red", Verdict.WORSE: "yellow"}


def show(table: Table) -> None:
    """Print a table; piped, it is not folded to 80 columns, since programs read one line a row."""
    console = Console()
    (console if console.is_terminal else Console(width=240)).print(table)


def empty(*titles: str) -> Table:
    """Return a table with these columns and no row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def comparison_table(baseline: Run, run: Run, comparisons: Sequence[Comparison]) -> Table:
    """Return one row a metric: both numbers, the change with its interval, the verdict and why.

    What is said of every change stands once, below the table.

    Args:
        baseline: the run of the baseline.
        run: the run that was compared with it.
        comparisons: what changed.
    """
    shared, without = _shared([one for one in comparisons if one.change is not None])
    table = empty("metric", named(baseline), named(run), "change", "verdict", "reason")
    for one in comparisons:
        info = METRICS[one.metric]
        source = _behind(one.metric)
        colour = _COLOURS.get(one.verdict, "default")
        table.add_row(
            info.title,
            quantity(baseline, source),
            quantity(run, source),
            change(one.change, one.metric),
            f"[{colour}]{one.verdict.value}[/]",
            escape(sentence((*one.reasons, *(around for around in one.circumstances if around not in shared)))),
        )
    of_what = f"every change but {' and '.join(without)}" if without else "every change"
    lines = [f"{of_what}: {sentence(shared)}"] if shared else []
    lines += list(dict.fromkeys(_control(one) for one in comparisons if one.control is not None))
    table.caption = escape("\n".join(lines)) if lines else None
    table.caption_justify = "left"
    return table


def campaign_table(found: CampaignChange) -> Table:
    """Return one row a metric of two campaigns: both numbers, the change with its interval, the verdict and how."""
    table = empty("metric", "before", "after", "change", "verdict", "how it was found")
    for one in found.changes:
        colour = _COLOURS.get(one.verdict, "default")
        spell = times if one.relative else (lambda value, unit=METRICS[one.metric].unit: human(value, unit))
        table.add_row(
            one.title,
            spell(one.before),
            spell(one.after),
            change(one.change, one.metric),
            f"[{colour}]{one.verdict.value}[/]",
            escape(one.how),
        )
    return table


def _shared(changes: Sequence[Comparison]) -> tuple[tuple[Circumstance, ...], list[str]]:
    """Return the circumstances that most changes have in common, and the titles of those that lack one of them."""
    count = Counter(around for one in changes for around in one.circumstances)
    shared = tuple(around for around, times_said in count.items() if times_said > 1 and 2 * times_said > len(changes))
    lacking = [METRICS[one.metric].title for one in changes if not set(shared) <= set(one.circumstances)]
    return shared, lacking if shared else []


def _control(one: Comparison) -> str:
    said = full_change("ratio", "", one.control)
    return f"the control, the baseline's own file, against the baseline: {said}, comparison {one.validity.value}"


def _behind(metric: str) -> str:
    """Return whose numbers to show beside a change: for a ratio the cost it is made of, else the metric itself."""
    info = METRICS[metric]
    if info.kind != "ratio":
        return metric
    costs = [name for name, cost in METRICS.items() if cost.kind == "cost" and cost.measurement == info.measurement]
    return costs[0]


def named(run: Run) -> str:
    """Return a run as it is named above its column."""
    return escape(f"{run.case.variant}@{run.case.device} {run.id[:8]}")


def quantity(run: Run, metric: str) -> str:
    """Return one number of a run as people read it."""
    value, unit, _ = statistic(run, metric)
    return human(value, unit)


def change(estimate: Estimate | None, metric: str) -> str:
    """Return a change with its interval: a ratio, points for shares, plain numbers otherwise."""
    return full_change(METRICS[metric].kind, METRICS[metric].unit, estimate)
