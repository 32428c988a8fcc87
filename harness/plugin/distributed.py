"""Suites beside pytest-xdist: the controller measures, its workers run the ordinary tests.

One process measures, so that there is one campaign, one report and one measurer of each device, whatever `-n` and
`--dist` say: devices go side by side anyway. xdist's controller collects nothing, so the suites are collected here.
A worker is given the same command line and collects them, too, for one that is named must be found; then it drops them.
xdist itself is never imported.
"""

from __future__ import annotations

import pytest


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process is one of xdist's workers."""
    return hasattr(config, "workerinput")


def is_controller(config: pytest.Config) -> bool:
    """Return whether the tests of this session are run by workers of xdist."""
    return config.pluginmanager.hasplugin("dsession")


def collect_suites(session: pytest.Session) -> None:
    """Collect what the command line names, as far as it may hold suites: folders and TOML files."""
    here = session.config.invocation_params.dir
    paths = [(argument, here / argument.split("::")[0]) for argument in session.config.args]
    chosen = [argument for argument, path in paths if path.is_dir() or path.suffix == ".toml"]
    if chosen:
        session.perform_collect(chosen)
