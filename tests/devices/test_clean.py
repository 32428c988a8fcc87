"""`edgeward clean`: a device's disk is freed of what nobody used lately, and of nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from harness.deploy import DeviceHandle
from harness.lab import select
from harness.leases import file as lease
from harness.ports.leases import Owner
from tests.faults.campaigns import Night
from tests.labs import make


def edgeward(lab: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a lab."""
    command = [str(Path(sys.executable).with_name("edgeward")), *words]
    return subprocess.run(command, cwd=lab, capture_output=True, text=True, check=False)


def entries(lab: Path) -> list[str]:
    """Return what lies in the rooms of the device's workdir."""
    rooms = [lab / "work" / room for room in ("agent", "runtimes", "blobs", "jobs")]
    return sorted(str(entry.relative_to(lab / "work")) for room in rooms for entry in room.iterdir())


def test_clean_takes_what_was_not_used_and_leaves_what_was(tmp_path: Path) -> None:
    lab = make(tmp_path)
    assert Night(lab).measure([lab / "suites" / "small.toml"])["base"].outcome.status == "passed"
    used = entries(lab)
    stale = lab / "work" / "blobs" / ("0" * 64)
    stale.write_bytes(b"x" * 100_000)
    long_ago = time.time() - 40 * 86_400
    os.utime(stale, (long_ago, long_ago))

    done = edgeward(lab, "clean", "here")
    assert done.returncode == 0, done.stderr
    assert "1 entries removed" in done.stdout
    assert entries(lab) == used

    assert "entries removed" in edgeward(lab, "clean", "here", "--all").stdout
    assert entries(lab) == []
    assert Night(lab).measure([lab / "suites" / "small.toml"])["base"].outcome.status == "passed"
    assert entries(lab) == used


def test_clean_waits_for_the_one_that_measures(tmp_path: Path) -> None:
    lab = make(tmp_path)
    device = lab / "devices" / "here.toml"
    device.write_text(device.read_text() + "\n[limits]\ncooldown_s = 0\n")
    with DeviceHandle(select(lab, ["here"])[0]) as handle:
        lease.take(handle, Owner("ada@clinic"))
        done = edgeward(lab, "clean", "here")
        lease.free(handle, Owner("ada@clinic"))
    assert done.returncode == 2
    assert "ada@clinic is measuring on it" in done.stderr
