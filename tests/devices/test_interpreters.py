"""The Python that will run on a device is asked what it is; what is not well is said before anything is pushed."""

from __future__ import annotations

import ast
import dataclasses
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, openssh
from devices.virtual.requirements import require
from harness import deploy
from harness.deploy import DeviceHandle, wheels
from harness.errors import DeviceError, MissingTool, Unsupported
from harness.model import Address, Device
from harness.ports.runners import Target
from harness.runners import _interpreter

#: What the probe prints on a 64-bit Debian 12, of which each test changes what it is about.
DEBIAN = {
    "version": [3, 11], "name": "cpython", "program": "/usr/bin/python3", "flags": "", "wide": True, "bionic": False,
    "suffix": ".cpython-311-x86_64-linux-gnu.so", "lacks": [], "machine": "x86_64", "libc": "glibc 2.36", "musl": "",
    "noexec": "",
}  # fmt: skip
DUT = Device("dut", "sbc", Address("ssh", host="dut"), file=Path("devices/dut.toml"))
MUSL = b"musl libc (x86_64)\nVersion 1.2.5\nDynamic Program Loader\nUsage: /lib/ld-musl-x86_64.so.1\n"


def script(path: Path, text: str) -> str:
    """Write a program in the shell's language and return its path."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def prepared(server: Server, python: str, workdir: Path | None = None) -> tuple[str, ...]:
    """Return the command of the device side that was brought to a device with this `python` in its file."""
    with DeviceHandle(dataclasses.replace(server.device(workdir=workdir), python=python)) as handle:
        deploy.prepare(handle)
        assert deploy.survey(handle)["fingerprint"]["python"]
        return handle.workspace.command


@pytest.mark.parametrize(
    ("facts", "musl", "target", "platform"),
    [
        ({}, b"", "cp311 on x86_64 with glibc 2.36", "manylinux_2_28_x86_64"),
        (
            {"wide": False, "suffix": ".cpython-311-i386-linux-gnu.so"},
            b"",
            "cp311 on i686 with glibc 2.36",
            "manylinux2014_i686",
        ),
        (
            {"wide": False, "machine": "aarch64", "suffix": ".cpython-311-arm-linux-gnueabihf.so"},
            b"",
            "cp311 on armv7l with glibc 2.36",
            "manylinux2014_armv7l",
        ),
        ({"machine": "armv8l"}, b"", "cp311 on aarch64 with glibc 2.36", "manylinux2014_aarch64"),
        (
            {"libc": "", "musl": "/lib/ld-musl-x86_64.so.1"},
            MUSL,
            "cp311 on x86_64 with musl 1.2",
            "musllinux_1_1_x86_64",
        ),
        ({"version": [3, 13], "flags": "t"}, b"", "cp313t on x86_64 with glibc 2.36", "manylinux_2_28_x86_64"),
    ],
)
def test_the_target_is_the_interpreters_and_not_the_kernels(
    facts: dict[str, object], musl: bytes, target: str, platform: str
) -> None:
    found = _interpreter.target_of({**DEBIAN, **facts}, musl, device=DUT)
    assert str(found) == target
    assert platform in found.platforms
    assert not any(name.startswith("manylinux") for name in found.platforms if found.libc == "musl")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"name": "pypy"}, "Python is pypy, and runtimes are made for CPython only"),
        ({"wide": False, "suffix": ".cpython-311-arm-linux-gnueabi.so"}, r"32-bit Python 3\.11 on x86_64 \(\.cpython"),
        (
            {"wide": False, "suffix": ".cpython-311-x86_64-linux-gnux32.so"},
            "no wheels are made for the device's 32-bit",
        ),
        ({"wide": False, "machine": "mips64", "suffix": ".so"}, r"32-bit Python 3\.11 on mips64"),
        ({"libc": "", "bionic": True}, r"uses Android's own C library \(bionic\)"),
        ({"libc": ""}, "uses neither glibc nor a musl"),
    ],
)
def test_what_no_wheels_are_made_for_is_refused_by_name(facts: dict[str, object], said: str) -> None:
    with pytest.raises(Unsupported, match=rf'dut: .*{said}.*; name another one in dut\.toml: python = "/PATH'):
        _interpreter.target_of({**DEBIAN, **facts}, b"", device=DUT)


@pytest.mark.parametrize(
    ("target", "holds"),
    [
        (Target((3, 11), "x86_64", (1, 2), "musl"), "x86_64-linux-musl.so"),
        (Target((3, 13), "x86_64", (2, 36), abi="t"), "cpython-313t-x86_64-linux-gnu.so"),
    ],
)
def test_musl_and_free_threads_get_wheels_of_their_own(
    target: Target, holds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path))
    made = wheels.bundle("numpy==2.3.5", (), target, device="dut")
    libraries = [name for name in made.files if name.startswith("numpy/_core/_multiarray_umath.")]
    assert len(libraries) == 1
    assert libraries[0].endswith(holds)


def test_a_python_that_the_file_names_is_the_one_that_runs(own_server: Server, tmp_path: Path) -> None:
    own = tmp_path / "opt" / "python3"
    own.parent.mkdir()
    own.symlink_to(sys.executable)
    assert prepared(own_server, str(own))[0] == str(own)


def test_a_script_that_prints_before_python_starts_is_passed_by(own_server: Server, tmp_path: Path) -> None:
    real = subprocess.run([sys.executable, "-c", "import sys; print(sys.executable)"], capture_output=True, check=True)
    shim = script(tmp_path / "python3", f'echo Activating lab environment; exec {shlex.quote(sys.executable)} "$@"')
    assert prepared(own_server, shim)[0] == real.stdout.decode().strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo \"pyenv: version '3.12.1' is not installed\" >&2; exit 1", "pyenv: version '3.12.1' is not installed"),
        ("kill -SEGV $$", "SIGSEGV|Segmentation"),
        ("exit 3", "it ended with code 3"),
        ("echo '{[broken'", "broken"),
    ],
)
def test_a_python_that_does_not_run_is_shown_with_what_it_said(
    own_server: Server, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(MissingTool, match=rf"python3 is on the device and does not run: .*({said}).*; repair it, or"):
        prepared(own_server, script(tmp_path / "python3", text))


def test_a_python_that_is_not_there_is_named(own_server: Server) -> None:
    with pytest.raises(MissingTool, match=r"/opt/none/python3 is not on the device; correct `python`"):
        prepared(own_server, "/opt/none/python3")


def test_a_pruned_python_is_told_which_modules_it_lacks(own_server: Server, tmp_path: Path) -> None:
    pruned = (
        "import sys\nclass Gone:\n def find_spec(self, name, *rest):\n"
        "  if name in ('tarfile', 'hashlib'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\nsys.argv[:] = sys.argv[:1] + sys.argv[5:]\nexec(sys.argv.pop(1))"
    )
    # A Python whose standard library has been thinned, as Yocto's python3-core is.
    shim = f'exec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(pruned)} -- "$@"'
    with pytest.raises(MissingTool, match=r"lacks what the agent imports: hashlib, tarfile; install the whole"):
        prepared(own_server, script(tmp_path / "python3", shim))


@pytest.fixture
def noexec(tmp_path: Path) -> Iterator[Path]:
    """Give a folder from which nothing may be run or loaded."""
    folder = tmp_path / "noexec"
    folder.mkdir()
    require("root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_workdir_that_nothing_can_be_loaded_from_is_said_before_anything_is_pushed(
    own_server: Server, noexec: Path
) -> None:
    with pytest.raises(Unsupported, match=rf"{noexec} on the device is mounted noexec.*; set workdir to a folder on"):
        prepared(own_server, "", noexec / "not yet there")
    assert list(noexec.iterdir()) == []


def test_a_mv_that_knows_no_newer_options_will_do(own_server: Server, tmp_path: Path) -> None:
    old = 'for one; do case $one in -T) echo "mv: invalid option -- T" >&2; exit 1;; esac; done; exec /bin/mv "$@"'
    script(tmp_path / "mv", old)
    with DeviceHandle(own_server.device()) as handle:
        path = handle.run(["sh", "-c", 'echo "$PATH"']).text
    with openssh(tmp_path / "old", environment={"PATH": f"{tmp_path}:{path}"}) as server:
        with DeviceHandle(server.device()) as handle:
            assert handle.run(["mv", "-T", "a", "b"]).code == 1
        assert prepared(server, sys.executable)


@pytest.mark.parametrize("text", ["not json", '{"fingerprint": {}}', "[]", "[" * 100_000, ""])
def test_whatever_a_device_prints_for_an_answer_is_a_device_error(
    own_server: Server, tmp_path: Path, text: str
) -> None:
    with DeviceHandle(own_server.device()) as handle:
        deploy.prepare(handle)
        (tmp_path / "said").write_text(text)
        said = script(tmp_path / "agent", f"cat {tmp_path}/said")
        handle.workspace = dataclasses.replace(handle.workspace, command=(said,))
        with pytest.raises(
            DeviceError,
            match=r"the agent does not run on the device \(it printed .+ where an answer in JSON is due\); keep",
        ):
            deploy.survey(handle)


def test_what_a_source_imports_is_found_as_python_finds_it() -> None:
    said = b"""\
if x: import zlib as z, os.path; from . import own
try: import lzma
except ImportError: from bz2 import (
    open)
words = {"import": "json"}  # import csv
raise ValueError from cause
"""
    assert _interpreter.modules([said]) == ["bz2", "lzma", "os.path", "tarfile", "zlib"]
    for path in sorted((Path(deploy.__file__).parents[1] / "agent").rglob("*.py")):
        found = {"tarfile"}
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found.update(one.name for one in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
        assert _interpreter.modules([path.read_bytes()]) == sorted(
            name for name in found if name.partition(".")[0] in sys.stdlib_module_names
        )
