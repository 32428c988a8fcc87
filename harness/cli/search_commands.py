"""The command `edgeward search`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.settings import Settings, with_settings


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--device", "selectors", metavar="ID", multiple=True, required=True, help="As for pytest; repeatable.")
@click.option(
    "--trials", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True,
    help="Candidates that are tried on each device with each of its runtimes.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Cut durations to a tenth.")
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Of proposals.")
@click.option("--full", is_flag=True, help="Measure every candidate in full: no race, nothing drops out.")
@with_settings
@click.pass_obj
def search(
    settings: Settings, suite: Path, selectors: tuple[str, ...], trials: int, quick: bool, seed: int, full: bool
) -> None:
    """Find the cheapest variant of SUITE that keeps its [accept], on each device: [goal] and [[space]] say among what.

    Every attempt is kept the moment it is known, however this ends: the same command goes on from there.
    """
    from harness import lab
    from harness.cli.search_places import Options
    from harness.cli.search_results import conclude
    from harness.cli.searching import Searching
    from harness.cli.suites import suite_file
    from harness.store import Place, Store, url_of

    folder = settings.folder()
    devices = lab.select(folder, selectors)
    store = Store(url_of(folder, settings.store), place=Place.of(folder, devices))
    options = Options(trials=trials, say=click.echo, quick=quick, seed=seed, full=full)
    try:
        searching = Searching(suite_file(suite, settings), devices, store, folder / "reports", options)
        searching.run()
        conclude(searching, folder / "reports")
    except KeyboardInterrupt:
        click.echo("stopped: every attempt that ended is kept, and the same command goes on from there")
        raise
    finally:
        store.close()
