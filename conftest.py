"""Loads the harness from this checkout, whether or not it is installed."""

pytest_plugins = ["harness.plugin"]
