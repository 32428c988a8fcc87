"""How the native runner is compiled, and its small parts, each on its own, against Python and numpy."""

from __future__ import annotations

import ctypes
import graphlib
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.virtual.requirements import require
from harness.cli import cli
from harness.cli.settings import Settings
from harness.errors import MissingTool, Unsupported
from harness.native import build, header
from harness.stats import rounds

HERE = "x86_64-linux-gnu" if platform.machine() == "x86_64" else f"{platform.machine()}-linux-gnu"
SOURCES = sorted(build.SOURCES.iterdir())


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Give the runner's functions to Python."""
    require("package:gcc")
    library = tmp_path_factory.mktemp("parts") / "parts.so"
    build.compile_program(["gcc", *build.FLAGS, "-shared", "-fPIC"], library)
    found = ctypes.CDLL(str(library))
    found.half_of.argtypes, found.half_of.restype = [ctypes.c_float], ctypes.c_uint16
    found.float_of_half.argtypes, found.float_of_half.restype = [ctypes.c_uint16], ctypes.c_float
    found.samples_level.restype = found.samples_median.restype = ctypes.c_double
    return found


def inventory(
    program: Path, text: bytes, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([program, "inventory"], input=text, capture_output=True, check=False, env=environment)


NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.dictionaries(NAMES, NAMES, max_size=4), st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=60, deadline=None)
def test_json_is_read_and_written_as_python_does(
    checked: Path, wanted: dict[str, str], plain: bool, indent: int | None
) -> None:
    wanted = {f"/nowhere/{name}": value for name, value in wanted.items()}
    done = inventory(checked, json.dumps(wanted, ensure_ascii=plain, indent=indent).encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == list(wanted)


def accepted_by_python(text: bytes) -> bool:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        value = json.loads(text.decode("ascii"), object_pairs_hook=once, parse_constant=refuse)
        # Half a surrogate pair is no text, and a string of C has no NUL; Python takes both.
        assert b"\\u0000" not in json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, AssertionError):
        return False
    return isinstance(value, dict)


@given(
    st.sampled_from(
        [
            '{"/a": "b", "/c": ["d", 1.5e-3, {"e": null}], "/f": true}',
            '{"x": "\\u00e9\\ud83d\\ude00\\n\\"", "y": -0.0, "z": [[], {}, 12e+2]}',
        ]
    ),
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from('{}[],:"\\/ue019-+. ntfE'), st.booleans()), max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_json_that_python_refuses_is_refused_and_nothing_is_touched_that_is_not_ours(
    checked: Path, whole: str, changes: list[tuple[int, str, bool]]
) -> None:
    text = whole
    for place, letter, replaces in changes:
        text = text[:place] + letter + text[place + replaces :]
    done = inventory(checked, text.encode())
    assert done.returncode == (0 if accepted_by_python(text.encode()) else 65), (text, done.stderr)
    assert b"Sanitizer" not in done.stderr


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": }', '{"a": 01}', '{"a": "\\ud800"}', "{} x", '{"a": NaN}', "[" * 100, '{"a"']
)
def test_what_is_no_json_object_ends_with_a_line_that_says_so(checked: Path, text: str) -> None:
    done = inventory(checked, text.encode())
    assert done.returncode == 65
    (line,) = done.stderr.decode().splitlines()
    assert '{"PATH": "SHA256"}' in line


#: Names that a shell, an option parser or a list of lines takes for something else.
ODD_NAMES = (
    "a b",
    "it's",
    'a "b"',
    "two\nlines",
    "back\\slash",
    "-dash",
    "é",
    "return\r",
    "  blanks",
    " *star",
    "$(id)",
)


