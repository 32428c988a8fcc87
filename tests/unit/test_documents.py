"""What the documents say is true: their files are read, their commands exist, and what they cite is there."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shlex
import tokenize
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner

from harness import lab, registry
from harness.agent import contract
from harness.cli import cli
from harness.cli.settings import Settings
from harness.lab.device_table import DeviceTable, LimitsTable, RecoverTable
from harness.lab.model_tables import InputTable
from harness.lab.tables import LoadTable, SuiteTable, TaskTable
from harness.model import Device, Estimate, Subgroup, Suite
from harness.store import Place, audit, export
from harness.vocabulary import METRICS
from tests.made_runs import a_run

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for folder in (".", ".github", "devices", "suites", "reports", "harness/cli/scaffold")
    for path in (ROOT / folder).glob("*.md")
    if path.name != "CHANGELOG.md"  # it tells of what was
)
#: Folders whose files are cited by their path from the root.
PLACES = "harness|devices|suites|reports|tests|\\.github|\\.ci"
#: Programs that shell lines begin with and that are not of this project.
FOREIGN = {"cd", "cp", "pipx", "pip", "$EDITOR"}
#: A word that stands for a name: NAME, SCHEME, M.
STANDS_FOR = re.compile(r"(?<![A-Za-z])[A-Z][A-Z_]*(?![a-z])|…")


@dataclass(frozen=True)
class Block:
    """A fenced block of a document: what its fence says, and the lines in it."""

    document: str
    language: str
    text: str

    @property
    def name(self) -> str:
        """The path in its first line, if it is a whole file: `# devices/pi5.toml`."""
        found = re.match(r"# ((?:devices|suites)/[\w.-]+\.toml)\n", self.text)
        return found[1] if found else ""


@cache
def blocks() -> list[Block]:
    found = []
    for path in DOCUMENTS:
        for fence in re.finditer(r"^```([^\n]*)\n(.*?)^```$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            found.append(Block(str(path.relative_to(ROOT)), fence[1].strip(), fence[2]))
    return found


def of(language: str, document: str = "") -> list[Block]:
    return [one for one in blocks() if one.language == language and document in ("", one.document)]


def the(language: str, document: str) -> str:
    (only,) = of(language, document)
    return only.text


def named(one: Block) -> str:
    return f"{one.document}:{one.name or one.text.splitlines()[0]}"


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def spans(path: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(path))


# --- files of a lab ---------------------------------------------------------------------------------------------------


def toml(table: Mapping[str, Any]) -> str:
    """Return a table as TOML, nested ones inline."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{ " + ", ".join(f"{key} = {value(one)}" for key, one in item.items()) + " }"
        if isinstance(item, list):
            return "[" + ", ".join(map(value, item)) + "]"
        return json.dumps(item, ensure_ascii=False)

    return "".join(f"{key} = {value(item)}\n" for key, item in table.items())


def read(name: str, text: str, folder: Path) -> Device | Suite:
    """Return what the lab reads from a file of this name, in a lab where the models that it names exist."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    if name.startswith("devices/"):
        return lab.read_device(file)
    table = tomllib.loads(text)
    for one in (table["baseline"], *table.get("variant", ())):
        models = one.get("model", [])
        for model in [models] if isinstance(models, str) else models:
            (file.parent / model).parent.mkdir(parents=True, exist_ok=True)
            (file.parent / model).write_bytes(b"a model")
    return lab.read_suite(file)


@pytest.mark.parametrize("block", [one for one in of("toml") if one.name], ids=named)
def test_every_whole_file_in_a_document_is_read_by_the_lab(block: Block, tmp_path: Path) -> None:
    found = read(block.name, block.text, tmp_path)
    assert found.id == Path(block.name).stem


@pytest.mark.parametrize(
    "block", [one for one in of("toml") if not one.name and "project" not in tomllib.loads(one.text)], ids=named
)
def test_every_part_of_a_file_in_a_document_fits_into_the_file_that_init_writes(block: Block, tmp_path: Path) -> None:
    part = tomllib.loads(block.text)
    name = "suites/mymodel.toml" if set(part) <= set(SuiteTable.model_fields) else "devices/local.toml"
    whole = tomllib.loads((ROOT / "harness/cli/scaffold" / name).read_text("utf-8"))
    if "data" in part:
        part["data"].setdefault("input", whole["data"]["input"])
    read(name, toml({**whole, **part}), tmp_path)


def test_entry_points_in_a_document_name_a_room() -> None:
    parts = [tomllib.loads(one.text) for one in of("toml", ".github/CONTRIBUTING.md")]
    (groups,) = [one["project"]["entry-points"] for one in parts if "project" in one]
    assert all(registry.names(group.removeprefix("harness.")) for group in groups)


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield document and words of every command in a shell block or a code span."""
    for block in of("sh"):
        for line in block.text.splitlines():
            for command in line.split("&&"):
                if words := shlex.split(command, comments=True):
                    yield block.document, words
    for path in DOCUMENTS:
        for span in spans(path):
            if re.match(r"(edgeward|pytest|make) ", span):
                # Of `--format json|csv` the first stands for all.
                yield str(path.relative_to(ROOT)), shlex.split(re.sub(r"\|[\w|]+", "", span))


