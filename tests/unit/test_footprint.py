"""Cold starts and memory: the page cache's state, what is read of it, and what becomes of it in a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devices.virtual.requirements import give_up
from harness.agent import contract, memory, pagecache
from harness.results import startup_and_memory
from tests.events import event


def test_a_file_is_evicted_without_root_and_mincore_sees_it_gone_and_back(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(os.urandom(3_000_000))  # not written out yet: its pages are dirty
    assert pagecache.warm(str(path)) == {"page_cache": "warm", "resident": 1.0}
    gone = pagecache.evict(str(path))
    if "absent" in gone:
        assert "its file system lies in memory" in gone["absent"], "a test folder on a disk can be evicted"
        give_up("the test's folder lies in memory; give --basetemp on a disk")
    assert gone == {"page_cache": "evicted", "resident": 0.0}
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no read-ahead
        file.read(4096)
    assert 0 < (pagecache.resident(str(path)) or 0) < 0.2
    assert pagecache.warm(str(path))["resident"] == 1.0


def test_a_file_that_stays_in_memory_is_said_to(tmp_path: Path) -> None:
    path = Path("/dev/shm") / f"{tmp_path.name}-{os.getpid()}"
    path.write_bytes(b"x" * 100_000)
    try:
        kept = pagecache.evict(str(path))
    finally:
        path.unlink()
    assert kept["page_cache"] == "warm"
    assert "keeps 100 % of the model file in its page cache: its file system lies in memory" in kept["absent"]


def test_what_is_not_known_of_a_file_is_unknown(tmp_path: Path) -> None:
    assert pagecache.warm(str(tmp_path / "missing")) == {"page_cache": "unknown"}
    assert pagecache.evict(str(tmp_path / "missing"))["page_cache"] == "unknown"
    (tmp_path / "empty").touch()
    assert pagecache.resident(str(tmp_path / "empty")) is None


def cold(**fields: Any) -> contract.Cold:
    times = {"process_start_ns": 500_000_000, "load_ns": 20_000_000, "first_inference_ns": 1_000_000}
    return event(contract.Cold, **{**times, **fields})


def evicted(**fields: Any) -> contract.Evicted:
    return event(contract.Evicted, **fields)


def test_warm_and_evicted_starts_are_reported_apart() -> None:
    warm = [cold(resident=1.0), cold(resident=1.0)]
    gone = [evicted(page_cache="evicted", resident=0.01, load_ns=90_000_000)]
    found = {one.metric: one for one in startup_and_memory.starts(warm, gone)}
    assert found["load_s"].values.tolist() == [0.02, 0.02]
    assert found["load_evicted_s"].values.tolist() == [0.09]
    assert found["load_evicted_s"].method.endswith(", 1 % of the model file in the page cache before")
    assert startup_and_memory.cache(warm, gone) == {"page_cache": "warm, evicted"}


def test_starts_that_could_not_be_evicted_are_absent_with_the_reason() -> None:
    in_memory = [evicted(absent="it lies in memory")]
    found = {one.metric: one for one in startup_and_memory.starts([cold()], in_memory)}
    assert found["load_evicted_s"].absent_reason == "it lies in memory"
    assert startup_and_memory.cache([cold()], in_memory) == {"page_cache": "warm"}
    none = {one.metric: one for one in startup_and_memory.starts([cold(page_cache="unknown")], [])}
    assert none["first_inference_evicted_s"].absent_reason == "no such starts were asked for"


def reading(rss: int, swap: int | None = 0) -> contract.MemoryReading:
    return contract.MemoryReading(rss + 5, rss, swap, pss_bytes=rss - 3, swap_pss_bytes=0)


def test_what_was_swapped_out_is_held_too() -> None:
    moments = {
        "before": reading(100),
        "loaded": reading(150, 40),
        "inferred": reading(155, 60),
        "after": reading(155, 70),
    }
    found = {one.metric: one for one in startup_and_memory.memory([event(contract.Memory, **moments)])}
    assert found["peak_memory_bytes"].values.tolist() == [160 + 70]
    assert found["load_growth_bytes"].values.tolist() == [50 + 40]
    assert found["inference_growth_bytes"].values.tolist() == [5 + 20]
    assert found["swap_bytes"].values.tolist() == [70]
    assert found["peak_memory_bytes"].method == "VmHWM + VmSwap"
    assert found["load_growth_bytes"].method == "VmRSS + VmSwap"


def test_a_kernel_that_does_not_tell_of_swap_or_shares_is_named() -> None:
    reason = "/proc/self/smaps_rollup: No such file or directory"
    plain = contract.MemoryReading(105, 100, unread=reason)
    memory = event(contract.Memory, before=plain, loaded=plain, inferred=plain, after=plain)
    found = {one.metric: one for one in startup_and_memory.memory([memory])}
    assert found["peak_memory_bytes"].method == "VmHWM"
    assert found["peak_memory_bytes"].values.tolist() == [105]
    assert found["peak_pss_bytes"].absent_reason == f"the device's kernel does not show Pss ({reason})"
    assert "VmSwap" in found["swap_bytes"].absent_reason


def test_the_agent_says_which_file_it_could_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unread" not in memory.read()
    whole = Path.read_text

    def refused(path: Path, *args: Any, **fields: Any) -> str:
        if path.name == "smaps_rollup":
            raise PermissionError(13, "Permission denied")
        return whole(path, *args, **fields)

    monkeypatch.setattr(Path, "read_text", refused)
    found = memory.read()
    assert found["unread"] == "/proc/self/smaps_rollup: Permission denied"
    assert found["rss_bytes"] > 0
    assert "pss_bytes" not in found


def test_peak_memory_is_of_this_process_and_not_of_the_one_that_started_it() -> None:
    ballast = bytearray(b"x") * 200_000_000
    code = "from harness.agent import memory; print(memory.read()['peak_rss_bytes'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(ballast) == 200_000_000
    assert int(done.stdout) < 100_000_000
