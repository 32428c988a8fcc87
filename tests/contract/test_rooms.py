"""Every file of every plug-in room keeps the promise of its room; a new file is found and held to it by itself."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Protocol

import pytest

from harness import page, ports, registry
from harness.errors import LabError


class Runtime(Protocol):
    """harness/agent/runtimes/NAME.py; stands here because the agent imports nothing of ours."""

    def facts(self) -> dict[str, Any]:
        """Return name, version and what runs the model."""


class AgentMeter(Protocol):
    """harness/agent/meters/NAME.py; likewise."""

    def Meter(self, options: Any) -> Any:  # noqa: N802 -- a class
        """Return a meter."""


#: Room -> what its modules must offer, and how TOML selects one of them.
ROOMS: dict[str, tuple[type, str]] = {
    "transports": (ports.Transport, 'address = "{name}:'),
    "runners": (ports.Runner, 'runner = "{name}"'),
    "data": (ports.DataSource, 'source = "{name}"'),
    "recipes": (ports.Recipe, 'recipe = "{name}"'),
    "metrics": (ports.Metric, 'kind = "{name}"'),
    "leases": (ports.Lease, ""),
    "page.sections": (ports.Section, ""),
    "agent.runtimes": (Runtime, 'runtimes = ["{distribution}=='),
    "agent.meters": (AgentMeter, 'kind = "{name}"'),
    "meters": (AgentMeter, 'kind = "{name}"'),
}
PLUGINS = [(room, name) for room in ROOMS for name in registry.names(room)]
#: What only the one function that needs it may import, so that a list of devices or an error message is instant.
HEAVY = (
    "torch",
    "onnx",
    "onnxruntime",
    "ai_edge_litert",
    "ai_edge_quantizer",
    "tflite_runtime",
    "paramiko",
    "adbutils",
    "pyvisa",
    "pyjoulescope_driver",
    "ppk2_api",
    "serial",
)

every_plugin = pytest.mark.parametrize(("room", "name"), PLUGINS, ids=[f"{room}.{name}" for room, name in PLUGINS])


def plugin(room: str, name: str) -> ModuleType:
    return registry.load(room, name, file="test_rooms.py", key=room)


def parameters(function: Any, *, of_class: bool = False) -> list[tuple[str, Any, Any]]:
    """Return name, kind and default of each parameter, without `self`."""
    found = list(inspect.signature(function).parameters.values())[1 if of_class else 0 :]
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def promised(protocol: type) -> dict[str, FunctionType]:
    return {name: member for name, member in vars(protocol).items() if inspect.isfunction(member) and name[0] != "_"}


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_empty_so_this_contract_is_not_void(room: str) -> None:
    assert registry.names(room)


@every_plugin
def test_its_functions_take_what_the_protocol_says(room: str, name: str) -> None:
    module = plugin(room, name)
    for function, member in promised(ROOMS[room][0]).items():
        assert callable(getattr(module, function, None)), f"harness/{room}/{name}.py lacks {function}()"
        assert parameters(getattr(module, function)) == parameters(member, of_class=True), function


@every_plugin
def test_its_docstring_opens_with_the_toml_that_selects_it(room: str, name: str) -> None:
    module = plugin(room, name)
    opening = (module.__doc__ or "").split("\n\n")[0]
    wanted = ROOMS[room][1].format(name=name, distribution=getattr(module, "REQUIREMENT", ""))
    assert wanted in opening
    assert len(module.__doc__ or "") > len(wanted) + 30, "a sentence must say what it is"


@every_plugin
def test_its_options_are_frozen_have_defaults_and_are_all_explained(room: str, name: str) -> None:
    module = plugin(room, name)
    options = getattr(module, "Options", None)
    assert options is not None or room not in ("transports", "data", "recipes"), "this room's plug-ins have Options"
    if options is None:
        return
    assert options.__dataclass_params__.frozen
    explained = f"{module.__doc__}{options.__doc__}"
    for field in dataclasses.fields(options):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        assert has_default, f"{field.name}: the plug-in must work when only its name is given"
        assert re.search(rf"\b{field.name}\b", explained), f"{field.name} is explained nowhere"
    assert registry.options(module, {}, file="lab.toml", key=room) == options()


@every_plugin
def test_a_misspelled_key_is_answered_with_the_right_one(room: str, name: str) -> None:
    options = getattr(plugin(room, name), "Options", None)
    for field in dataclasses.fields(options) if options is not None else ():
        with pytest.raises(
            LabError, match=rf"lab\.toml: table\.{field.name}s: unknown key; did you mean '{field.name}'"
        ):
            registry.options(plugin(room, name), {f"{field.name}s": 1}, file="lab.toml", key="table")


@pytest.mark.parametrize("name", registry.names("agent.runtimes"))
def test_a_runtime_says_what_it_is_and_has_a_session(name: str) -> None:
    module = plugin("agent.runtimes", name)
    assert registry.runtimes()[registry.normalised(module.REQUIREMENT)].name == name
    assert all(ending.isalnum() for ending in module.FORMATS)
    assert [parameter for parameter, *_ in parameters(module.Session)][:2] == ["path", "threads"]
    calls = {
        method: len(parameters(getattr(module.Session, method), of_class=True)) for method in ("bind", "call", "result")
    }
    assert calls == {"bind": 1, "call": 1, "result": 1}


@pytest.mark.parametrize(("room", "name"), [pair for pair in PLUGINS if pair[0] in ("agent.meters", "meters")])
def test_a_meter_says_its_quantity_and_resolution(room: str, name: str) -> None:
    module = plugin(room, name)
    assert module.QUANTITY in ("joules", "watts")
    for method in ("read", "charging"):
        assert parameters(getattr(module.Meter, method), of_class=True) == []


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_a_recipe_says_which_formats_it_takes(name: str) -> None:
    formats = plugin("recipes", name).FORMATS
    known = {ending for runtime in registry.runtimes().values() for ending in runtime.formats}
    assert formats
    assert set(formats) <= known


def test_sections_have_places_of_their_own_and_templates() -> None:
    names = registry.names("page.sections")
    places = [plugin("page.sections", name).ORDER for name in names]
    assert all(isinstance(place, int) for place in places)
    assert len(set(places)) == len(places), "two sections want the same place, so their order would be chance"
    templates = Path(page.__path__[0], "templates")
    assert set(names) <= {path.stem for path in templates.glob("*.html")}


def test_importing_every_plugin_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom harness import registry\n"
        f"for room, name in {PLUGINS!r}:\n"
        "    registry.load(room, name, file='', key='')\n"
        f"    heavy = [module for module in {HEAVY!r} if module in sys.modules]\n"
        "    assert not heavy, f'{room}.{name} imports {heavy} when it is only looked at'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
