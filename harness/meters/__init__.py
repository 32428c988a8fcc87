"""Meters that the host reads: a file here is a meter, its name is the `kind` of `[meter]`.

They are made like those of harness/agent/meters/, which the host reads too where the device's file says
`side = "host"` (a sensor of this host in the device's supply, a program that prints watts). A meter whose file says
`UNTESTED` never saw its hardware here, and the report says so. Their libraries are in the extra `meters`.
"""

from __future__ import annotations


def missing(package: str) -> ValueError:
    """Return the error for a library that is not installed."""
    return ValueError(f"{package} is not installed on this host; pip install 'edgeward[meters]'")
