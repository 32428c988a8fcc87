"""JSON Schema of the two TOML files, with what the installed plug-ins add, so that editors complete and check them."""

from __future__ import annotations

from typing import Any, Literal

from harness import registry
from harness.lab.tables import DeviceTable, SuiteTable
from harness.vocabulary import METRICS

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


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
    properties["runner"]["enum"] = registry.names("runners")
    properties["runtimes"]["items"]["examples"] = [f"{name}==VERSION" for name in sorted(registry.runtimes())]
    for name in registry.names("transports"):
        own = _options("transports", name)
        if own["properties"]:
            own["description"] = f"`[{name}]`: settings of {name} addresses."
            properties[name] = own
    for name in registry.names("runners"):
        own = _options("runners", name)
        if own["properties"]:
            own["description"] = f"`[{name}]`: settings of the {name} runner."
            properties[name] = own
    meters = sorted({*registry.names("meters"), *registry.names("agent.meters")})
    result["$defs"]["MeterTable"]["properties"]["kind"]["enum"] = meters


def _complete_suite(result: dict[str, Any]) -> None:
    tables = result["$defs"]
    tables["TaskTable"]["properties"]["kind"]["enum"] = registry.names("metrics")
    tables["LoadTable"]["properties"]["accelerator"]["enum"] = ["", *registry.accelerators()]
    recipes = registry.names("recipes")
    tables["VariantTable"]["properties"]["recipe"]["anyOf"][0]["enum"] = recipes
    tables["VariantTable"]["allOf"] = [
        True,  # the list may not be empty
        *(_when("recipe", name, {"parameters": _options("recipes", name)}) for name in recipes),
    ]
    data = tables["DataTable"]
    sources = registry.names("data")
    data["properties"]["source"]["enum"] = sources
    shared: dict[str, Any] = {name: {} for name in data["properties"]}
    data["allOf"] = []
    for name in sources:
        own = _options("data", name)
        own["properties"] = {**shared, **own["properties"]}
        data["allOf"].append({"if": {"properties": {"source": {"const": name}}}, "then": own})
    line = result["properties"]["accept"].pop("additionalProperties")
    result["properties"]["accept"]["additionalProperties"] = False
    result["properties"]["accept"]["properties"] = {
        name: {**line, "description": _rules(name), "propertyNames": {"enum": list(METRICS[name].rules)}}
        for name in METRICS
    }


def _rules(metric: str) -> str:
    info = METRICS[metric]
    return f"{info.title}; takes {' or '.join(info.rules)}."


def _when(key: str, value: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "if": {"properties": {key: {"const": value}}, "required": [key]},
        "then": {"properties": properties},
    }


def _options(room: str, name: str) -> dict[str, Any]:
    """Return the schema of a plug-in's `Options`; one without takes no key."""
    from pydantic import TypeAdapter

    kind = getattr(registry.load(room, name, file="edgeward schema", key=room), "Options", None)
    own = TypeAdapter(kind).json_schema() if kind is not None else {"type": "object", "properties": {}}
    return {**own, "properties": own.get("properties", {}), "additionalProperties": False}
