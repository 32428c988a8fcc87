"""Which Python a device has, asked of itself: real interpreters behind real log-ins, and what others were seen to say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.virtual.openssh import Server, login_environment, openssh
from harness import deploy
from harness.deploy import DeviceHandle
from harness.deploy.wheels import NoWheel, bundle
from harness.errors import DeviceError, LabError, MissingTool, Unsupported
from harness.lab.devices import read_device
from harness.measure import preflight
from harness.model import Address, Device
from harness.ports import Target
from harness.runners._interpreter import modules
from harness.runners.python import agent_sources
from tests import small_models as small

#: The interpreter of these tests, without its environment.
REAL = Path(sys.executable).resolve()
Shim = Callable[[str], Device]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    variables = login_environment()
    variables["PATH"] = f"{tmp_path / 'shims'}:{variables['PATH']}"
    with openssh(tmp_path / "sshd", environment=variables) as running:
        yield running


@pytest.fixture
def shim(server: Server, tmp_path: Path) -> Shim:
    """Give the means to put a python3 first on the device's PATH, from the text of a shell script."""

    def put(text: str) -> Device:
        file = tmp_path / "shims" / "python3"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
        return server.device()

    return put


def prepared(device: Device) -> DeviceHandle:
    handle = DeviceHandle(device)
    try:
        deploy.prepare(handle)
    finally:
        handle.close()
    return handle


def test_the_kernels_word_for_itself_does_not_choose_the_wheels(shim: Shim) -> None:
    device = shim(f'exec setarch i686 "{REAL}" "$@"')
    assert subprocess.check_output(["setarch", "i686", "uname", "-m"], text=True).strip() == "i686"
    assert prepared(device).workspace.target.machine == os.uname().machine


def test_lines_that_a_start_script_prints_are_no_answer(shim: Shim) -> None:
    device = shim(f'echo "Activating lab environment"; exec "{REAL}" "$@"')
    assert prepared(device).workspace.target.python == sys.version_info[:2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo \"pyenv: version '3.12' is not installed\" >&2; exit 1", "pyenv: version '3.12' is not installed"),
        ("kill -SEGV $$", "Segmentation fault"),
        ("exit 0", "code 0"),
        ("echo python3: not found in this environment >&2; exit 3", "not found in this environment"),
    ],
)
def test_a_python_that_does_not_run_is_quoted_and_another_can_be_named(shim: Shim, text: str, said: str) -> None:
    device = shim(text)
    with pytest.raises(MissingTool, match=r'does not run on the device .*or write python = "/path/of') as caught:
        prepared(device)
    assert said in caught.value.text
    assert not preflight.survey(DeviceHandle(device))[0].ok
    named = prepared(dataclasses.replace(device, python=str(REAL)))
    assert named.workspace.command[0] == str(REAL)


def test_modules_that_a_pruned_python_lacks_are_named_before_anything_is_brought(shim: Shim, server: Server) -> None:
    hidden = "import sys; sys.modules.update(dict.fromkeys(('tarfile', 'subprocess')))"
    without = f'shift 2; [ "$1" = -c ] && {{ code=$2; shift 2; exec "{REAL}" -I -S -c "{hidden}\n$code" "$@"; }}'
    with pytest.raises(MissingTool, match="lacks subprocess, tarfile of Python's own modules"):
        prepared(shim(without))
    assert not (server.workdir / "agent").exists()


def test_all_modules_that_the_agent_imports_are_asked_for() -> None:
    asked = set(modules(agent_sources(Device("d", "sbc", Address("local"))).values()))
    assert asked >= {"hashlib", "json", "select", "subprocess"}
    assert asked <= sys.stdlib_module_names


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_workdir_from_which_no_library_may_be_loaded_is_refused_before_anything_is_brought(
    server: Server, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(disk)], check=True)
    try:
        device = server.device(workdir=disk / "edgeward")
        with pytest.raises(Unsupported, match=r"no library may be loaded \(noexec\); set workdir in openssh.toml"):
            prepared(device)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


