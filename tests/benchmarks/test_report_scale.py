"""What the report of many devices costs by the number of cases: CPU time, memory and size.

Printed, for all but the ratios are the machine's. `make figures` sets EDGEWARD_TRIALS and goes up to 10,000 cases.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

from harness.page.report import TOGETHER, TOGETHER_CASES

#: Devices and variants, with charts and as tables alone.
DRAWN, TABLES = ((1, 9), (3, 9)), ((25, 6), (100, 6))
FULL = ((1, 50), (3, 50), (12, 50), (50, 50), (200, 50))
SAMPLES = 5040
#: A process of its own, so that its peak of memory is of reports: renders every page once, keeps none, prints a line.
CHILD = """
import json, sys, time
from pathlib import Path
from harness import page
from tests.pages import stored_runs
list(page.pages(stored_runs.fleet(1, 2), "warm"))
for devices, variants, samples in json.loads(sys.argv[1]):
    report = stored_runs.fleet(devices, variants, samples)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begun, sizes = time.process_time(), []
    for _, html in page.pages(report, "scale"):
        sizes.append(len(html))
    took = time.process_time() - begun
    (peak,) = [int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM")]
    said = {"cpu_s": took, "memory": peak * 1024, "overview": sizes[-1], "pages": len(sizes), "all": sum(sizes)}
    print(json.dumps(said), flush=True)
"""


def rendered(sizes: Sequence[tuple[int, int]]) -> Iterator[dict[str, float]]:
    """Yield what each report of so many devices and variants took, printed as it is measured."""
    asked = json.dumps([(*size, SAMPLES) for size in sizes])
    with subprocess.Popen([sys.executable, "-c", CHILD, asked], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for (devices, variants), line in zip(sizes, child.stdout, strict=True):
            found: dict[str, float] = json.loads(line)
            print(
                f"{devices:7} {devices * variants:6} {found['cpu_s']:9.2f} {found['memory'] / 1e6:10.0f} "
                f"{found['overview'] / 1e6:14.2f} {found['pages']:6} {found['all'] / 1e6:9.1f}"
            )
            yield {**found, "case_s": found["cpu_s"] / devices / variants}


def test_the_cost_of_a_report_is_linear_in_its_cases_and_its_first_page_stays_small() -> None:
    print("\ndevices  cases     CPU s  memory MB  first page MB  pages    all MB")
    sizes = TABLES + DRAWN + (FULL if "EDGEWARD_TRIALS" in os.environ else ())
    found = dict(zip(sizes, rendered(sizes), strict=True))
    assert found[3, 9]["case_s"] < 2 * found[1, 9]["case_s"]
    assert found[100, 6]["case_s"] < 2 * found[25, 6]["case_s"]
    assert found[1, 9]["overview"] < 1_500_000
    if (12, 50) in found:
        assert found[3, 50]["case_s"] < 2 * found[1, 50]["case_s"]
        assert found[12, 50]["case_s"] < 2 * found[3, 50]["case_s"]
        assert found[200, 50]["case_s"] < 2 * found[50, 50]["case_s"]
    for (devices, variants), one in found.items():
        together = devices == 1 or (devices <= TOGETHER and devices * variants <= TOGETHER_CASES)
        assert one["pages"] == (1 if together else devices + 1)
        assert one["memory"] < 1_000_000_000
        if one["pages"] > 1:
            assert one["overview"] < 100_000 + 1_000 * devices * variants, "10,000 cases stay below 10 MB"
