"""Names and sentences are plain terms of the field, and what a public function takes is explained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Words that an engineer whose second language is English would have to look up, or that mean something else here.
MANNERED = re.compile(
    r"\b(befalls?|befell|farewells?|partings?|tid(?:y|ied|ying)|endings|vitals|told|burdens?|whom|lest|thereof|whoever|whichever|whomever|conducts?)\b",
    re.IGNORECASE,
)
TEXTS = [
    *ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *(ROOT / ".github").rglob("*.md"),
    *(path for path in (ROOT / "harness").rglob("*") if path.suffix in (".py", ".c", ".h", ".html", ".toml", ".md")),
    *(ROOT / "devices").rglob("*.py"), *(ROOT / "suites").rglob("*.py"), *ROOT.glob("tests/**/*.py"),
]  # fmt: skip


def test_no_text_uses_a_mannered_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}: {line.strip()[:100]}"
        for path in TEXTS
        if path != Path(__file__) and ".venv" not in path.parts
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for match in MANNERED.finditer(line)
    ]
    assert found == []


def public_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield where each public function and method of the package stands, and itself."""
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def is_a_command(node: ast.FunctionDef) -> bool:
    """Return whether click explains the parameters to the user."""
    return any("click" in ast.dump(one) or "command" in ast.dump(one) for one in node.decorator_list)


def test_every_public_function_with_three_parameters_or_more_explains_them() -> None:
    silent = []
    for where, node in public_functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(one.arg not in ("self", "cls") for one in arguments)
        text = ast.get_docstring(node) or ""
        explained = "Args:" in text or "arguments as for" in text or "whose arguments" in text or " does" in text
        if count >= 3 and not explained and not is_a_command(node):
            silent.append(where)
    assert silent == []