#: A shell script that answers the probe as another interpreter would; what it said there.
ANSWERS = {
    "Raspberry Pi OS, 32 bits": ("aarch64", 32, ".cpython-311-arm-linux-gnueabihf.so", "glibc 2.36"),
    "Debian i386 on a 64-bit kernel": ("x86_64", 32, ".cpython-311-i386-linux-gnu.so", "glibc 2.36"),
    "Alpine": ("x86_64", 64, ".cpython-312-x86_64-linux-musl.so", "musl 1.2.5"),
    "free-threaded": ("x86_64", 64, ".cpython-313t-x86_64-linux-gnu.so", "glibc 2.41"),
    "Debian": ("aarch64", 64, ".cpython-311-aarch64-linux-gnu.so", "glibc 2.36"),
    "Raspberry Pi Zero": ("armv6l", 32, ".cpython-311-arm-linux-gnueabihf.so", "glibc 2.36"),
}


def answering(machine: str, bits: int, suffix: str, libc: str, python: str) -> str:
    said = {"version": python, "bits": bits, "lacking": "", "machine": machine, "suffix": suffix, "libc": libc}
    return "\n".join(f"echo edgeward-python: {key} '{value}'" for key, value in {**said, "noexec": 0}.items())


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("Raspberry Pi OS, 32 bits", "cp311 on armv7l with glibc 2.36"),
        ("Debian i386 on a 64-bit kernel", "cp311 on i686 with glibc 2.36"),
        ("free-threaded", "cp311t on x86_64 with glibc 2.41"),
        ("Debian", "cp311 on aarch64 with glibc 2.36"),
        ("Raspberry Pi Zero", "cp311 on armv6l with glibc 2.36"),
    ],
)
def test_wheels_are_chosen_for_what_the_interpreter_was_built_for(shim: Shim, which: str, expected: str) -> None:
    probed = answering(*ANSWERS[which], python="3 11")
    # The probe alone is answered so; the rest, the agent itself, runs in the real one.
    device = shim(f'case "$4" in *edgeward-python:*) {probed.replace(chr(10), "; ")}; exit;; esac; exec "{REAL}" "$@"')
    assert str(prepared(device).workspace.target) == expected


def test_a_python_of_other_bits_that_does_not_say_for_what_it_was_built_is_refused(shim: Shim) -> None:
    probed = answering("aarch64", 32, ".so", "glibc 2.36", "3 11").replace("\n", "; ")
    with pytest.raises(Unsupported, match="32 bits under a kernel of aarch64, and does not say for which processor"):
        prepared(shim(probed))


def test_musl_without_its_loader_is_refused_and_with_it_has_wheels_of_its_own(shim: Shim) -> None:
    probed = answering(*ANSWERS["Alpine"], python="3 12").replace("\n", "; ")
    with pytest.raises(Unsupported, match="its C library is musl, whose version its loader does not say"):
        prepared(shim(probed))
    target = Target((3, 12), "x86_64", (1, 2), "musl")
    assert target.platforms == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64", "musllinux_1_0_x86_64"]
    with pytest.raises(NoWheel, match=r"cp312 on x86_64 with musl 1\.2"):
        bundle("onnxruntime==1.31.1", (), target, device="alpine")
    assert any("musl" in name for name in bundle("numpy==2.3.3", (), target, device="alpine").files)


def test_a_free_threaded_python_gets_wheels_of_its_own_abi() -> None:
    found = bundle("numpy==2.3.3", (), Target((3, 13), "x86_64", (2, 28), abi="t"), device="free").files
    assert any(name.endswith(".cpython-313t-x86_64-linux-gnu.so") for name in found)
    assert not any(".cpython-313-x86_64" in name for name in found)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('python = "python3.11"', r"python: 'python3\.11' is no absolute path; write all of it"),
        (
            'python = "/usr/bin/python3"\nrunner = "native"',
            r"python: the native runner uses no Python; remove it, or set",
        ),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused_in_the_device_file(tmp_path: Path, more: str, complaint: str) -> None:
    file = small.write_device(tmp_path, "here", workdir=tmp_path, more=f"{more}\n")
    with pytest.raises(LabError, match=complaint):
        read_device(file)


def test_a_python_that_is_not_there_is_named(server: Server) -> None:
    with pytest.raises(DeviceError, match=r"/opt/none/python3 does not run on the device \("):
        prepared(dataclasses.replace(server.device(), python="/opt/none/python3"))
