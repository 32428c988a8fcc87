"""A plug-in is found by the name of its file, and its options are checked strictly."""

from __future__ import annotations

import datetime
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from harness import registry
from harness.errors import LabError


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of a plug-in made for these tests."""

    width: int = 4
    ratio: float = 0.5
    path: Path = Path()
    mode: Literal["", "L"] = ""
    sizes: tuple[int, int] | None = None


PLUGIN = ModuleType("plugin")
PLUGIN.Options = Options  # type: ignore[attr-defined]


def options(**table: Any) -> Any:
    return registry.options(PLUGIN, table, file="suites/a.toml", key="data")


def test_the_files_of_a_room_are_its_plug_ins() -> None:
    assert {"folder", "npz", "phantom"} <= set(registry.names("data"))
    assert not [name for name in registry.names("transports") if name.startswith("_")]
    module = registry.load("data", "npz", file="suites/a.toml", key="data.source")
    assert module.__name__ == "harness.data.npz"


def test_an_unknown_plug_in_names_file_key_and_the_nearest() -> None:
    with pytest.raises(
        LabError, match=r"^suites/a\.toml: data\.source: unknown name 'foldr'; did you mean 'folder'\?$"
    ):
        registry.load("data", "foldr", file="suites/a.toml", key="data.source")
    with pytest.raises(LabError, match=r"known: (\w+, )*folder, (\w+, )*npz, phantom$"):
        registry.load("data", "xyzzy", file="suites/a.toml", key="data.source")


@pytest.mark.parametrize("name", ["../lab", "agent.runtimes", "__init__", "_copying", ""])
def test_a_name_cannot_reach_outside_its_room(name: str) -> None:
    with pytest.raises(LabError, match="unknown name"):
        registry.load("transports", name, file="devices/a.toml", key="address")


def test_another_distribution_adds_a_plug_in_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "clinic_pacs.py").write_text("Options = int\ndef load(): ...\ndef example(): ...\nANSWER = 42\n")
    (tmp_path / "clinic_old.py").write_text("def load(): ...\n")
    (tmp_path / "clinic_bad.py").write_text("1 / 0\n")
    info = tmp_path / "clinic_pacs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: clinic-pacs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[harness.data]\npacs = clinic_pacs\nlost = clinic_lost\nfunction = clinic_pacs:ANSWER\nold = clinic_old\n"
        "bad = clinic_bad\ntwice = clinic_pacs\n"
    )
    other = tmp_path / "ward-2.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: ward\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[harness.data]\ntwice = clinic_old\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.forget()
    request.addfinalizer(registry.forget)
    request.addfinalizer(lambda: [sys.modules.pop(name, None) for name in ("clinic_pacs", "clinic_old", "clinic_bad")])
    assert "pacs" in registry.names("data")
    assert registry.load("data", "pacs", file="a.toml", key="data.source").ANSWER == 42
    for name, complaint in {
        "lost": "'lost' cannot be imported: No module named 'clinic_lost'; repair or uninstall clinic-pacs 1.0",
        "bad": "'bad' cannot be imported: division by zero; repair or uninstall clinic-pacs 1.0",
        "function": "not a module",
        "old": r"'old' lacks Options, example; bring clinic-pacs 1\.0 up to",
        "twice": "several distributions .* 'twice'; uninstall all but one of .*(clinic-pacs 1.0.*ward|ward.*clinic)",
    }.items():
        with pytest.raises(LabError, match=rf"^a\.toml: data\.source: .*{complaint}"):
            registry.load("data", name, file="a.toml", key="data.source")


def test_options_become_the_plug_ins_own_dataclass() -> None:
    made = options(width=8, ratio=1, path="a/b", mode="L", sizes=[2, 3])
    assert made == Options(width=8, ratio=1.0, path=Path("a/b"), mode="L", sizes=(2, 3))
    assert type(made) is Options
    assert options() == Options()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"widht": 1}, r"data\.widht: unknown key; did you mean 'width'\?"),
        ({"width": "4"}, r"data\.width: input should be a valid integer, not '4'"),
        ({"width": 4.5}, r"data\.width: .*integer"),
        ({"width": True}, r"data\.width: .*not True"),
        ({"mode": "l"}, r"data\.mode: input should be '' or 'L', not 'l'"),
        ({"sizes": [1]}, r"data\.sizes"),
        ({"path": 3}, r"data\.path"),
        ({"ratio": float("nan")}, r"data: holds a date, nan or inf"),
        ({"path": datetime.date(2026, 11, 21)}, r"data: holds a date, nan or inf"),
    ],
)
def test_wrong_options_name_file_and_key(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LabError, match=rf"^suites/a\.toml: {complaint}"):
        options(**table)


def test_a_plug_in_without_options_takes_no_key() -> None:
    bare = ModuleType("bare")
    assert registry.options(bare, {}, file="a.toml", key="data") is None
    with pytest.raises(LabError, match=r"a\.toml: data\.x: unknown key; there are none"):
        registry.options(bare, {"x": 1}, file="a.toml", key="data")


def test_runtimes_are_told_by_the_agents_files_without_importing_any_runtime() -> None:
    known = registry.runtimes()
    assert known["onnxruntime"] == registry.Runtime("onnxruntime", "onnxruntime", ("onnx",))
    assert known["ai-edge-litert"] == registry.Runtime("litert", "ai-edge-litert", ("tflite",))
    assert known["tflite-runtime"] == registry.Runtime("tflite_runtime", "tflite-runtime", ("tflite",))
    assert registry.normalised("AI_Edge.LiteRT") == "ai-edge-litert"
    # In a process of its own: other tests may have imported a runtime here.
    look = "import sys; from harness import registry; registry.runtimes(); print(*sys.modules)"
    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout.split()
    assert not {"onnxruntime", "ai_edge_litert", "tflite_runtime"} & set(seen)
