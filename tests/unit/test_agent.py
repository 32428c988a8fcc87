"""The agent's parts, each on its own: what it writes, how it times, what it sees of the device."""

from __future__ import annotations

import ast
import gc
import io
import json
import mmap
import os
import signal
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent import contract, images, memory, npy, survey, worker
from harness.model import InputSpec
from harness.recipes import _inputs

AGENT = Path(images.__file__).parent
SOURCES = sorted(AGENT.rglob("*.py"))


@given(
    st.sampled_from(["<i8", "<f4", "|u1"]), st.lists(st.integers(0, 7), min_size=1, max_size=3), st.integers(0, 2**32)
)
@settings(max_examples=60, deadline=None)
def test_an_array_written_without_numpy_is_read_by_numpy(descr: str, shape: list[int], seed: int) -> None:
    wanted = np.random.default_rng(seed).integers(0, 200, shape).astype(descr)
    raw = npy.header(descr, tuple(shape)) + wanted.tobytes()
    found = np.load(io.BytesIO(raw), allow_pickle=False)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    own = io.BytesIO()
    np.save(own, wanted)
    heads = [np.lib.format.read_array_header_1_0(_behind_magic(file)) for file in (io.BytesIO(raw), own)]
    assert heads[0] == heads[1]
    assert (len(raw) - wanted.nbytes) % 64 == 0, "the data is aligned as numpy aligns it"


def _behind_magic(file: io.BytesIO) -> io.BytesIO:
    file.seek(0)
    assert np.lib.format.read_magic(file) == (1, 0)
    return file


