"""What many devices cost the one host that measures them all: its processor, and how long the slowest is waited for.

The hosts are virtual and share this machine's processors, so that the wall time is a figure of the harness only where
there are more processors than hosts; the host's own processor time is one everywhere. `make figures` asks for 64.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from devices.virtual import fleet
from devices.virtual.requirements import require
from harness.store import Store
from tests import small_models as small

HOSTS = int(os.environ.get("EDGEWARD_HOSTS", "2"))
#: A variant beside its baseline, each a case.
CASES_A_HOST = 2
#: What a host may be waited for beside the slowest of them alone, where there are processors for all of them.
BAR = 1.15


@dataclass(frozen=True, slots=True)
class Spent:
    """What a campaign took: seconds on the wall and of this host's processors, and how many cases passed."""

    wall_s: float
    host_cpu_s: float
    passed: int


def campaign(lab: Path, name: str, devices: str) -> Spent:
    """Measure the lab's suite on devices, in a process of its own whose processor time is counted alone.

    Args:
        lab: the folder.
        name: of the store, in the lab.
        devices: of `--device`.
    """
    store = f"sqlite:///{lab / name}.sqlite"
    command = [sys.executable, "-m", "pytest", "suites", "--device", devices, "--quick", "-q", "-p", "no:cacheprovider"]
    command += ["--store", store, "--report", str(lab / "html")]
    started = time.monotonic()
    with (lab / f"{name}.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=lab, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (lab / f"{name}.txt").read_text()[-3000:]
    wall_s = time.monotonic() - started
    results = Store(store)
    outcomes = results.outcomes(results.campaigns()[0].id)
    results.close()
    return Spent(wall_s, usage.ru_utime + usage.ru_stime, sum(one.status == "passed" for one in outcomes))


def test_many_hosts_cost_the_measuring_host_little(tmp_path: Path) -> None:
    require(*fleet.NEEDS)
    names = [f"h{number}" for number in range(1, HOSTS + 1)]
    small.write_suite(tmp_path, "plain", ("base", small.good), {"other": small.good})
    with fleet.fleet(tmp_path / "hosts", names) as hosts:
        for host in hosts:
            host.server.write_device(tmp_path, id=host.name, runtimes=(small.ONNXRUNTIME,), tags=("farm",))
        campaign(tmp_path, "before", "tag:farm")  # brings agent, runtime and images everywhere
        alone = campaign(tmp_path, "alone", names[0])
        together = campaign(tmp_path, "together", "tag:farm")
    assert (alone.passed, together.passed) == (CASES_A_HOST, CASES_A_HOST * HOSTS)
    more = together.host_cpu_s - alone.host_cpu_s
    each = more / (together.passed - alone.passed)
    ratio, processors = together.wall_s / alone.wall_s, psutil.cpu_count() or 1
    print(
        f"\n{HOSTS} virtual hosts on {processors} processors, {together.passed} cases: {together.wall_s:.1f} s, one"
        f" alone {alone.wall_s:.1f} s: {ratio:.2f} (bar: {BAR}, where there are processors for all)"
        f"\nprocessor time of the measuring host: {together.host_cpu_s:.1f} s, with one alone {alone.host_cpu_s:.1f} s:"
        f" {each:.2f} s a further case, report included (bar: 0.05 s)"
    )
    if processors > 2 * HOSTS:
        assert ratio <= BAR
