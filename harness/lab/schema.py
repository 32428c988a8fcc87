"""JSON Schema of the two TOML files, with what the installed plug-ins add, so that editors complete and check them."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from harness import registry
from harness.lab.device_table import DeviceTable
from harness.lab.devices import examples
from harness.lab.tables import SuiteTable
from harness.vocabulary import METRICS

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
#: Who asks for a plug-in here, for the error of one that cannot be loaded.
_ASKS: Final = "edgeward schema"


def schema(kind: Literal["device", "suite"]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of devices/*.toml or suites/*.toml."""
    table = DeviceTable if kind == "device" else SuiteTable
    result = {"$schema": _DIALECT, **table.model_json_schema(), "title": f"edgeward {kind}"}
    if kind == "device":
        _complete_device(result)
    else:
        _complete_suite(result)
    return result


def _complete_device(result: dict[str, Any]) -> None:
    properties = result["properties"]
    addresses = examples(file=_ASKS)
    schemes = "|".join(re.escape(name) for name in registry.names("transports"))
    properties["address"].update(
        description=f"Where it is, such as {' or '.join(addresses)}; never a password.",
        examples=addresses,
        pattern=f"^({schemes}):",
    )
    properties["runtimes"]["items"]["examples"] = [f"{name}==VERSION" for name in sorted(registry.runtimes())]
    for key, room in (("runner", "runners"), ("lease", "leases")):
        properties[key]["enum"] = registry.names(room)
        _own_tables(properties, room, f"settings of the {key} {{name}}")
    _own_tables(properties, "transports", "settings of {name} addresses")
    _complete_meter(result["$defs"]["MeterTable"])
    _complete_recover(result["$defs"]["RecoverTable"])


def _own_tables(properties: dict[str, Any], room: str, what: str) -> None:
    """Add the table `[NAME]` of each plug-in of a room that takes settings."""
    for name in registry.names(room):
        own = _options(room, name)
        if own["properties"]:
            properties[name] = {**own, "description": f"`[{name}]`: {what.format(name=name)}."}


def _complete_meter(table: dict[str, Any]) -> None:
    """Let each kind of meter take its own keys beside those of every meter; who may read it is the room's to say."""
    by_host, by_device = registry.names("meters"), registry.names("agent.meters")
    table["properties"]["kind"]["enum"] = sorted({*by_host, *by_device})
    table["allOf"] = []
    for name in table["properties"]["kind"]["enum"]:
        sides = ["host", *(["device"] if name in by_device else [])]
        own = _options("agent.meters" if name in by_device else "meters", name)
        shared = {"kind": {}, "side": {"enum": sides}}
        own["properties"] = {**shared, **own["properties"]}
        table["allOf"].append(_then({"kind": name}, own))
    table.pop("additionalProperties", None)


def _complete_recover(table: dict[str, Any]) -> None:
    """Let the table name one way to reset a device: by a table of its own, or by the one value that it takes."""
    ways = registry.names("recoveries")
    for name in ways:
        own = _options("recoveries", name)
        table["properties"][name] = own["properties"].get(name, own)
    table["oneOf"] = [{"required": [name]} for name in ways]
    table["additionalProperties"] = False


def _complete_suite(result: dict[str, Any]) -> None:
    tables = result["$defs"]
    tables["TaskTable"]["properties"]["kind"]["enum"] = registry.names("metrics")
    tables["LoadTable"]["properties"]["accelerator"]["enum"] = ["", *registry.accelerators()]
    _complete_variant(tables["VariantTable"])
    _complete_recipe(tables["SpaceTable"])
    data = tables["DataTable"]
    sources = registry.names("data")
    data["properties"]["source"]["enum"] = sources
    shared: dict[str, Any] = {name: {} for name in data["properties"]}
    data["allOf"] = []
    for name in sources:
        own = _options("data", name)
        own["properties"] = {**shared, **own["properties"]}
        data["allOf"].append(_then({"source": name}, own))
    line = result["properties"]["accept"].pop("additionalProperties")
    result["properties"]["accept"]["additionalProperties"] = False
    result["properties"]["accept"]["properties"] = {
        name: {**line, "description": _rules(name), "propertyNames": {"enum": list(METRICS[name].rules)}}
        for name in METRICS
    }


def _complete_variant(table: dict[str, Any]) -> None:
    """Let one recipe take its own parameters, and a chain a list of such tables."""
    recipes = _complete_recipe(table)
    own = {name: _options("recipes", name) for name in recipes}
    table["properties"]["parameters"]["anyOf"][1]["items"] = {"anyOf": list(own.values())} if own else {}
    table["allOf"] = [
        True,  # the list may not be empty
        *(_then({"recipe": name}, {"properties": {"parameters": own[name]}}) for name in recipes),
    ]
    table["if"] = {"properties": {"recipe": {"type": "array"}}, "required": ["recipe"]}
    table["then"] = {"properties": {"parameters": {"type": "array"}}}


def _complete_recipe(table: dict[str, Any]) -> list[str]:
    """Let `recipe` be one that there is, or a list of such, and return their names."""
    recipes = registry.names("recipes")
    one, chain = table["properties"]["recipe"]["anyOf"][:2]
    one["enum"], chain["items"]["enum"], chain["minItems"] = recipes, recipes, 1
    return recipes


def _rules(metric: str) -> str:
    info = METRICS[metric]
    return f"{info.title}; takes {' or '.join(info.rules)}."


def _then(chosen: dict[str, str], schema: dict[str, Any]) -> dict[str, Any]:
    """Return what holds where the keys of `chosen` have those values."""
    values = {key: {"const": value} for key, value in chosen.items()}
    return {"if": {"properties": values, "required": list(chosen)}, "then": schema}


def _options(room: str, name: str) -> dict[str, Any]:
    """Return the schema of a plug-in's `Options`; one without takes no key."""
    from pydantic import TypeAdapter

    kind = getattr(registry.load(room, name, file=_ASKS, key=room), "Options", None)
    own = TypeAdapter(kind).json_schema() if kind is not None else {"type": "object", "properties": {}}
    return {**own, "properties": own.get("properties", {}), "additionalProperties": False}