def test_an_array_appears_whole_under_its_name(tmp_path: Path) -> None:
    npy.write(tmp_path / "m0.latency.npy", "<i8", (3,), array("q", [1, 2, 3]).tobytes())
    assert [path.name for path in tmp_path.iterdir()] == ["m0.latency.npy"]
    assert np.load(tmp_path / "m0.latency.npy").tolist() == [1, 2, 3]


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Any, InputSpec]:
    n, h, w, channels = (draw(st.integers(1, top)) for top in (4, 7, 7, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = rng.integers(0, 256, (n, h, w, channels), dtype=np.uint8)
    numbers = st.floats(-1e3, 1e3, width=32)
    vector = st.sampled_from([1, channels]).flatmap(lambda size: st.tuples(*[numbers] * size))
    nonzero = vector.map(lambda values: tuple(v if abs(v) > 1e-3 else 1.0 for v in values))
    spec = InputSpec(draw(st.sampled_from(["NCHW", "NHWC"])), draw(numbers), draw(vector), draw(nonzero))
    return (pixels if draw(st.booleans()) else (pixels / np.float32(3)).astype(np.float32)), spec


def _table(spec: InputSpec) -> contract.Input:
    """Return a spec as a device reads it from job.json."""
    table = {"layout": spec.layout, "scale": spec.scale, "mean": list(spec.mean), "std": list(spec.std)}
    return contract.Input(path="images.npy", **json.loads(json.dumps(table)))


def _layout(layout: str) -> contract.Input:
    return _table(InputSpec(layout))


@given(_cases())
@settings(max_examples=150, deadline=None)
def test_device_and_host_prepare_the_same_input_bit_for_bit(case: tuple[Any, InputSpec]) -> None:
    pixels, spec = case
    ours, theirs = _inputs.prepare(pixels, spec), images.prepare(pixels, _table(spec))
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.shape == theirs.shape
    assert ours.tobytes() == theirs.tobytes()
    assert theirs.flags.c_contiguous


def test_means_that_do_not_fit_the_channels_are_an_error_on_host_and_device() -> None:
    pixels, spec = np.zeros((1, 2, 2, 1), np.uint8), InputSpec(mean=(0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="do not fit images with 1 channels"):
        _inputs.prepare(pixels, spec)
    with pytest.raises(images.Misfit, match="3 means and 1 deviations do not fit images with 1 channels; give one"):
        images.prepare(pixels, _table(spec))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_quantised_input_is_the_nearest_of_the_models_steps(dtype: str) -> None:
    x = np.linspace(-3, 3, 97, dtype=np.float32).reshape(1, 1, 97, 1)
    scale, zero = 0.02, (128 if dtype == "uint8" else 0)
    found = images.quantize(x, x, _layout("NCHW"), dtype, scale, zero)
    assert found.dtype == dtype
    back = (found.astype(np.float64) - zero) * scale
    limits = np.iinfo(dtype)
    low, high = (limits.min - zero) * scale, (limits.max - zero) * scale
    assert np.abs(back - np.clip(x, low, high)).max() <= scale / 2 + 1e-6


def test_a_uint8_model_without_parameters_is_given_the_pixels() -> None:
    pixels = np.arange(2 * 3 * 4 * 2, dtype=np.uint8).reshape(2, 3, 4, 2)
    first = images.quantize(None, pixels, _layout("NCHW"), "uint8", 0.0, 0)
    np.testing.assert_array_equal(first, np.moveaxis(pixels, -1, 1))
    assert first.flags.c_contiguous
    np.testing.assert_array_equal(images.quantize(None, pixels, _layout("NHWC"), "uint8", 0.0, 0), pixels)


@pytest.mark.parametrize(("dtype", "kind"), [("int8", np.uint8), ("uint8", np.float32)])
def test_an_integer_model_is_never_given_clipped_or_truncated_pixels(dtype: str, kind: Any) -> None:
    pixels = np.full((1, 2, 2, 1), 200, kind)
    with pytest.raises(images.Misfit, match=f"the model takes {dtype} without saying .*; export it with quantisation"):
        images.quantize(None, pixels, _layout("NCHW"), dtype, 0.0, 0)


@pytest.mark.parametrize(
    ("wanted", "given_", "says"),
    [
        ([1, 1, 64, 64], (1, 1, 64, 64), ""),
        (["N", 1, "H", "W"], (1, 1, 5, 7), ""),
        ([-1, 3, 0, None], (1, 3, 5, 7), ""),
        ([1, 3, 64, 64], (1, 1, 64, 64), "the model takes (1, 3, 64, 64) but the data gives (1, 1, 64, 64)"),
        (["N", 64, 64, 1], (1, 1, 64, 64), "the model takes (any, 64, 64, 1) but the data gives (1, 1, 64, 64)"),
        ([1, 64], (1, 1, 8, 8), "the model takes (1, 64) but the data gives (1, 1, 8, 8)"),
    ],
)
def test_a_misfit_says_both_shapes_and_the_remedy(wanted: list[Any], given_: tuple[int, ...], says: str) -> None:
    found = images.misfit(wanted, given_)
    assert found == (f"{says}; set layout under [data.input], or bring images of the model's size and channels" if says else "")  # fmt: skip  # noqa: E501


def test_a_timed_round_takes_at_least_its_minimum_and_its_duration_and_returns_what_each_call_took() -> None:
    pause_s = 0.004
    for duration_s, minimum, least in ((0.0, 7, 7), (0.1, 3, 3)):
        started = time.monotonic_ns()
        # A model that takes its time is what is timed here.
        samples, turn = worker.timed(lambda _: time.sleep(pause_s), [None], 0, int(duration_s * 1e9), minimum)
        wall = time.monotonic_ns() - started
        assert len(samples) == turn >= least
        assert min(samples) >= pause_s * 1e9
        assert sum(samples) <= wall
        assert wall >= duration_s * 1e9
    assert sum(samples) > 0.8 * 0.1e9, "the loop spends its time in the calls"


def test_a_timed_round_goes_on_where_the_last_one_stopped_and_leaves_the_collector_as_it_was() -> None:
    seen: list[int] = []
    _, turn = worker.timed(seen.append, [10, 11, 12], 2, 0, 4)
    assert seen == [12, 10, 11, 12]
    assert turn == 6
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        worker.timed(lambda x: 1 // x, [0], 0, 0, 1)
    assert gc.isenabled()


@given(st.lists(st.integers(0, 2**50), min_size=1))
def test_the_median_is_the_median(values: list[int]) -> None:
    assert worker.median(array("q", values)) == pytest.approx(statistics.median(values))


#: A processor that is slow part of the time: its pauses are the thing itself.
TOGGLE = """
import os, signal, sys, time
os.nice(-10 if os.geteuid() == 0 else 0)
print("ready", flush=True)
while os.getppid() == int(sys.argv[2]):
    os.kill(int(sys.argv[1]), signal.SIGSTOP)
    time.sleep(0.002)
    os.kill(int(sys.argv[1]), signal.SIGCONT)
    time.sleep(0.0005)
"""


@contextmanager
def throttled(pid: int) -> Iterator[None]:
    """Let a process run only a part of the time, in slices shorter than the sentinel's kernel."""
    command = [*FIRST, sys.executable, "-c", TOGGLE, str(pid), str(os.getpid())]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as toggler:
        try:
            assert toggler.stdout is not None
            assert toggler.stdout.readline() == b"ready\n"
            yield
        finally:
            toggler.kill()
            toggler.wait()
            os.kill(pid, signal.SIGCONT)


#: Both go before what else this machine does, where they may: a crowd would slow the kernel more than the pauses do.
FIRST = ("chrt", "--rr", "1") if subprocess.run(["sh", "-c", "chrt --rr 1 true 2>/dev/null"]).returncode == 0 else ()

WATCH = """
import sys
from harness.agent.sentinel import Sentinel
watch = Sentinel()
for line in sys.stdin:
    print(*(watch.settle(float(line)) if line.strip() else (watch.drift(), 0.0)), flush=True)
"""


def test_the_sentinel_sees_a_slowed_processor_and_its_recovery() -> None:
    command = [*FIRST, sys.executable, "-c", WATCH]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        assert p.stdin is not None
        assert p.stdout is not None

        def ask(line: str) -> list[float]:
            p.stdin.write(f"{line}\n")  # type: ignore[union-attr]
            p.stdin.flush()  # type: ignore[union-attr]
            return [float(word) for word in p.stdout.readline().split()]  # type: ignore[union-attr]

        cool = statistics.median(ask("")[0] for _ in range(31))
        with throttled(p.pid):
            slow = statistics.median(ask("")[0] for _ in range(31))
            seen = [ask("0.3")[1] for _ in range(8)]
        settled, _ = ask("10")
        p.stdin.close()
    assert slow - cool > 4 * contract.DRIFT
    assert 0 < max(seen) <= 0.3, "it waits for the processor to cool, within its budget"
    assert settled < slow - 2 * contract.DRIFT


def test_memory_is_what_the_kernel_tells_others_of_this_process() -> None:
    # Mapped by itself, so that it goes back to the system at once whatever the allocator holds.
    ballast = mmap.mmap(-1, 30_000_000)
    ballast.write(b"\1" * len(ballast))
    process = psutil.Process()
    mine, theirs = memory.read(), process.memory_full_info()
    assert mine["rss_bytes"] == pytest.approx(theirs.rss, abs=4e6)
    assert mine["pss_bytes"] == pytest.approx(theirs.pss, abs=4e6)
    assert mine["swap_bytes"] == theirs.swap
    ballast.close()
    after = memory.read()
    assert after["peak_rss_bytes"] >= mine["rss_bytes"] - 4e6
    assert mine["rss_bytes"] - after["rss_bytes"] > 25_000_000


def test_the_survey_says_what_the_device_is_and_how_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = time.time()
    assert survey.main([str(tmp_path)]) == 0
    after = time.time()
    report = json.loads(capsys.readouterr().out)
    what, now = report["fingerprint"], report["conditions"]
    assert {"soc", "architecture", "cores", "memory_bytes", "os", "kernel", "python"} <= what.keys()
    assert what["cores"] == os.cpu_count()
    assert what["memory_bytes"] == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert now["free_bytes"] == pytest.approx(psutil.disk_usage(str(tmp_path)).free, rel=0.05)
    assert now["available_bytes"] == pytest.approx(psutil.virtual_memory().available, rel=0.3)
    assert before <= now["wall_s"] <= after
    assert report["clock"]["resolution_s"] <= 1e-6
    assert report["can"]["vm_hwm"] is True
    assert all(value is not None for value in (*what.values(), *now.values()))


def test_the_survey_reads_temperature_frequency_governor_and_battery_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "class/thermal/thermal_zone0/temp": "47200\n",
        "class/thermal/thermal_zone1/temp": "51900\n",
        "class/thermal/thermal_zone2/temp": "-274000\n",
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
        "devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
        "devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "devices/system/cpu/cpu1/cpufreq/scaling_governor": "schedutil\n",
        "class/power_supply/ac/type": "Mains\n",
        "class/power_supply/battery/type": "Battery\n",
        "class/power_supply/battery/capacity": "83\n",
        "class/power_supply/battery/status": "Discharging\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(survey, "SYS", tmp_path)
    now = survey.conditions(str(tmp_path))
    assert (now["temperature_c"], now["frequency_hz"]) == (51.9, 1.5e9)
    assert now["governor"] == survey.fingerprint()["governor"] == "performance+schedutil"
    assert (now["battery_ratio"], now["charging"]) == (0.83, False)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(AGENT)))
def test_the_agent_is_python_3_9_and_needs_nothing_but_the_standard_library_to_start(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] in sys.stdlib_module_names or name.startswith("harness.agent"), name
    matched = [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    assert not matched, "match came with Python 3.10"
    future = any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    united = [part for one in _annotations(tree) for part in ast.walk(one) if isinstance(part, ast.BinOp)]
    assert future or not united, "X | Y in an annotation is evaluated on 3.9 without `from __future__`"


def _annotations(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield every annotation of a module: of variables, of arguments and of what functions return."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.AnnAssign, ast.arg)) and node.annotation is not None:
            yield node.annotation
        if isinstance(node, ast.FunctionDef) and node.returns is not None:
            yield node.returns
