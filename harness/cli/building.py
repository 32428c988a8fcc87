"""What `edgeward build` shows: a bar of steps below the lines on a screen, the lines alone in a log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.variants.build import build_suite
from harness.variants.chains import Watcher


def build(suite_file: Path, *, force: bool, only: Sequence[str], console: Console | None = None) -> None:
    """Build the variants of a suite, and show how far that has come.

    Args:
        suite_file: the suite's TOML.
        force: build also what is up to date.
        only: ids of the variants to build; empty for all.
        console: where it is shown; the standard output unless one is given.
    """
    with _shown(console or Console(file=sys.stdout)) as watcher:
        try:
            made = build_suite(suite_file, force=force, only=only, watcher=watcher)
        except KeyboardInterrupt:
            watcher.say("stopped: the finished steps are kept, and the same command goes on from there")
            raise
    click.echo(f"{len(made)} built" if made else "nothing to build: every variant is up to date")


@contextmanager
def _shown(console: Console) -> Iterator[Watcher]:
    """Give what shows the steps, and let training report its epochs: minutes of silence would look like a hang."""
    columns = (TextColumn("building"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("building", total=None, visible=False)

        def say(text: str) -> None:
            console.print(text, markup=False, highlight=False, soft_wrap=True)

        def count(done: int, planned: int) -> None:
            bar.update(task, completed=done, total=planned, visible=True)

        with _logged(say):
            yield Watcher(say, count)


class _Said(logging.Handler):
    """Says what is logged, a line each."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Say one record."""
        self._say(record.getMessage())


@contextmanager
def _logged(say: Callable[[str], None]) -> Iterator[None]:
    """Show what recipes log, beside the bar and not through it."""
    handler, everything, recipes = _Said(say), logging.getLogger(), logging.getLogger("harness.recipes")
    before = recipes.level
    everything.addHandler(handler)
    recipes.setLevel(logging.INFO)
    try:
        yield
    finally:
        everything.removeHandler(handler)
        recipes.setLevel(before)
