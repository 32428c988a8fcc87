"""The native runner brought to devices without Python: closed units, phones, boards, a root with nothing in it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.virtual import unit as closed_unit
from devices.virtual.openssh import Server, openssh, small_disk
from devices.virtual.phone import Phone
from devices.virtual.requirements import program, require
from harness import lab
from harness.deploy.wheels import bundle
from harness.errors import MissingTool, OutOfSpace, Unsupported
from harness.measure.campaign import CampaignRunner, Settings
from harness.model import Device, Run
from harness.native import build
from harness.ports.runners import Target
from harness.runners import native
from harness.store import Store
from harness.transports import ssh
from tests import small_models as small
from tests import small_tflite
from tests.devices.job_bench import Bench
from tests.native.native_bench import bench_of, change_job, outputs_of

BOTH = (small.ONNXRUNTIME, small.LITERT)


def test_a_damaged_runner_is_brought_anew(bench: Bench, tmp_path: Path) -> None:
    own = bench_of("native", tmp_path / "work", bench.folder)
    loader, binary = Path(own.handle.workspace.command[0]), Path(own.handle.workspace.command[-1])
    whole = binary.read_bytes()
    for damage in (whole[:1000], whole.replace(b"inventory", b"inventori")):
        binary.write_bytes(damage)
        assert bench_of("native", tmp_path / "work", bench.folder).handle.workspace == own.handle.workspace
        assert binary.read_bytes() == whole
    loader.unlink()
    assert bench_of("native", tmp_path / "work", bench.folder).handle.workspace == own.handle.workspace
    library = Path(own.runtime) / "libonnxruntime.so"
    before = library.stat().st_mtime_ns
    bench_of("native", tmp_path / "work", bench.folder)
    assert library.stat().st_mtime_ns == before, "what is whole is not brought again"
    library.write_bytes(b"damaged")
    bench_of("native", tmp_path / "work", bench.folder)
    assert library.stat().st_size > 10_000_000


def test_a_disk_that_is_mounted_noexec_is_named(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=64 << 20) as disk:
        subprocess.run(["mount", "-o", "remount,noexec", str(disk)], check=True)
        with pytest.raises(MissingTool, match=r"the native runner does not start in .*noexec, set workdir to another"):
            bench_of("native", disk / "work", bench.folder)


def test_a_disk_too_small_for_the_runtime_is_named_and_no_half_of_it_is_used(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=12 << 20) as disk:
        with pytest.raises(OutOfSpace, match=r"cannot write .* to .*/runtimes/.*: the disk is full, needs .*free some"):
            bench_of("native", disk / "work", bench.folder)
        assert list(disk.rglob("libonnxruntime.so")) == []


def test_a_runtime_without_a_library_for_c_is_refused_with_the_remedy(bench: Bench) -> None:
    said = r'local: .*no tflite-runtime==2\.14\.0, only ai-edge-litert and onnxruntime; .*runner = "python"'
    with pytest.raises(Unsupported, match=said):
        native.runtime(bench.handle, small.TFLITE)


@pytest.fixture
def bare_server(tmp_path: Path) -> Iterator[Server]:
    """Give an SSH server whose PATH holds the applets of busybox and nothing else."""
    require("package:busybox-static=busybox")
    applets = tmp_path / "bin"
    applets.mkdir()
    busybox = program("busybox")
    assert busybox is not None
    subprocess.run([busybox, "--install", "-s", str(applets)], check=True)
    with openssh(tmp_path / "server", environment={"PATH": str(applets)}) as server:
        yield server


def run_campaign(folder: Path, device: Device, say: Callable[[str, str], None]) -> list[Run]:
    """Measure two models, and one with LiteRT where a device has it; return their runs, which must be whole."""
    suites = [small.write_suite(folder, "bare", ("good", small.good), {"slower": small.slower})]
    if small.LITERT in device.runtimes:
        suites.append(small.write_suite(folder, "lite", ("good", small_tflite.good), ending="tflite"))
    cases = [case for suite in suites for case in lab.cases(lab.read_suite(suite), [device])]
    store = Store(f"sqlite:///{folder}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings(command="pytest", say=say, quick=True))
    results = [campaign.future(case).result(180) for case in cases]
    campaign.stop()
    store.close()
    assert [(result.outcome.status, result.outcome.message) for result in results] == [("passed", "")] * len(cases)
    runs = [result.run for result in results if result.run is not None]
    for case, run in zip(cases, runs, strict=True):
        assert run.fingerprint["runner"] == "native"
        assert f"{run.fingerprint['runtime']}=={run.fingerprint['runtime_version']}" == case.runtime
        # What the agent gives on this host with the same file and runtime: they have one processor.
        reference = run.notes["reference"]
        assert (reference["samples"], reference["max_difference"]) == (60, 0.0)
        assert run.fingerprint["libc"] == ".".join(map(str, build.kit("x86_64-linux-gnu").glibc))
        assert "python" not in run.fingerprint
        assert run.accuracy["accuracy"].point == 1.0
        latency = run.measurements["latency_s"]
        assert latency.rounds is not None
        assert latency.rounds[-1, 2] == len(latency.values) > 100
        assert run.measurements["load_growth_bytes"].values.min() > 0
    return runs


def has_no_python(device: Device) -> bool:
    connection = ssh.connect(device)
    try:
        return connection.run(["python3", "--version"]).code == 127
    finally:
        connection.close()


def test_a_campaign_on_a_device_without_python_survives_a_cut_link(bare_server: Server, tmp_path: Path) -> None:
    path = bare_server.write_device(tmp_path, id="bare", runtimes=[small.ONNXRUNTIME])
    path.write_text('runner = "native"\n' + path.read_text())
    (device,) = lab.select(tmp_path, ["bare"])
    assert has_no_python(device)

    def say(device: str, text: str) -> None:
        del device
        if text.startswith("timed pass: launch 2"):
            bare_server.signal_sessions(signal.SIGKILL)

    runs = run_campaign(tmp_path, device, say)
    assert [run.notes["launches"] for run in runs] == [4, 4]


def test_a_closed_unit_with_dropbear_and_busybox_is_measured(tmp_path: Path) -> None:
    require(*closed_unit.NEEDS)
    with closed_unit.unit(tmp_path / "unit") as unit:
        unit.write_device(tmp_path, runtimes=BOTH)
        (device,) = lab.select(tmp_path, ["unit"])
        assert has_no_python(device)
        runs = run_campaign(tmp_path, device, lambda *_: None)
    assert runs[1].measurements["latency_s"].values.mean() > runs[0].measurements["latency_s"].values.mean()


def test_a_phone_is_measured_over_adb(android: Phone, tmp_path: Path) -> None:
    android.write_device(tmp_path, id="phone", runtimes=BOTH)
    (device,) = lab.select(tmp_path, ["phone"])
    runs = run_campaign(tmp_path, device, lambda *_: None)
    assert [(run.case.device, run.case.runtime) for run in runs] == [("phone", BOTH[0])] * 2 + [("phone", BOTH[1])]


def test_a_root_with_nothing_in_it_is_enough(bench: Bench, tmp_path: Path) -> None:
    root, folder = tmp_path / "root", Path(bench.handle.workspace.command[0]).parent
    for name in ("proc", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copytree(folder, root / "run")
    shutil.copytree(bench.runtime, root / "runtime")
    job = change_job(bench.job("good"), input={"path": "/images.npy"})
    what = json.loads((job / "job.json").read_text())
    what["models"][0] |= {"path": "/good.onnx", "runtime_path": "/runtime"}
    (root / "job").mkdir()
    (root / "job" / "job.json").write_text(json.dumps(what))
    for name in ("good.onnx", "images.npy"):
        shutil.copy(bench.folder / name, root / name)
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" /run/ld.so --library-path /run /run/edgeward-native "$@"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", enter, str(root), "run", "/job"], check=False)
    assert done.returncode == 0
    events = [json.loads(line) for line in (root / "job" / "events.jsonl").read_text().splitlines()]
    assert (events[-1]["event"], events[-1]["alive"]) == ("done", [0])
    assert len(np.load(root / "job" / "m0.latency.npy")) > 50
    assert not any((root / name).exists() for name in ("bin", "lib", "lib64", "usr"))


#: What LiteRT wants to know of an ARM processor, without which it computes nothing: where it is read, and one core.
PROCESSOR = {
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "proc/cpuinfo": "processor : 0\nCPU implementer : 0x41\nCPU architecture: 8\nCPU part : 0xd08\n",
}


def root_of(folder: Path, kit: build.Kit, files: Iterable[Path], job: Path) -> Path:
    """Make a root with the runner, other files and one job, whose model and runtime are found there.

    Args:
        folder: of the root.
        kit: the runner.
        files: what else lies at the top.
        job: of one model; its paths are those of `files`, the runtime's is /runtime.
    """
    shutil.copytree(kit.folder, folder / "run")
    for name, text in PROCESSOR.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for path in files:
        shutil.copy(path, folder / path.name)
    what = json.loads((job / "job.json").read_text())
    (model,) = what["models"]
    model |= {"path": f"/{Path(model['path']).name}", "runtime_path": "/runtime"}
    (folder / "job").mkdir()
    (folder / "job" / "job.json").write_text(json.dumps(what))
    return folder


@pytest.mark.parametrize("requirement", BOTH)
def test_the_runner_for_aarch64_answers_rightly_under_emulation(bench: Bench, tmp_path: Path, requirement: str) -> None:
    require(
        "root", "package:qemu-user-static=qemu-aarch64-static", "package:gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc"
    )
    kit, emulator = build.kit("aarch64-linux-gnu"), program("qemu-aarch64-static")
    assert emulator is not None
    # Not `run`: a worker that starts others would need this host's kernel to know the emulator. And this host's /proc
    # and /sys would mislead the library.
    made = bundle(requirement, (), Target((3, 11), "aarch64", kit.glibc), device="emulated")
    here = bench.with_runtime(requirement)
    model = bench.folder / f"good.{here.ending}"
    job = change_job(here.job("good"), input={"path": "/images.npy"})
    root = root_of(tmp_path / "root", kit, [model, bench.folder / "images.npy", Path(emulator)], job)
    shutil.copytree(here.runtime, root / "runtime")
    (library,) = (root / "runtime").glob("*.so")
    shutil.copy(native.taken_out(made), library)
    asked = "".join(json.dumps({"do": verb}) + "\n" for verb in ("load", "first", "accuracy", "quit"))
    start = ["chroot", str(root), f"/{Path(emulator).name}", "/run/ld.so", "--library-path", "/run"]
    done = subprocess.run(
        [*start, "/run/edgeward-native", "work", "/job", "0"], input=asked, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["samples"] == 60
    outputs = np.load(root / "job" / "m0.outputs.npy")
    np.testing.assert_array_equal(outputs.argmax(axis=1), small.samples()[1])
    (own,), _ = outputs_of(here, {"good": model})
    np.testing.assert_allclose(outputs, own, rtol=1e-4, atol=1e-5)