COMMANDS = [pytest.param(words, id=f"{document}:{' '.join(words)}") for document, words in commands()]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_in_a_document_is_one_that_exists(words: list[str], pytestconfig: pytest.Config) -> None:
    program, *arguments = words
    if program == "edgeward":
        understood(arguments)
    elif program == "pytest":
        for option in [one for one in arguments if one.startswith("-")]:
            pytestconfig.getoption(option.partition("=")[0])  # ValueError: there is no such option
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(arguments) <= {*targets, "SYSTEM=no"}
    else:
        assert program in FOREIGN


def understood(arguments: list[str]) -> None:
    """Parse a command line of `edgeward` as the program does, without running it."""
    context, left = click.Context(cli, obj=Settings()), arguments[: [*arguments, ">"].index(">")]
    found: click.Command = cli
    while isinstance(found, click.Group) and left and not left[0].startswith("-"):
        name = left.pop(0)
        inner = found.get_command(context, name)
        assert inner is not None, f"there is no command {name}"
        found = inner
    if left or not isinstance(found, click.Group):
        try:
            found.make_context("edgeward", left, parent=context)
        except click.MissingParameter:
            assert not left  # the command is mentioned, not spelt out


@pytest.fixture
def mylab(tmp_path: Path) -> Path:
    """Give the lab that `edgeward init` makes."""
    done = CliRunner().invoke(cli, ["init", str(tmp_path / "mylab")], obj=Settings())
    assert done.exit_code == 0, done.output
    return tmp_path / "mylab"


def test_the_first_steps_of_the_readme_make_a_lab_that_can_be_measured(mylab: Path) -> None:
    steps = [shlex.split(line, comments=True) for one in of("sh", "README.md") for line in one.text.splitlines()]
    targets = [words[2] for words in steps if words[:1] == ["cp"]]
    for target in targets:
        (mylab / target).write_bytes(b"what the user brings")
    suite = lab.read_suite(mylab / "suites/mymodel.toml")
    cases = lab.cases(suite, lab.select(mylab, ["local"]))
    assert [case.variant.problem for case in cases] == [""]
    assert suite.file.parent / suite.data["path"] in [mylab / target for target in targets]


# --- what is cited exists ---------------------------------------------------------------------------------------------


def there(cited: str, root: Path = ROOT) -> bool:
    """Return whether a path from the root, perhaps with `*`, is that of a file or folder, or of an example above."""
    return cited in {one.name for one in blocks()} or any(root.glob(cited.rstrip("/")))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_a_document_names_exists(path: Path, mylab: Path) -> None:
    cited = [span for span in spans(path) if re.fullmatch(rf"(?:{PLACES})/[\w./*-]*", span)]
    cited += [span for span in spans(path) if re.fullmatch(r"\w+\.(?:md|toml|cfg)|Makefile", span)]
    names = [one for one in cited if not STANDS_FOR.search(one.removesuffix(".md"))]
    assert [one for one in names if not there(one) and not there(one, mylab)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)", prose(path)):
        file = path.parent / target if target else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
            assert anchor[1:] in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


@cache
def remarks(path: Path) -> str:
    """Return the comments and docstrings of a Python file, or the whole of another."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            found.append(token.string)
    return "\n".join(found)


SOURCES = [
    path
    for folder in ("harness", "devices", "suites", "tests")
    for ending in ("py", "c", "h")
    for path in sorted((ROOT / folder).rglob(f"*.{ending}"))
    if path != Path(__file__)
]


def test_every_path_that_a_docstring_or_comment_names_exists() -> None:
    missing = []
    for source in SOURCES:
        for cited in re.findall(rf"(?<![\w/.~-])(?:{PLACES})/[\w./*-]*\w(?:/(?!\w))?", remarks(source)):
            example = cited.endswith(".toml") or cited.startswith(("reports/", "suites/data", "suites/models"))
            if not example and not STANDS_FOR.search(cited.removesuffix(".md")) and not there(cited):
                missing.append(f"{source.relative_to(ROOT)}: {cited}")
    assert not missing


def test_every_document_that_a_docstring_or_comment_names_exists() -> None:
    missing = []
    for source in SOURCES:
        for cited in re.findall(r"(?<![\w`/])(?:[A-Z]{3,}\.md|METHOD|FORMATS)(?![\w`:])", remarks(source)):
            if not (ROOT / cited).exists():
                missing.append(f"{source.relative_to(ROOT)}: {cited}")
    assert not missing


def test_every_name_of_a_module_that_a_docstring_or_comment_names_exists() -> None:
    missing = []
    for source in SOURCES:
        for cited in re.findall(r"`(harness(?:\.\w+)+)", remarks(source)):
            if not STANDS_FOR.search(cited) and not resolves(cited):
                missing.append(f"{source.relative_to(ROOT)}: {cited}")
    assert not missing


def resolves(dotted: str) -> bool:
    """Return whether `harness.a.b.Name` is a module, or a name in one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for name in parts[count:]:
            fields = [one.name for one in dataclasses.fields(found)] if dataclasses.is_dataclass(found) else []
            if name not in fields and not hasattr(found, name):
                return False
            found = getattr(found, name, None)
        return True
    return False


