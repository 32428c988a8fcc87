"""The command `edgeward`. Nothing heavy is imported before a command that needs it runs: `--help` is instant."""

from __future__ import annotations

import os
import sys

import click

from harness import __version__, redaction
from harness.cli.agreement_commands import layers
from harness.cli.evidence_commands import evidence, verify
from harness.cli.lab_commands import build, check, clean, devices, init, inspect, nightly, schema
from harness.cli.result_commands import certify, compare, export, folds, history, report, table, watch
from harness.cli.runner_commands import build_runner
from harness.cli.search_commands import search
from harness.cli.settings import Commands, Settings, with_settings
from harness.cli.step_commands import step
from harness.cli.store_commands import store_group
from harness.cli.virtual_lab import lab_group


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="edgeward")
@with_settings
def cli() -> None:
    """Measure model variants on real devices, each against its baseline.

    Measuring itself is done by pytest: `pytest suites --device ID`.
    """


for _command in (
    init,
    nightly,
    inspect,
    devices,
    check,
    clean,
    build,
    build_runner,
    search,
    layers,
    step,
    report,
    compare,
    certify,
    folds,
    history,
    watch,
    table,
    export,
    evidence,
    verify,
    schema,
    store_group,
    lab_group,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line."""
    redaction.learn(sys.argv[1:])
    redaction.learn_environment(os.environ)
    redaction.guard_logging()
    cli(prog_name="edgeward", obj=Settings())
