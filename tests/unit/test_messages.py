"""Every error that the harness raises names the thing it is about and what to do about it, as fields.

The table is read from the source: each place where an error of `harness.errors` is made. A place without a `remedy`
stands in `SAID_ELSEWHERE`, with where its reader finds what to do; a place that no longer exists must leave it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import errors

ROOT = Path(__file__).parents[2]
ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.HarnessError) and name != "Unforeseen"  # says it itself
}
#: Says what an error is about, besides a value in its text.
THING = {"file", "device", "key", "where"}
#: File -> a part of what its text is made of -> where its reader finds what to do.
SAID_ELSEWHERE = {
    "cli/search_places.py": {"lab.missing_runtime(case)": "it ends with the runtimes to write"},
    "cli/virtual_lab.py": {"needs {missing}": "`missing` ends with the line of apt-get"},
    "measure/grouping.py": {
        "case.variant.problem": "the problem ends with the command that builds the file",
        "lab.missing_runtime(case)": "it ends with the runtimes to write",
    },
    "measure/local_steps.py": {"one.problem": "the problem ends with the command that builds the file"},
    "measure/group.py": {"text": "it ends with what the next campaign does"},
    "measure/host_meter.py": {
        "the clocks of host and device cannot be compared": "the case has no energy and says why; the next has",
        "connection lost before the pass": "the case has no energy and says why; the next has",
        "connection lost meanwhile": "the case has no energy and says why; the next has",
    },
    "registry.py": {
        "str(error)": "the plug-in's own words",
    },
    "results/energy.py": {
        "no meter configured": "nothing is wrong: a device without a meter has no energy",
        "events[0].absent": "the device's own words, with what to do",
    },
    "transports/_session.py": {"late": "it says which limit of the device's file passed"},
    "transports/ssh/_hostkey.py": {
        "is not in {known.place}": "the text ends with the line to paste",
        "IS NOT THE PINNED ONE": "the text ends with what to do",
    },
    "transports/ssh/_identity.py": {
        "no key to log in as": "`why` ends with what to set",
        "with none of the keys tried": "the text ends with what to do",
    },
    "variants/build.py": {
        "variant.problem": "the problem ends with what to do about the file",
        "missing[0].problem": "the problem ends with the command that builds the file",
        "{variant.id}: {error}": "the recipe's own error, with what to do",
        "map(str, failed)": "each of the errors ends with what to do",
    },
    "variants/chains.py": {"{where}{error}": "the recipe's own error, with what to do"},
}


def made() -> Iterator[tuple[str, ast.Call]]:
    """Yield the file and the call of every error that is made outside `harness/agent/`, which has none of them."""
    for path in sorted((ROOT / "harness").rglob("*.py")):
        file = str(path.relative_to(ROOT / "harness"))
        if file.startswith("agent/") or file == "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ERRORS:
                    yield file, node


MADE = list(made())


@pytest.mark.parametrize(("file", "call"), MADE, ids=[f"{file}:{call.lineno}" for file, call in MADE])
def test_an_error_names_the_thing_and_the_remedy(file: str, call: ast.Call) -> None:
    given = {one.arg: ast.unparse(one.value) for one in call.keywords}
    text = ast.unparse(call.args[0])
    elsewhere = any(part in text for part in SAID_ELSEWHERE.get(file, ()))
    assert given.get("remedy", "''") != "''" or elsewhere, f"{text} has no remedy"
    assert THING & set(given) or not isinstance(call.args[0], ast.Constant) or "remedy" in given or elsewhere, text


def test_the_table_of_what_is_said_elsewhere_holds_nothing_that_is_gone() -> None:
    gone = [
        (file, part)
        for file, parts in SAID_ELSEWHERE.items()
        for part in parts
        if not any(part in ast.unparse(call.args[0]) for name, call in MADE if name == file)
    ]
    assert gone == []
