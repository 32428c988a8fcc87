"""The native runner beside the agent: the same jobs, the same outputs bit for bit, the same errors, without Python."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from devices.virtual import unit as closed_unit
from devices.virtual.openssh import Server, openssh, small_disk
from devices.virtual.phone import Phone
from devices.virtual.requirements import program, require
from harness import jobs, lab, provision
from harness.campaign import Conduct, Settings
from harness.errors import DeviceError, MeasurementError, MissingTool, OutOfSpace, Unsupported
from harness.model import Address, Device, Run, Samples
from harness.native import build
from harness.runners import native
from harness.store import Store
from harness.transports import local, ssh
from harness.wheels import Target, bundle
from tests import small_models as small
from tests.devices import test_agent_jobs as agent_jobs
from tests.devices.test_agent_jobs import (  # noqa: F401 -- collected again here: one body for both device sides
    Bench,
    finished,
    of,
    test_a_decided_model_rests_while_the_others_go_on,
    test_a_follower_costs_no_processor_time_while_it_waits,
    test_a_follower_that_comes_late_sees_the_rest_from_where_it_wants,
    test_a_killed_conductor_is_noticed_within_a_second_and_its_workers_go_too,
    test_a_killed_worker_takes_only_its_own_model_out,
    test_a_model_with_more_to_do_takes_longer_and_its_cold_start_is_told_apart,
    test_arrays_have_the_promised_shapes_and_types,
    test_events_are_whole_ordered_and_end_with_done,
    test_half_a_line_of_a_dead_conductor_is_never_read,
    test_memory_grows_from_start_to_load_and_its_peak_holds_both,
    test_models_that_do_not_fit_together_are_reloaded_for_every_round_and_the_job_says_so,
    test_rounds_index_the_samples_without_a_gap,
    test_stopping_a_job_leaves_no_process_and_a_stale_number_harms_nobody,
    test_the_stop_file_ends_the_timed_pass_early_and_the_job_well,
    test_two_followers_of_a_running_job_both_see_everything_at_once,
    wait_for,
)

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "suites" / "models"
#: A job that only takes outputs: no timing.
OUTPUTS_ONLY = {"cold_starts": 1, "memory_starts": 0, "max_launches": 0}


def bench_of(runner: str, workdir: Path, folder: Path) -> Bench:
    """Bring a runner and onnxruntime to this machine."""
    device = Device("local", "workstation", Address("local"), workdir=str(workdir), runner=runner)
    connection = local.connect(device)
    place = provision.workspace(connection, device)
    return Bench(connection, device, place, provision.runtime(connection, device, place, small.ONNXRUNTIME), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder with the small models and the images."""
    made = tmp_path_factory.mktemp("models")
    for make in (small.good, small.slower, small.not_a_number):
        make(made / f"{make.__name__}.onnx")
    np.save(made / "images.npy", small.samples()[0])
    return made


