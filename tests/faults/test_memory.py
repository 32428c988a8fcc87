"""Devices with too little memory: what the kernel kills is reported as that, and harms nothing else."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from devices.virtual import fleet, memory_limit
from devices.virtual.fleet import Host
from devices.virtual.requirements import give_up, require
from harness.deploy import DeviceHandle
from harness.errors import MeasurementError
from harness.leases import file as lease
from harness.page.publish import publish
from harness.transports import ssh
from tests import small_models as small
from tests.faults.campaigns import Night

pytestmark = pytest.mark.usefixtures("no_jobs")

#: Enough for the agent, the runtime and every model but one.
MEMORY_BYTES = 300_000_000


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Give a host with little memory."""
    require(*fleet.NEEDS)
    if missing := memory_limit.lacking_limit():
        give_up(f"this machine lacks {missing}")
    with fleet.fleet(tmp_path_factory.mktemp("memory") / "hosts", ["small"], memory_bytes=MEMORY_BYTES) as (running,):
        yield running


@pytest.fixture
def night(host: Host, device_workdir: Path, tmp_path: Path) -> Night:
    host.server.write_device(tmp_path, id="small", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
    return Night(tmp_path)


def written(lab: Path, name: str, baseline: tuple[str, small.Maker], variants: Mapping[str, small.Maker]) -> Path:
    """Write a suite with few images: the models here take long for each."""
    path = small.write_suite(lab, name, baseline, variants)
    small.write_npz(lab / "suites" / "data.npz", 6)
    return path


def test_a_model_that_takes_too_much_memory_is_told_so_and_the_others_are_measured(
    night: Night, host: Host, tmp_path: Path
) -> None:
    suite = written(tmp_path, "memory", ("good", small.good), {"greedy": small.greedy, "slower": small.slower})
    assert host.limit is not None
    before = host.limit.killed()
    results = night.measure([suite])
    assert host.limit.killed() == before + 1, "the kernel did not kill: the test is void"
    message = str(results["greedy"].error)
    print(f"\n{message}")
    assert isinstance(results["greedy"].error, MeasurementError)
    assert "small: greedy.onnx on onnxruntime==1.31.1: cold failed: out of memory: the kernel killed" in message
    assert "there is 300 MB in all" in message
    assert message.endswith("give the device more memory or the case a smaller model")
    assert message.count("\n") == 0
    assert [results[name].outcome.status for name in ("good", "slower")] == ["passed", "passed"]
    assert {run.case.variant for run in night.store.runs()} == {"good", "slower"}


def test_a_whole_job_that_the_kernel_kills_for_want_of_memory_is_told_so_and_nothing_is_kept(
    night: Night, host: Host, device_workdir: Path, tmp_path: Path
) -> None:
    suite = written(tmp_path, "memory", ("fair", small.good), {"greedy": small.greedy})
    after = written(tmp_path, "after", ("good", small.good), {})
    killed = threading.Event()
    exposer = threading.Thread(target=expose_conductor, args=(host, killed))
    exposer.start()
    with ballast(host):
        results = night.measure([suite, after])
    killed.set()
    exposer.join()
    print(f"\n{results['greedy'].error}")
    for name in ("fair", "greedy"):
        assert isinstance(results[name].error, MeasurementError)
        assert str(results[name].error) == (
            "small: out of memory (it has 300 MB in all): its kernel killed the job, and nothing of this case was "
            "taken; give the device more memory, or the suite smaller models"
        )
    assert {run.case.variant for run in night.store.runs()} == {"good"}
    assert list((device_workdir / "jobs").iterdir()) == []
    with DeviceHandle(host.server.device()) as handle:
        assert lease.holder(handle) is None


@contextlib.contextmanager
def ballast(host: Host) -> Iterator[None]:
    """Let something else on the host hold memory: a model then gets less than the conductor is exposed by."""
    hold = "import time; held = bytearray(b'x') * (80 << 20); print(len(held), flush=True); time.sleep(300)"
    connection = ssh.connect(host.server.device())
    lines = connection.stream(["python3", "-c", hold], silence_s=300)
    next(iter(lines))
    try:
        yield
    finally:
        connection.close()


def expose_conductor(host: Host, over: threading.Event) -> None:
    """Have the kernel kill a job's conductor before its greedy worker: what a device does that ends whole services."""
    while not over.wait(0.005):
        for process in host.machine.processes():
            try:
                words = process.cmdline()
            except psutil.NoSuchProcess:
                continue
            if "work" in words and words[-1] == "1":
                Path(f"/proc/{process.ppid()}/oom_score_adj").write_text("1000")
                return


def test_models_that_do_not_fit_together_are_reloaded_for_every_round_and_the_ratio_is_right(
    night: Night, tmp_path: Path
) -> None:
    suite = written(tmp_path, "reload", ("once", small.roomy), {"twice": small.roomy_twice})
    results = night.measure([suite])
    for result in results.values():
        assert result.run is not None, result.error
        assert result.run.notes["mode"] == "models reloaded for every round"
        assert sum(run.measurements["peak_memory_bytes"].values.max() for run in night.store.runs()) > 0.8 * 274e6
    (ratio,) = [one.change for one in results["twice"].comparisons if one.metric == "latency_ratio"]
    assert ratio is not None
    print(f"\ntwice the work, reloaded for every round: ratio {ratio.point:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
    assert ratio.low < 2 < ratio.high or abs(ratio.point - 2) < 0.3
    report = publish(night.store, night.store.campaigns()[0], tmp_path / "html", overrides=tmp_path / "none")
    assert "models reloaded for every round" in report.read_text()
