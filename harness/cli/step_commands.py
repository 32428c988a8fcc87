"""The command `edgeward step`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.settings import Settings, with_settings

if TYPE_CHECKING:
    from harness.model import StepCost


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.option("--device", metavar="ID", required=True, help="On which the models learn.")
@click.option("--variant", "variants", metavar="ID", multiple=True, help="Of this variant alone; repeatable.")
@click.option("--quick", is_flag=True, help="Half the launches, a tenth of their steps.")
@click.option("--stored", is_flag=True, help="Show what was measured before; nothing is measured.")
@with_settings
@click.pass_obj
def step(settings: Settings, suite: Path, device: str, variants: tuple[str, ...], quick: bool, stored: bool) -> None:
    """Measure what one step of training costs the models of SUITE on a device: [local_step] says what a step is.

    Time with its interval, peak memory, energy where there is a meter, and whether the weights end where the same steps
    on this host end. What was learnt is thrown away.
    """
    from harness import lab
    from harness.cli.fleet import one_device
    from harness.cli.suites import suite_file
    from harness.deploy import DeviceHandle, leased
    from harness.errors import HarnessError, MeasurementError
    from harness.measure import local_steps
    from harness.store import Place, Store, url_of

    read, chosen = lab.read_suite(suite_file(suite, settings)), one_device(settings, device)
    if stored:
        shown = [one for one in settings.open_store().step_costs(read.id) if one.device == chosen.id]
        show_steps([one for one in shown if not variants or one.variant in variants])
        return
    local_steps.asked_of(read)
    models = local_steps.chosen(read, variants)
    with DeviceHandle(chosen, click.echo) as handle, leased(handle):
        found = local_steps.measure(read, models, handle, quick=quick)
    folder = settings.folder()
    store = Store(url_of(folder, settings.store), place=Place.of(folder, [chosen]))
    costs, errors = [], []
    for one in found:
        if isinstance(one.result, HarnessError):
            errors.append(one.result)
            continue
        costs.append(one.result)
        store.add_step_cost(one.result)
    store.close()
    show_steps(costs)
    for error in errors:
        click.echo(f"left out: {error}", err=True)
    if errors and (variants or not costs):
        raise MeasurementError(f"{len(errors)} of {len(found)} models gave no number", remedy="see above")


def show_steps(costs: Sequence[StepCost]) -> None:
    """Print a row for each cost, and below what a step was."""
    from rich.markup import escape

    from harness.cli.tables import empty, show
    from harness.units import ABSENT, full_change, human, level, two_digits

    table = empty(
        "variant", "started", "step", "over the baseline's", "peak memory", "before the steps", "energy, gross",
        "loss", "from the host's weights", "validity",
    )  # fmt: skip
    said = []
    for one in costs:
        time = "{} ({})".format(*level("s", one.time_s))
        joules = one.energy_j
        energy = "{} ({})".format(*level("J", joules)) if joules else ABSENT
        table.add_row(
            escape(one.variant),
            f"{one.started_at:%Y-%m-%d %H:%M}",
            escape(time),
            escape(full_change("ratio", "", one.ratio)) if one.ratio else ABSENT,
            human(one.peak_bytes, "B"),
            human(one.loaded_bytes, "B"),
            escape(energy),
            f"{one.loss_before:.4f} to {one.loss_after:.4f}",
            f"{two_digits(one.apart)} of {one.asked.tolerance:g}",
            f"{one.validity.value}{' (quick)' if one.quick else ''}",
        )
        what = one.asked
        said.append(
            f"{one.variant}: {one.runtime} with {one.threads} threads, batch {what.batch}, {what.optimiser} at "
            f"{what.learning_rate:g}, layers {what.layers} ({one.weights} weights), {one.times.shape[0]} launches of "
            f"{one.times.shape[1]} steps"
            + "".join(f"; {reason}" for reason in one.reasons)
            + (f"; no energy: {one.energy_absent}" if one.energy_absent else "")
        )
    show(table)
    for line in said:
        click.echo(line)
