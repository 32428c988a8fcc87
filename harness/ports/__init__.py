"""What each plug-in room promises, one file a room. A plug-in is one module, a file or a folder, named as in TOML.

A module of a room defines everything in its Protocol at module level; an attribute that has a value here may be left
out. `Options` is a frozen dataclass whose fields are the keys that the plug-in accepts in TOML, each with a default;
`harness.registry.options` checks them. Every room stands in `ROOMS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from harness.ports.data import DataSource
from harness.ports.leases import Lease
from harness.ports.meters import Meter
from harness.ports.metrics import Metric
from harness.ports.recipes import Recipe
from harness.ports.recoveries import Recovery
from harness.ports.runners import Runner
from harness.ports.runtimes import Runtime
from harness.ports.sections import Section
from harness.ports.transports import Transport


@dataclass(frozen=True, slots=True)
class Room:
    """One plug-in room.

    Attributes:
        protocol: what every plug-in in it promises.
        toml: how TOML selects one, {name} being its name; "" where nothing does.
    """

    protocol: type
    toml: str = ""


#: Name (a folder of harness/, dotted for a folder within a folder) -> room; entry points are in the group harness.NAME.
ROOMS: Final[Mapping[str, Room]] = {
    "transports": Room(Transport, 'address = "{name}:'),
    "runners": Room(Runner, 'runner = "{name}"'),
    "leases": Room(Lease, 'lease = "{name}"'),
    "recoveries": Room(Recovery, "[recover]\n{name} ="),
    "agent.runtimes": Room(Runtime, 'runtimes = ["{requirement}=='),
    "agent.meters": Room(Meter, 'kind = "{name}"'),
    "meters": Room(Meter, 'kind = "{name}"'),
    "data": Room(DataSource, 'source = "{name}"'),
    "metrics": Room(Metric, 'kind = "{name}"'),
    "recipes": Room(Recipe, 'recipe = "{name}"'),
    "page.sections": Room(Section),
}