@pytest.fixture(scope="module")
def bench(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("native", device_workdir, folder)


@pytest.fixture(scope="module")
def agent(device_workdir: Path, folder: Path) -> Bench:
    return bench_of("python", device_workdir, folder)


def change_job(job: Path, **changes: Any) -> Path:
    """Change top-level keys of a job that is not started yet; `input` is merged."""
    what = json.loads((job / "job.json").read_text())
    what["input"] |= changes.pop("input", {})
    (job / "job.json").write_text(json.dumps(what | changes))
    return job


def outputs_of(bench: Bench, models: Mapping[str, Path], **changes: Any) -> tuple[list[Any], list[Mapping[str, Any]]]:
    """Run a job for its outputs alone; return one array a model, None for one that failed, and the events."""
    job = bench.job(*models, **OUTPUTS_ONLY)
    what = json.loads((job / "job.json").read_text())
    for model in what["models"]:
        model["path"] = str(models[model["id"]])
    (job / "job.json").write_text(json.dumps(what))
    events = bench.run(change_job(job, **changes))
    assert events[-1]["event"] == "done"
    files = [job / f"m{index}.outputs.npy" for index in range(len(models))]
    return [np.load(file) if file.exists() else None for file in files], events


def assert_same_bits(left: Any, right: Any) -> None:
    assert (left.dtype, left.shape) == (right.dtype, right.shape) == (np.float32, right.shape)
    assert left.tobytes() == right.tobytes()


def test_every_output_on_the_test_split_is_the_agents_bit_for_bit(bench: Bench, agent: Bench, tmp_path: Path) -> None:
    suite = lab.read_suite(ROOT / "suites" / "ultrasound.toml")
    samples: Samples = jobs.load_samples(suite)
    np.save(tmp_path / "images.npy", samples.images)
    spec = suite.input
    changes = {
        "input": {
            "path": str(tmp_path / "images.npy"),
            "layout": spec.layout,
            "scale": spec.scale,
            "mean": list(spec.mean),
            "std": list(spec.std),
        }
    }
    models = {name: MODELS / f"{name}.onnx" for name in ("resnet18", "resnet18-int8")}
    ours, _ = outputs_of(bench, models, **changes)
    theirs, _ = outputs_of(agent, models, **changes)
    for own, other in zip(ours, theirs, strict=True):
        assert own.shape == (900, 3)
        assert_same_bits(own, other)
    assert not np.array_equal(ours[0], ours[1]), "two models that say the same prove nothing"


def passes_through(path: Path, kind: int, shape: tuple[int, ...]) -> Path:
    """Write a model whose output is its input: what the device made of the image."""
    given = helper.make_tensor_value_info("x", kind, ["batch", *shape])
    seen = helper.make_tensor_value_info("y", kind, ["batch", *shape])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "through", [given], [seen])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def pixels_of(dtype: str, channels: int) -> Any:
    """Return (N, 7, 5, C) images with every hard case that a type has."""
    random = np.random.default_rng(3)
    if dtype == "uint8":
        return random.integers(0, 256, (20, 7, 5, channels), dtype=np.uint8)
    images = random.normal(0, 1, (20, 7, 5, channels)) * 10.0 ** random.integers(-42, 38, (20, 7, 5, channels))
    images[0, 0, 0, 0], images[1, 0, 0, 0], images[2, 0, 0, 0] = np.inf, -np.inf, -0.0
    images[3:6] = random.integers(0, 2**14, (3, 7, 5, channels)) / 2.0**11  # many ties between two halves
    return images.astype(np.float32)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.UINT8], ids=["f4", "f2", "u1"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("means", [1, 3])
def test_an_image_becomes_the_same_input_as_the_agents_bit_for_bit(
    bench: Bench, agent: Bench, tmp_path: Path, dtype: str, kind: int, layout: str, means: int
) -> None:
    shape = (3, 7, 5) if layout == "NCHW" else (7, 5, 3)
    models = {"through": passes_through(tmp_path / "through.onnx", kind, shape)}
    np.save(tmp_path / "images.npy", pixels_of(dtype, 3))
    spec = {
        "path": str(tmp_path / "images.npy"),
        "layout": layout,
        "scale": 0.00392156862745098 if dtype == "uint8" else 1.0,
        "mean": [0.485, 0.456, 0.406][:means] if dtype == "uint8" else [0.0] * means,
        "std": [0.229, 0.224, 0.225][:means] if dtype == "uint8" else [1.0] * means,
    }
    (ours,), events = outputs_of(bench, models, input=spec)
    (theirs,), others = outputs_of(agent, models, input=spec)
    if kind == TensorProto.UINT8 and dtype == "float32":
        assert ours is theirs is None
        assert {e["kind"] for e in [*of(events, "error"), *of(others, "error")]} == {"input"}
        return
    assert ours.shape == (20, *shape)
    assert_same_bits(ours, theirs)


FAILURES: dict[str, Callable[[Path], Path]] = {
    "good": small.good,
    "truncated": small.truncated,
    "random": small.random_bytes,
    "missing": small.missing,
    "two_inputs": small.two_inputs,
    "three_channels": small.of_three_channels,
    "int8": lambda path: small.of_integers(path, TensorProto.INT8),
    "uint8": small.of_integers,
    "huge": small.huge,
    "nan": small.not_a_number,
}


def test_what_is_wrong_with_a_model_is_called_by_the_agents_names_and_harms_no_other(
    bench: Bench, agent: Bench, tmp_path: Path
) -> None:
    models = {name: make(tmp_path / f"{name}.onnx") for name, make in FAILURES.items()}
    ours, events = outputs_of(bench, models)
    theirs, others = outputs_of(agent, models)
    names = list(models)

    def blamed(said: list[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
        return {names[event["model"]]: (event["phase"], event["kind"]) for event in of(said, "error")}

    assert blamed(events) == blamed(others)
    assert blamed(events) == {
        "truncated": ("cold", "model"), "random": ("cold", "model"), "missing": ("cold", "model"),
        "two_inputs": ("cold", "model"), "three_channels": ("cold", "input"), "int8": ("cold", "input"),
        "huge": ("cold", "memory"),
    }  # fmt: skip
    assert events[-1]["alive"] == others[-1]["alive"] == [names.index(name) for name in ("good", "uint8", "nan")]
    for name in ("good", "uint8", "nan"):
        assert_same_bits(ours[names.index(name)], theirs[names.index(name)])
    (misfit,) = [e for e in of(events, "error") if names[e["model"]] == "three_channels"]
    assert "the model takes (1, 3, 16, 16) but the data gives (1, 1, 16, 16); set layout" in misfit["message"]
    assert all(event["message"].isprintable() for event in of(events, "error"))


def test_means_that_do_not_fit_the_channels_are_refused(bench: Bench, folder: Path) -> None:
    _, events = outputs_of(bench, {"good": folder / "good.onnx"}, input={"mean": [0.1, 0.2]})
    (error,) = of(events, "error")
    assert (error["kind"], error["message"]) == (
        "input", "2 means and 1 deviations do not fit images with 1 channels; give one, or one a channel",
    )  # fmt: skip


def test_a_runtime_that_does_not_start_is_told_apart(bench: Bench, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "libonnxruntime.so").write_bytes(b"no library")
    broken = dataclasses.replace(bench, runtime=str(tmp_path))
    _, events = outputs_of(broken, {"good": folder / "good.onnx"})
    (error,) = of(events, "error")
    assert error["kind"] == "runtime"
    assert "libonnxruntime.so" in error["message"]


def test_the_events_hold_what_the_agents_hold(bench: Bench, agent: Bench) -> None:
    def shapes(one: Bench) -> dict[str, Any]:
        return {event["event"]: shape(event) for event in one.run(one.job("good", "slower"))}

    def shape(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: shape(item) for key, item in value.items()}
        return [shape(item) for item in value[:1]] if isinstance(value, list) else isinstance(value, str)

    ours, theirs = shapes(bench), shapes(agent)
    assert ours["cold"]["facts"].pop("libc") is theirs["cold"]["facts"].pop("numpy") is True
    assert theirs["start"]["fingerprint"].pop("python") is True
    theirs["accuracy"].pop("quantised")  # asked of the host's reference alone
    assert ours == theirs


def test_the_survey_says_what_the_agents_says(bench: Bench, agent: Bench) -> None:
    ours, theirs = (provision.survey(one.connection, one.device, one.place) for one in (bench, agent))
    theirs["fingerprint"].pop("python")
    assert ours["fingerprint"] == theirs["fingerprint"]
    assert ours["can"] == theirs["can"]
    assert ours["conditions"].keys() == theirs["conditions"].keys()
    assert ours["clock"]["resolution_s"] == theirs["clock"]["resolution_s"]
    assert ours["conditions"]["available_bytes"] == pytest.approx(theirs["conditions"]["available_bytes"], rel=0.2)


def test_a_job_that_is_no_json_is_told_to_whoever_starts_it(bench: Bench) -> None:
    job = bench.job("good")
    (job / "job.json").write_text('{"schema": 1,')
    with pytest.raises(DeviceError, match=r"did not start .*job\.json is not JSON at byte 13"):
        bench.start(job)
    change_job(bench.job("good"))
    other = change_job(bench.job("good"), threads="many")
    with pytest.raises(DeviceError, match=r"job\.json: threads must be a number"):
        bench.start(other)


def test_a_meter_that_only_the_agent_reads_is_absent_with_the_reason(bench: Bench) -> None:
    job = change_job(bench.job("good", max_launches=0), meter={"kind": "hwmon", "path": "/sys"})
    (energy,) = of(bench.run(job), "energy")
    assert energy["absent"].startswith("the native runner reads no meter of kind hwmon")


def test_a_meter_that_never_changes_is_refused(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "energy_uj").write_text("5000000\n")
    job = change_job(bench.job("good", max_launches=0), meter={"kind": "powercap", "path": str(tmp_path)})
    (energy,) = of(bench.run(job), "energy")
    assert energy["absent"] == "the meter never changed: it is broken or not connected"


def test_a_battery_that_charges_gives_no_energy(bench: Bench, tmp_path: Path) -> None:
    for name, value in {"status": "Charging", "power_now": "2000000"}.items():
        (tmp_path / name).write_text(value + "\n")
    job = change_job(bench.job("good", max_launches=0), meter={"kind": "power_supply", "path": str(tmp_path)})
    (energy,) = of(bench.run(job), "energy")
    assert energy["absent"] == "the battery is charging, which hides what the device draws; unplug it"


def test_a_disk_that_runs_full_ends_the_job_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=512 * 1024) as disk:
        job = disk / "job"
        shutil.copytree(bench.job("good", rounds=50, round_s=0.2, max_launches=40, max_timed_s=100), job)
        bench.start(job)
        with pytest.raises(MeasurementError, match=rf"the disk under {job} is full; free some space"):
            list(bench.follow(job))


def test_a_damaged_runner_is_brought_anew(bench: Bench, tmp_path: Path) -> None:
    own = bench_of("native", tmp_path / "work", bench.folder)
    loader, binary = Path(own.place.command[0]), Path(own.place.command[-1])
    whole = binary.read_bytes()
    for damage in (whole[:1000], whole.replace(b"inventory", b"inventori")):
        binary.write_bytes(damage)
        assert bench_of("native", tmp_path / "work", bench.folder).place == own.place
        assert binary.read_bytes() == whole
    loader.unlink()
    assert bench_of("native", tmp_path / "work", bench.folder).place == own.place
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


def test_a_runtime_for_other_formats_is_refused_with_the_remedy(bench: Bench) -> None:
    with pytest.raises(Unsupported, match=r'local: .*no ai-edge-litert==2\.3\.0, only onnxruntime.*runner = "python"'):
        native.runtime(bench.connection, bench.device, bench.place, small.LITERT)


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
    """Measure two models on a device and return their runs, which must be whole."""
    suite = small.write_suite(folder, "bare", ("good", small.good), {"slower": small.slower})
    cases = lab.cases(lab.read_suite(suite), [device])
    store = Store(f"sqlite:///{folder}/results.sqlite")
    conduct = Conduct(cases, store, Settings(command="pytest", say=say, quick=True))
    results = [conduct.future(case).result(180) for case in cases]
    conduct.stop()
    store.close()
    assert [(result.outcome.status, result.outcome.message) for result in results] == [("passed", "")] * 2
    runs = [result.run for result in results if result.run is not None]
    for run in runs:
        assert run.fingerprint["runner"] == "native"
        assert run.fingerprint["libc"] == ".".join(map(str, build.kit("x86_64-linux-gnu").glibc))
        assert "python" not in run.fingerprint
        assert run.accuracy["accuracy"].point == 1.0
        assert run.measurements["latency_s"].rounds[-1, 2] == len(run.measurements["latency_s"].values) > 100
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
        unit.write_device(tmp_path, runtimes=[small.ONNXRUNTIME])
        (device,) = lab.select(tmp_path, ["unit"])
        assert has_no_python(device)
        runs = run_campaign(tmp_path, device, lambda *_: None)
    assert runs[1].measurements["latency_s"].values.mean() > runs[0].measurements["latency_s"].values.mean()


def test_a_phone_is_measured_over_adb(android: Phone, tmp_path: Path) -> None:
    android.write_device(tmp_path, id="phone", runtimes=[small.ONNXRUNTIME])
    (device,) = lab.select(tmp_path, ["phone"])
    runs = run_campaign(tmp_path, device, lambda *_: None)
    assert runs[0].case["device"] == "phone"


def test_a_root_with_nothing_in_it_is_enough(bench: Bench, tmp_path: Path) -> None:
    root, folder = tmp_path / "root", Path(bench.place.command[0]).parent
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
    done = subprocess.run(["unshare", "--mount", "sh", "-c", enter, str(root), "conduct", "/job"], check=False)
    assert done.returncode == 0
    events = [json.loads(line) for line in (root / "job" / "events.jsonl").read_text().splitlines()]
    assert (events[-1]["event"], events[-1]["alive"]) == ("done", [0])
    assert len(np.load(root / "job" / "m0.latency.npy")) > 50
    assert not any((root / name).exists() for name in ("bin", "lib", "lib64", "usr"))


def test_the_runner_for_aarch64_answers_rightly_under_emulation(bench: Bench, tmp_path: Path) -> None:
    require(
        "root", "package:qemu-user-static=qemu-aarch64-static", "package:gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc"
    )
    kit, emulator = build.kit("aarch64-linux-gnu"), program("qemu-aarch64-static")
    assert emulator is not None
    # Not conduct: a worker that starts others would need this host's kernel to know the emulator. And no /proc or
    # /sys in there: this host's would mislead the library.
    made = bundle(small.ONNXRUNTIME, (), Target((3, 11), "aarch64", kit.glibc), device="emulated")
    root, job = tmp_path / "root", change_job(bench.job("good"), input={"path": "/images.npy"})
    shutil.copytree(kit.folder, root / "run")
    (root / "runtime").mkdir()
    shutil.copy(native.taken_out(made), root / "runtime" / "libonnxruntime.so")
    for path in (bench.folder / "good.onnx", bench.folder / "images.npy", Path(emulator)):
        shutil.copy(path, root / path.name)
    what = json.loads((job / "job.json").read_text())
    what["models"][0] |= {"path": "/good.onnx", "runtime_path": "/runtime"}
    (root / "job").mkdir()
    (root / "job" / "job.json").write_text(json.dumps(what))
    asked = "".join(json.dumps({"do": verb}) + "\n" for verb in ("load", "first", "accuracy", "quit"))
    start = ["chroot", str(root), f"/{Path(emulator).name}", "/run/ld.so", "--library-path", "/run"]
    done = subprocess.run(
        [*start, "/run/edgeward-native", "work", "/job", "0"], input=asked, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1])["samples"] == 60
    outputs = np.load(root / "job" / "m0.outputs.npy")
    np.testing.assert_array_equal(outputs.argmax(axis=1), small.samples()[1])
    (here,), _ = outputs_of(bench, {"good": bench.folder / "good.onnx"})
    np.testing.assert_allclose(outputs, here, rtol=1e-4, atol=1e-5)


def test_the_whole_job_runs_clean_under_address_and_undefined_behaviour_checks(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "checked"
    checks = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    build.compile_program(["gcc", *build.FLAGS, *checks], program)
    # libonnxruntime keeps what it allocates once to the end of the process.
    command = ("env", "ASAN_OPTIONS=detect_leaks=0", str(program))
    checked = dataclasses.replace(bench, place=dataclasses.replace(bench.place, command=command))
    job = change_job(
        checked.job("good", "slower", "missing"), meter={"kind": "power_supply", "path": str(tmp_path / "none")}
    )
    events = checked.run(job)
    assert events[-1]["alive"] == [0, 1]
    assert [error["model"] for error in of(events, "error")] == [2]
    logs = "".join(log.read_text() for log in [*job.glob("*.log")])
    assert "Sanitizer" not in logs
    assert "runtime error" not in logs
    assert np.load(job / "m0.rounds.npy").shape == (6, 4)


def test_a_conductor_without_followers_wakes_nobody_and_a_dead_follower_is_cleared_away(bench: Bench) -> None:
    job = bench.job("good")
    os.mkfifo(job / "wake.999999")
    bench.start(job)
    wait_for(job, b'"event": "done"')
    assert not (job / "wake.999999").exists()
    assert agent_jobs.processes_of(job, "work") == []
