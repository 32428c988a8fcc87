"""The only reader of devices/ and suites/: TOML -> nouns, every error naming file and key."""

from harness.lab.devices import read_device, read_devices, runtimes, select
from harness.lab.fitting import differently, fit, input_of
from harness.lab.models import brought, measured
from harness.lab.reading import find, shown
from harness.lab.schema import schema
from harness.lab.selection import cases, missing_runtime
from harness.lab.splits import read_split
from harness.lab.suites import read_search, read_suite, suite_files

__all__ = [
    "brought",
    "cases",
    "differently",
    "find",
    "fit",
    "input_of",
    "measured",
    "missing_runtime",
    "read_device",
    "read_devices",
    "read_search",
    "read_split",
    "read_suite",
    "runtimes",
    "schema",
    "select",
    "shown",
    "suite_files",
]
