"""`edgeward store`: is it whole, and what waits to be added to it."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.settings import Settings, with_settings


@click.group("store")
@with_settings
def store_group() -> None:
    """Look after the results: is every row readable, and add what another file holds."""


@store_group.command("check")
@with_settings
@click.pass_obj
def check(settings: Settings) -> None:
    """Read all of the store and say what is damaged, missing or waiting; ends with 1 where something is."""
    from harness.store import waiting
    from harness.store.checking import faults
    from harness.units import counted

    store = settings.open_store()
    found = list(faults(store))
    found += [f"results wait in {file}: `edgeward store import {file}` adds them" for file in waiting(store)]
    for line in found:
        click.echo(line)
    click.echo(f"{counted(len(store.campaigns()), 'campaign')}, {counted(len(found), 'fault')}")
    if found:
        raise click.exceptions.Exit(1)


@store_group.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@with_settings
@click.pass_obj
def take_in(settings: Settings, file: Path) -> None:
    """Add to the store what FILE holds: results that could not be written, or the store of another host.

    A file in which a campaign left what the store did not take is removed then.
    """
    from harness.errors import StoreError
    from harness.store import Store, url_of, waiting
    from harness.store.importing import take_in as add
    from harness.units import counted

    if not file.is_file():
        raise StoreError(f"there is no file {file}", remedy="correct its path")
    source = Store(f"sqlite:///{file}", existing=True)
    target = Store(url_of(settings.folder(), settings.store))
    added = add(target, source)
    source.close()
    left = file.absolute() in [one.absolute() for one in waiting(target)]
    if left:
        file.unlink()
    said = f"{counted(added.runs, 'run')} added, of {counted(added.campaigns, 'new campaign')}"
    click.echo(f"{said}{f'; {file} is removed' if left else ''}")
