"""The commands about a lab: init, nightly, inspect, devices, check, build, schema."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.settings import Settings, with_settings


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Copy this model into the lab and declare it.")
@click.option("--data", type=click.Path(path_type=Path), help="Its labelled images, an .npz file or a folder.")
@click.option("--positive", metavar="CLASS", default="", help="The class that sensitivity speaks of.")
@with_settings
def init(folder: Path, model: Path | None, data: Path | None, positive: str) -> None:
    """Make a lab in DIR: one device (this machine) and one suite, to edit or of --model and --data."""
    from harness.cli.scaffolding import lay_out

    for line in lay_out(folder, model=model, data=data, positive=positive):
        click.echo(line)


@click.command()
@click.argument("kind", type=click.Choice(["github", "gitlab", "systemd"]))
@with_settings
@click.pass_obj
def nightly(settings: Settings, kind: str) -> None:
    """Write into the lab what measures it every night: a script, and what starts it on GitHub, GitLab or by systemd."""
    from harness.cli.nightly import lay_out

    for line in lay_out(settings.folder(), kind):
        click.echo(line)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--data", metavar="FILE", type=click.Path(path_type=Path), help="Labelled images to hold it against.")
@click.option(
    "--runtime",
    "runtimes",
    metavar="NAME==VERSION",
    multiple=True,
    help="Ask it whether it loads the model; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@with_settings
def inspect(model: Path, data: Path | None, runtimes: tuple[str, ...], as_json: bool) -> None:
    """Say what MODEL, an .onnx, .tflite or .pte file, takes and gives, and the TOML that declares it."""
    from harness.cli.inspecting import inspect as show

    show(model, data, runtimes, as_json=as_json)


@click.command()
@with_settings
@click.pass_obj
def devices(settings: Settings) -> None:
    """List the devices: which can be reached, and when each was last measured."""
    from harness.cli.fleet import overview

    overview(settings)


@click.command()
@click.argument("device")
@click.option("--energy", is_flag=True, help="Play a known load for 21 s and say what the meter makes of it.")
@with_settings
@click.pass_obj
def check(settings: Settings, device: str, energy: bool) -> None:
    """Say what can be measured on DEVICE, what cannot, and what to do about it."""
    from harness.cli.fleet import calibrate, examine

    (calibrate if energy else examine)(settings, device)


@click.command()
@click.argument("device")
@click.option("--unused-days", metavar="N", default=30, show_default=True, help="Keep what was used since.")
@click.option("--all", "everything", is_flag=True, help="Keep nothing; the next campaign brings it again.")
@with_settings
@click.pass_obj
def clean(settings: Settings, device: str, unused_days: int, everything: bool) -> None:
    """Remove from DEVICE the agents, runtimes, models and images that nobody used lately."""
    from harness.cli.fleet import one_device
    from harness.deploy import DeviceHandle, leased
    from harness.deploy.cleanup import clean as clean_up
    from harness.units import human

    with DeviceHandle(one_device(settings, device), click.echo) as handle, leased(handle):
        freed = clean_up(handle, unused_days=0 if everything else unused_days)
    click.echo(f"{len(freed.entries)} entries removed, {human(freed.size_bytes, 'B')} freed")


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Build again what is up to date.")
@click.option("--only", metavar="ID", multiple=True, help="Build this variant alone; may be repeated.")
@with_settings
@click.pass_obj
def build(settings: Settings, suite: Path, force: bool, only: tuple[str, ...]) -> None:
    """Build the variants of SUITE (a file, or its name in this lab) from its baseline.

    What is finished is kept, however this ends: the same command goes on from there.
    """
    from harness.cli.building import build as build_shown
    from harness.cli.suites import suite_file

    build_shown(suite_file(suite, settings), force=force, only=only)


@click.command()
@click.argument("kind", type=click.Choice(["device", "suite"]))
@with_settings
def schema(kind: str) -> None:
    """Print the JSON Schema of devices/*.toml or suites/*.toml, for editors."""
    import json

    from harness import lab

    click.echo(json.dumps(lab.schema("device" if kind == "device" else "suite"), indent=2, ensure_ascii=False))
