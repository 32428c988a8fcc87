"""Every file of every plug-in room keeps the promise of its room; a new file is found and held to it by itself."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ConfigDict, TypeAdapter

from harness import registry
from harness.errors import LabError
from harness.ports import ROOMS
from harness.ports.meters import Meter
from harness.ports.recipes import WEIGHTS

PLUGINS = [(room, name) for room in ROOMS for name in registry.names(room)]
#: How the registry is asked for a plug-in.
LOADS = re.compile(r"registry\.(?:load|names)\(\s*\"([a-z_.]+)\"")
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


def plugin(room: str, name: str) -> types.ModuleType:
    return registry.load(room, name, file="test_rooms.py", key=room)


def parameters(function: Any, *, of_class: bool = False) -> list[inspect.Parameter]:
    """Return the parameters of a function or a class, without `self`."""
    return list(inspect.signature(function).parameters.values())[1 if of_class else 0 :]


def public(protocol: type) -> dict[str, Any]:
    """Return what a Protocol says of functions: name -> function."""
    return {name: one for name, one in vars(protocol).items() if inspect.isfunction(one) and name[0] != "_"}


def fits(found: Any, promise: Any, where: str) -> None:
    """Hold a function, or a class, to the function of a Protocol: parameters, defaults and types.

    More parameters may follow those promised if they have defaults. Any in the Protocol stands for the plug-in's own.
    """
    promised, given = parameters(promise, of_class=True), parameters(found)
    said = [(one.name, one.kind, one.default) for one in promised]
    assert [(one.name, one.kind, one.default) for one in given[: len(promised)]] == said, where
    assert all(one.default is not one.empty for one in given[len(promised) :]), f"{where}: more than is promised"
    hints = typing.get_type_hints(found.__init__ if inspect.isclass(found) else found)
    for name, wanted in typing.get_type_hints(promise).items():
        if inspect.isclass(found) and name == "return":
            whole(found, wanted, where, of_class=True)  # its objects are what the Protocol says is returned
        elif wanted is not Any and name == "return":
            assert arms(hints.get(name)) <= arms(wanted), f"{where} returns {hints.get(name)}, promised is {wanted}"
        elif wanted is not Any:
            assert hints.get(name) == wanted, f"{where}: {name} is {hints.get(name)}, promised is {wanted}"


def arms(hint: Any) -> set[Any]:
    """Return the types of a union, or the one type: who returns fewer of them keeps the promise, too."""
    return set(typing.get_args(hint)) if isinstance(hint, types.UnionType) else {hint}


def whole(found: Any, protocol: type, where: str, *, of_class: bool = False) -> None:
    """Hold a module, or a class, to everything that a Protocol says of it."""
    for name, promise in public(protocol).items():
        function = getattr(found, name, None)
        assert callable(function), f"{where} lacks {name}()"
        if of_class:
            said = [(one.name, one.kind, one.default) for one in parameters(promise, of_class=True)]
            given = [(one.name, one.kind, one.default) for one in parameters(function, of_class=True)]
            assert given == said, f"{where}.{name}"
        else:
            fits(function, promise, f"{where}.{name}")
    if of_class:
        return  # what an object holds is seen when there is one
    for name, kind in typing.get_type_hints(protocol).items():
        if hasattr(protocol, name) and not hasattr(found, name):
            continue  # it has a default
        assert hasattr(found, name), f"{where} lacks {name}"
        adapter = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
        adapter.validate_python(getattr(found, name), strict=True)


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_is_empty_so_this_contract_is_not_void(room: str) -> None:
    assert registry.names(room)


@every_plugin
def test_it_keeps_the_whole_protocol_of_its_room(room: str, name: str) -> None:
    whole(plugin(room, name), ROOMS[room].protocol, f"{room}.{name}")


def test_every_folder_of_plug_ins_has_a_protocol() -> None:
    package = Path(registry.__file__).parent
    loaded = {match for path in package.rglob("*.py") for match in LOADS.findall(path.read_text("utf-8"))}
    assert loaded
    assert loaded <= set(ROOMS), "the registry is asked for a room that promises nothing"


def test_no_plug_in_is_loaded_past_the_registry() -> None:
    package = Path(registry.__file__).parent
    rooms = [room for room in ROOMS if not room.startswith("agent.")]
    inside = {room: package.joinpath(*room.split(".")) for room in rooms}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for imported in imports(node):
                for room, folder in inside.items():
                    known = [f"harness.{room}.{name}" for name in registry.names(room)]
                    past = any(imported == one or imported.startswith(f"{one}.") for one in known)
                    assert not past or folder in path.parents, f"{path} imports {imported}: ask the registry"


def imports(node: ast.AST) -> list[str]:
    """Return the full names of what an import statement may mean."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return []


