"""The command about agreement with the host: layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.settings import Settings, with_settings
from harness.errors import LabError

if TYPE_CHECKING:
    from harness.measure.layers import LayerComparison
    from harness.model import Case, Suite

#: How many layers before and after the one where the two begin to differ are shown.
_AROUND = 4


@click.command()
@click.argument("suite", type=click.Path(path_type=Path))
@click.argument("variant")
@click.option("--device", metavar="ID", required=True, help="The device that is compared with this host.")
@click.option("--runtime", metavar="REQUIREMENT", default="", help="Which of its runtimes, if it has several.")
@click.option(
    "--against", metavar="WHAT", default="", help="What the host runs: another runtime's version, or an .onnx file."
)
@click.option("--samples", metavar="N", default=4, show_default=True, help="How many images are run.")
@click.option("--tolerance", metavar="R", default=1e-3, show_default=True, help="Relative difference of a layer.")
@with_settings
@click.pass_obj
def layers(
    settings: Settings,
    suite: Path,
    variant: str,
    device: str,
    runtime: str,
    against: str,
    samples: int,
    tolerance: float,
) -> None:
    """Find the first layer in which VARIANT of SUITE, in ONNX, gives other numbers on a device than on this host."""
    from harness import lab
    from harness.cli.fleet import one_device
    from harness.cli.suites import suite_file
    from harness.deploy import DeviceHandle, leased
    from harness.measure.jobs import load_samples
    from harness.measure.layers import compare_layers

    chosen = one_device(settings, device)
    read = lab.read_suite(suite_file(suite, settings))
    case = _case(read, lab.cases(read, [chosen]), variant, runtime)
    whole = load_samples(read)
    few = replace(whole, images=whole.images[: max(1, samples)])
    other = Path(against) if against.endswith(".onnx") else against or case.runtime
    if isinstance(other, Path) and not other.is_file():
        raise LabError("there is no such file", remedy="correct --against", file=against)
    with DeviceHandle(chosen, click.echo) as handle, leased(handle):
        found = compare_layers(case, few, handle, against=other, tolerance=tolerance)
    show_layers(found)


def _case(suite: Suite, cases: list[Case], variant: str, runtime: str) -> Case:
    from harness.lab import shown
    from harness.registry import suggestion

    named = [case for case in cases if case.variant.id == variant and not case.variant.problem]
    if not named:
        hint = suggestion(variant, {case.variant.id for case in cases})
        raise LabError(f"no variant {variant!r} that can run", remedy=hint, file=shown(suite.file))
    in_onnx = [case for case in named if case.variant.format == "onnx"] or named
    fitting = [case for case in in_onnx if runtime in ("", case.runtime)]
    if not fitting:
        known = ", ".join(case.runtime for case in in_onnx)
        raise LabError(
            f"the device has no {runtime!r} for it, only {known}", remedy="correct --runtime", file=shown(suite.file)
        )
    return fitting[0]


def show_layers(found: LayerComparison) -> None:
    """Print where the two begin to differ, and the layers around it."""
    from rich.markup import escape

    from harness.cli.tables import empty, show
    from harness.units import two_digits

    total, worst = len(found.layers), max(found.layers, key=lambda layer: layer.relative)
    place = found.first
    if place is None:
        click.echo(
            f"No layer differs: of {total}, on {found.samples} images, the furthest is {worst.operator} {worst.name!r} "
            f"with a relative difference of {two_digits(worst.relative)} (tolerance {found.tolerance:g})."
        )
        place = found.layers.index(worst)
    else:
        first = found.layers[place]
        click.echo(
            f"They differ from layer {place + 1} of {total}, {first.operator} {first.name!r}: relative difference "
            f"{two_digits(first.relative)} on {found.samples} images (tolerance {found.tolerance:g})."
        )
    table = empty("layer", "operator", "tensor", "numbers", "largest difference", "relative")
    for i in range(max(0, place - _AROUND), min(total, place + _AROUND + 1)):
        one = found.layers[i]
        mark = " <-" if i == found.first else ""
        cells = (str(i + 1), one.operator, escape(one.name), str(one.size), two_digits(one.largest))
        table.add_row(*cells, f"{two_digits(one.relative)}{mark}")
    show(table)
    click.echo("Every layer was exposed, so none was fused with its neighbours as it is in a timed run.")
