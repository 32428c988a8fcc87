"""The schema that editors check the lab's files with says what the installed plug-ins say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness import lab, registry


def options(room: str, name: str) -> set[str]:
    kind = getattr(registry.load(room, name, file="test_schema.py", key=room), "Options", None)
    return {field.name for field in dataclasses.fields(kind)} if kind is not None else set()


def arms(table: dict[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Return value of `key` -> what the schema then asks for."""
    found = [one for one in table["allOf"] if isinstance(one, dict)]
    return {one["if"]["properties"][key]["const"]: one["then"] for one in found}


def test_an_address_is_explained_by_what_the_transports_say() -> None:
    address = lab.schema("device")["properties"]["address"]
    assert {text.partition(":")[0] for text in address["examples"]} == set(registry.names("transports"))
    assert all(text in address["description"] for text in address["examples"])


@pytest.mark.parametrize("room", ["meters", "agent.meters"])
def test_each_kind_of_meter_has_its_own_keys_and_the_sides_that_can_read_it(room: str) -> None:
    kinds = arms(lab.schema("device")["$defs"]["MeterTable"], "kind")
    for name in registry.names(room):
        assert set(kinds[name]["properties"]) == {"kind", "side", *options(room, name)}
        assert ("device" in kinds[name]["properties"]["side"]["enum"]) == (name in registry.names("agent.meters"))
        assert kinds[name]["additionalProperties"] is False


@pytest.mark.parametrize("room", ["transports", "runners", "leases"])
def test_the_own_table_of_each_plug_in_of_a_device_is_known(room: str) -> None:
    properties = lab.schema("device")["properties"]
    for name in registry.names(room):
        # A transport that brings a lease of its own has one table for both.
        both = room == "leases" and name in registry.names("transports")
        wanted = options(room, name) | (options("transports", name) if both else set())
        assert set(properties.get(name, {}).get("properties", {})) == wanted


def test_each_recipe_and_each_data_source_has_its_own_keys() -> None:
    tables = lab.schema("suite")["$defs"]
    recipes, sources = arms(tables["VariantTable"], "recipe"), arms(tables["DataTable"], "source")
    assert set(recipes) == set(registry.names("recipes"))
    assert set(sources) == set(registry.names("data"))
    for name, then in recipes.items():
        assert set(then["properties"]["parameters"]["properties"]) == options("recipes", name)
    chain = tables["VariantTable"]["properties"]
    assert chain["recipe"]["anyOf"][1]["items"]["enum"] == registry.names("recipes")
    each = chain["parameters"]["anyOf"][1]["items"]["anyOf"]
    assert [set(one["properties"]) for one in each] == [options("recipes", name) for name in recipes]
    for name, then in sources.items():
        common = {"source", "split", "overlap", "folds", "fold", "input"}
        assert set(then["properties"]) == common | options("data", name)