# --- tables of the documents are whole --------------------------------------------------------------------------------


def test_the_guide_shows_the_floors_that_the_linter_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    floors = next(one["layers"] for one in contracts if one["type"] == "layers")
    assert the("floors", ".github/CONTRIBUTING.md").splitlines() == floors


def test_the_guide_names_every_room() -> None:
    rooms = {f"harness/{path.parent.name}/" for path in (ROOT / "harness").glob("*/__init__.py")}
    rooms |= {f"harness/{path.name}" for path in (ROOT / "harness").glob("[a-z]*.py")}
    assert rooms <= set(spans(ROOT / ".github/CONTRIBUTING.md"))


def test_accept_is_explained_for_every_metric_with_its_rules() -> None:
    rows = re.findall(r"^\| ((?:`\w+` ?)+)[^|]*\| ([^|]+) \|$", prose(ROOT / "suites/README.md"), re.MULTILINE)
    shown = {
        name: set(re.findall(r"`(\w+)`", rules)) for names, rules in rows for name in re.findall(r"`(\w+)`", names)
    }
    assert {name: shown.get(name) for name in METRICS} == {name: set(info.rules) for name, info in METRICS.items()}


@pytest.mark.parametrize(
    ("document", "tables", "rooms"),
    [
        (
            "devices/README.md",
            (DeviceTable, LimitsTable, RecoverTable),
            ("transports", "runners", "leases", "recoveries", "meters", "agent.meters"),
        ),
        ("suites/README.md", (SuiteTable, LoadTable, TaskTable, InputTable), ("data",)),
    ],
)
def test_every_key_of_a_file_is_explained(document: str, tables: tuple[Any, ...], rooms: tuple[str, ...]) -> None:
    keys = {key for table in tables for key in table.model_fields}
    for room in rooms:
        for name in registry.names(room):
            options = getattr(registry.load(room, name, file=document, key=room), "Options", None)
            keys |= {field.name for field in dataclasses.fields(options)} if options else set()
    text = (ROOT / document).read_text("utf-8")
    assert [key for key in sorted(keys) if not re.search(rf"(?<!\w){key}(?!\w)", text)] == []


@pytest.mark.parametrize(
    ("document", "rooms"),
    [
        ("README.md", ("recipes",)),
        ("devices/README.md", ("transports", "runners", "leases", "recoveries", "meters", "agent.meters")),
        ("suites/README.md", ("data", "recipes", "metrics")),
    ],
)
def test_every_plugin_is_named_where_its_room_is_explained(document: str, rooms: tuple[str, ...]) -> None:
    text = (ROOT / document).read_text("utf-8")
    assert [name for room in rooms for name in registry.names(room) if name not in text] == []


def test_the_export_has_every_key_that_is_shown() -> None:
    shown = json.loads(the("json", "suites/README.md"))
    part = Subgroup("site", "Basel", 30, None, {"accuracy": Estimate(0.9, 0.7, 1.0)})
    done = audit.entry("measured", Place("lab"))
    real = export.document([a_run("a", np.full(80, 0.01), subgroups=(part,))], [], audit=[done])
    real["campaigns"], real["comparisons"] = (
        shown["campaigns"],
        shown["comparisons"],
    )  # tests/unit/test_export.py holds the exact schema of all
    assert set(paths(shown)) <= set(paths(real))


def paths(value: Any, above: str = "") -> Iterator[str]:
    """Yield the dotted path of every key in nested JSON."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{above}.{key}"
            yield from paths(item, f"{above}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{above}[]")


def test_the_job_that_is_shown_is_one() -> None:
    job = contract.job(json.loads(the("json job", "suites/README.md")))
    assert [model.id for model in job.models] == ["resnet18-fp32"]


def test_the_events_that_are_shown_are_events_and_every_kind_is_named() -> None:
    for line in the("json events", "suites/README.md").splitlines():
        event = json.loads(line)
        made = contract.EVENTS[event["event"]](**event)  # TypeError: a key is missing or unknown
        assert contract.plain(made) == event
    assert set(contract.EVENTS) <= set(spans(ROOT / "suites/README.md"))