def written(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Write a file of each name and return path -> digest."""
    found = {}
    for number, name in enumerate(names):
        (folder / name).write_bytes(bytes([number % 256]) * number)
        found[str(folder / name)] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return found


def only(tmp_path: Path, tool: str) -> dict[str, str]:
    """Return an environment whose PATH has one program."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in (tool, "perl") if tool == "shasum" else (tool,):
        path = shutil.which(name)
        assert path is not None
        (folder / name).symlink_to(path)
    return {"PATH": str(folder)}


@pytest.mark.parametrize("tool", ["openssl", "sha256sum", "busybox", "shasum"])
def test_the_devices_own_tool_digests_files_of_every_name(checked: Path, tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        require(f"package:{'busybox-static' if tool == 'busybox' else tool}={tool}")
    (tmp_path / "files").mkdir()
    wanted = written(tmp_path / "files", [*ODD_NAMES, *map(str, range(20))])
    environment = only(tmp_path, tool)
    assert json.loads(inventory(checked, json.dumps(wanted).encode(), environment).stdout) == []
    damaged, gone = list(wanted)[3], list(wanted)[14]
    Path(damaged).write_bytes(b"damaged")
    Path(gone).unlink()
    folder, pipe = str(tmp_path / "files"), str(tmp_path / "pipe")
    os.mkfifo(pipe)
    wanted |= {folder: "", pipe: "", str(tmp_path / "never"): "e3b0"}
    found = json.loads(inventory(checked, json.dumps(wanted).encode(), environment).stdout)
    assert found == [damaged, gone, folder, pipe, str(tmp_path / "never")]


def test_many_files_are_digested_with_few_processes(checked: Path, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    wanted = written(tmp_path / "files", (f"a file with a name that is not short, number {n}" for n in range(1400)))
    environment = only(tmp_path, "sha256sum")
    counting = Path(environment["PATH"]) / "sha256sum"
    tool = counting.resolve()
    counting.unlink()
    counting.write_text(f'#!/bin/sh\necho >> "{tmp_path}/calls"\nexec "{tool}" "$@"\n')
    counting.chmod(0o755)
    assert json.loads(inventory(checked, json.dumps(wanted).encode(), environment).stdout) == []
    assert len((tmp_path / "calls").read_text()) < 12


def test_a_device_without_a_tool_for_digests_says_which_to_install(checked: Path, tmp_path: Path) -> None:
    wanted = written(tmp_path, ["one"])
    done = inventory(checked, json.dumps(wanted).encode(), {"PATH": "/nowhere"})
    assert (done.returncode, done.stdout) == (69, b"")
    assert "install sha256sum" in done.stderr.decode()


def test_every_half_and_every_kind_of_float_is_converted_as_numpy_does(parts: ctypes.CDLL) -> None:
    halves = np.arange(65536, dtype=np.uint16)
    wanted = halves.view(np.float16).astype(np.float32)
    found = np.array([parts.float_of_half(int(half)) for half in halves], np.float32)
    np.testing.assert_array_equal(found, wanted)
    random = np.random.default_rng(5)
    bits = random.integers(0, 2**32, 30_000, dtype=np.uint32)
    near = np.repeat(halves.view(np.float16).astype(np.float32).view(np.uint32)[::7], 3)
    near += np.tile(np.array([0, 0x1000, 0x1001], np.uint32), len(near) // 3)
    values = np.concatenate([bits, near]).view(np.float32)
    values = values[~np.isnan(values)]
    with np.errstate(over="ignore"):
        wanted_bits = values.astype(np.float16).view(np.uint16)
    found_bits = np.array([parts.half_of(float(value)) for value in values], np.uint16)
    np.testing.assert_array_equal(found_bits, wanted_bits)
    assert np.isnan(np.uint16(parts.half_of(float("nan"))).view(np.float16))


class Array(ctypes.Structure):
    """src/samples.h: struct samples."""

    _fields_ = (("ns", ctypes.POINTER(ctypes.c_int64)), ("count", ctypes.c_size_t), ("room", ctypes.c_size_t))


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_level_of_a_round_is_the_one_that_the_host_computes(parts: ctypes.CDLL, values: list[int]) -> None:
    kept = (ctypes.c_int64 * len(values))(*values)
    array = Array(kept, len(values), len(values))
    level = np.quantile(values, rounds.round_quantile(len(values)), method=rounds.QUANTILE_METHOD)
    assert parts.samples_level(ctypes.byref(array)) == pytest.approx(level, rel=1e-12)
    assert parts.samples_median(ctypes.byref(array)) == np.median(values)


def test_a_runner_is_compiled_once_and_its_kit_holds_what_libonnxruntime_asks_for() -> None:
    require("package:gcc")
    kit = build.kit(HERE)
    written = (kit.folder / build.PROGRAM).stat().st_mtime_ns
    build.kit.cache_clear()
    again = build.kit(HERE)
    assert again == kit
    assert (kit.folder / build.PROGRAM).stat().st_mtime_ns == written
    assert {build.PROGRAM, build.LOADER, "libc.so.6", "libstdc++.so.6", "libgcc_s.so.1"} <= set(kit.files)
    for name, digest in kit.files.items():
        assert hashlib.sha256((kit.folder / name).read_bytes()).hexdigest() == digest
    assert kit.glibc >= (2, 28), "wheels of onnxruntime want that"


def test_a_kit_runs_with_its_own_loader_and_libraries() -> None:
    require("package:gcc")
    kit = build.kit(HERE)
    loader, program = (str(kit.folder / name) for name in (build.LOADER, build.PROGRAM))
    command = [loader, "--library-path", str(kit.folder), program]
    maps = subprocess.run([*command[:1], "--list", *command[1:]], capture_output=True, text=True, check=True).stdout
    assert str(kit.folder / "libc.so.6") in maps
    assert not re.search(r"=> /(usr/)?lib", maps)
    survey = json.loads(subprocess.run([*command, "survey", "/"], capture_output=True, check=True).stdout)
    assert survey["fingerprint"]["architecture"] == platform.machine()


def test_another_processor_is_compiled_for_with_debians_cross_compiler(tmp_path: Path) -> None:
    require("package:gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc")
    done = CliRunner().invoke(
        cli, ["build-runner", "--abi", "aarch64-linux-gnu", "--out", str(tmp_path)], obj=Settings()
    )
    assert done.exit_code == 0, done.output
    folder = tmp_path / "aarch64-linux-gnu"
    for name in (build.PROGRAM, build.LOADER, "libc.so.6", "libstdc++.so.6"):
        head = (folder / name).read_bytes()[:20]
        assert head[:5] == b"\x7fELF\x02"
        assert struct.unpack_from("<H", head, 18) == (183,), f"{name} is not for aarch64"
    assert f"aarch64-linux-gnu: {folder / build.PROGRAM}" in done.output


def test_a_missing_compiler_is_named_with_the_package_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingTool, match=r"this host: no compiler for riscv64-linux-gnu on this host; apt-get install gcc-riscv64-linux-gnu libc6-dev-riscv64-cross libstdc\+\+6-riscv64-cross, or name one with --cc"):  # fmt: skip  # noqa: E501
        build.kit("riscv64-linux-gnu")
    with pytest.raises(MissingTool, match="pi5: there is no compiler clang-99 on this host; name one with --cc"):
        build.kit("arm-linux-gnueabihf", cc="clang-99", device="pi5")


def test_a_compiler_that_cannot_compile_it_says_what_it_said(tmp_path: Path) -> None:
    fussy = tmp_path / "cc"
    fussy.write_text("#!/bin/sh\necho 'x.c:1: error: this is no C' >&2\nexit 1\n")
    fussy.chmod(0o755)
    with pytest.raises(MissingTool, match=r"cannot compile the native runner: x\.c:1: error: this is no C; try"):
        build.kit("aarch64-linux-android", cc=str(fussy))


def test_a_processor_without_a_runner_is_named() -> None:
    with pytest.raises(Unsupported, match=r"old: there is no native runner for mips \(known: x86_64, amd64, aarch64"):
        build.abi_of("mips", device="old")
    assert build.abi_of("armv7l", device="pi2") == "arm-linux-gnueabihf"


@pytest.mark.parametrize("source", SOURCES, ids=[path.name for path in SOURCES])
def test_a_source_file_is_short_and_so_are_its_functions(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert len(lines) < 300
    assert max(map(len, lines)) <= 120
    starts = [number for number, line in enumerate(lines) if line == "{"]
    ends = [number for number, line in enumerate(lines) if line == "}"]
    assert all(end - start <= 40 for start, end in zip(starts, ends, strict=True))


def test_no_part_of_the_runner_needs_one_that_needs_it(tmp_path: Path) -> None:
    require("package:gcc")
    (tmp_path / header.NAME).write_text(header.text())
    sources = [path for path in SOURCES if path.suffix == ".c"]
    subprocess.run(["gcc", *build.FLAGS, "-O0", f"-I{tmp_path}", "-c", *sources], cwd=tmp_path, check=True)
    wants: dict[str, set[str]] = {}
    owner: dict[str, str] = {}
    for path in sources:
        listed = subprocess.run(
            ["nm", tmp_path / f"{path.stem}.o"], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        symbols = [(line.split()[-2], line.split()[-1]) for line in listed]
        wants[path.stem] = {name for kind, name in symbols if kind == "U"}
        owner |= {name: path.stem for kind, name in symbols if kind in "TDRB"}
    needs = {part: {owner[name] for name in names if name in owner} - {part} for part, names in wants.items()}
    order = list(graphlib.TopologicalSorter(needs).static_order())
    assert order.index("conductor") < order.index("phases") < order.index("run") < order.index("main")


def test_the_part_of_the_c_interface_that_is_used_lies_where_its_numbers_say() -> None:
    text = (build.SOURCES / "onnxruntime_api.h").read_text()
    table = re.sub(r"\s+", " ", text.partition("struct OrtApi {")[2].partition("\n};")[0])
    place = 0
    for gap, size, number in re.findall(r"void \*(places?_\d+(?:_\d+)?)(?:\[(\d+)\])?;|/\* (\d+) \*/", table):
        if gap:
            assert int(gap.split("_")[1]) == place
            place += int(size or 1)
            assert int(gap.split("_")[-1]) == place - 1
        else:
            assert int(number) == place
            place += 1
    assert place == 217
