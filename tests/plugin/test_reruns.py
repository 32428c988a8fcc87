"""`--reruns` of pytest-rerunfailures measures a case again, and nothing hides that it did."""

from __future__ import annotations

import re
from pathlib import Path

from harness.store import Store
from tests.labs import make, run_pytest
from tests.plugin.test_other_tests import away

#: No device is as quick.
NEVER = "\n[accept]\nlatency_p50_s = { max = 1e-9 }\n"


def test_a_case_that_fails_is_measured_again_and_stands_once_in_the_report_which_says_how_often(
    tmp_path: Path, device_workdir: Path
) -> None:
    lab = make(tmp_path, more=NEVER, workdir=device_workdir)
    done = run_pytest(lab, "suites", "--device", "here", "--quick", "--reruns=1")
    assert "1 failed, 1 rerun" in done.stdout, done.stdout + done.stderr
    first, second = re.findall(r"^base@here failed.*", done.stdout, re.MULTILINE)
    assert "measured" not in first
    assert second.startswith("base@here failed (measured 2 times, before: failed): ")
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    (campaign,) = store.campaigns()
    (outcome,) = store.outcomes(campaign.id)
    runs = {run.id for run in store.runs(campaign=campaign.id, superseded=True)}
    gone = store.superseded(campaign.id)
    store.close()
    assert len(runs) == 2
    assert runs == {outcome.run, *gone}
    (one,) = gone.values()
    assert one.by == outcome.run
    assert "measured 2 times, as --reruns asks; before: failed (" in one.reason.text
    report = Path(done.stdout.rstrip().splitlines()[-1].removeprefix("report: ")).read_text()
    assert report.count("Measured again: suites/small.toml::base@here: it was measured 2 times, as --reruns asks") == 1


def test_a_device_that_is_away_is_tried_again_and_its_error_says_how_often(tmp_path: Path) -> None:
    lab = away(tmp_path)
    done = run_pytest(lab, "suites", "--device", "here", "--reruns=2")
    assert "1 error, 2 rerun" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("base@here is measured again") == 2
    assert (
        "base@here error (measured 3 times, before: error, error): here: nothing listens on 127.0.0.1:9" in done.stdout
    )
    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    (outcome,) = store.outcomes(store.campaigns()[0].id)
    store.close()
    assert "it was measured 3 times, as --reruns asks" in outcome.reasons[-1].text