@every_plugin
def test_its_docstring_opens_with_the_toml_that_selects_it(room: str, name: str) -> None:
    module = plugin(room, name)
    opening = (module.__doc__ or "").split("\n\n")[0]
    wanted = ROOMS[room].toml.format(name=name, requirement=getattr(module, "REQUIREMENT", ""))
    assert wanted in opening
    assert len(module.__doc__ or "") > len(wanted) + 30, "a sentence must say what it is"


@every_plugin
def test_its_options_are_frozen_have_defaults_and_are_all_explained(room: str, name: str) -> None:
    module = plugin(room, name)
    options = getattr(module, "Options", None)
    if options is None:
        return
    assert options.__dataclass_params__.frozen
    explained = f"{module.__doc__}{options.__doc__}"
    for field in dataclasses.fields(options):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING, dataclasses.MISSING)
        assert has_default, f"{field.name}: what is not given is for the plug-in to refuse, in words"
        assert re.search(rf"\b{field.name}\b", explained), f"{field.name} is explained nowhere"
    try:
        alone = options()
    except ValueError as error:  # it needs what the user alone can say
        with pytest.raises(LabError, match=re.escape(str(error))):
            registry.options(module, {}, file="lab.toml", key=room)
    else:
        assert registry.options(module, {}, file="lab.toml", key=room) == alone


@every_plugin
def test_a_misspelled_key_is_answered_with_the_right_one(room: str, name: str) -> None:
    options = getattr(plugin(room, name), "Options", None)
    for field in dataclasses.fields(options) if options is not None else ():
        with pytest.raises(
            LabError, match=rf"lab\.toml: table\.{field.name}s: unknown key; did you mean '{field.name}'"
        ):
            registry.options(plugin(room, name), {f"{field.name}s": 1}, file="lab.toml", key="table")


@pytest.mark.parametrize("name", registry.names("agent.runtimes"))
def test_a_runtime_is_found_by_its_distribution(name: str) -> None:
    module = plugin("agent.runtimes", name)
    assert registry.runtimes()[registry.normalised(module.REQUIREMENT)].name == name
    assert all(ending.isalnum() for ending in module.FORMATS)


@pytest.mark.parametrize("name", registry.names("transports"))
def test_a_transports_example_is_an_address_of_its_own_and_others_are_refused(name: str) -> None:
    module = plugin("transports", name)
    scheme, _, rest = module.EXAMPLE.partition(":")
    assert scheme == name
    found = module.address(rest)
    assert found.scheme == name
    assert str(found) == module.EXAMPLE
    # A serial number may hold anything that is text, and never stands in a command line.
    hosts = ("//host/folder", "//two words", "//host?query", "//-oProxyCommand=x")
    for wrong in ("//", "//a\tb") if found.serial else hosts:
        with pytest.raises(ValueError, match=r".+"):
            module.address(wrong)


@pytest.mark.parametrize(("room", "name"), [pair for pair in PLUGINS if ROOMS[pair[0]].protocol is Meter])
def test_a_meter_says_its_quantity(room: str, name: str) -> None:
    assert plugin(room, name).QUANTITY in ("joules", "watts")


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_a_recipe_says_which_formats_it_takes(name: str) -> None:
    formats = plugin("recipes", name).FORMATS
    known = {ending for runtime in registry.runtimes().values() for ending in runtime.formats}
    assert formats
    assert set(formats) <= known


@pytest.mark.parametrize("name", registry.names("recipes"))
def test_a_recipe_of_this_package_says_which_weights_it_takes_and_leaves(name: str) -> None:
    recipe = plugin("recipes", name)
    if not recipe.__name__.startswith("harness."):
        return  # a recipe of others need not say it: what a step before leaves to it is then tried
    said = getattr(recipe, "TAKES", ()), getattr(recipe, "LEAVES", None)
    assert said[0], "without TAKES and LEAVES, that a chain cannot be built is only seen when it is half built"
    assert set(said[0]) <= set(WEIGHTS)
    assert said[1] in ("", *WEIGHTS)


def test_sections_have_places_of_their_own() -> None:
    names = registry.names("page.sections")
    places = [plugin("page.sections", name).ORDER for name in names]
    assert len(set(places)) == len(places), "two sections want the same place, so their order would be chance"
    assert all(plugin("page.sections", name).TEMPLATE.strip() for name in names)


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
