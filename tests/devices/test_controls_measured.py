"""A campaign with a control: the baseline's own file takes turns with the others, under every runner."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest
from markupsafe import escape

from devices.virtual.waiting import soon
from harness.compare import control_of
from harness.model import Run
from harness.store import Store
from harness.vocabulary import CONTROL
from tests import labs, phantoms

#: Rows of the phantom of which the 8-bit weights say something else than the floats, on most processors.
DOUBTFUL = (7, 76, 103, 108, 179, 184, 292, 312, 391, 403, 418, 462, 515, 519, 520, 526, 552, 619, 700, 712, 718, 726)


def a_lab(folder: Path, workdir: Path, *, runner: str, load: str, control: bool = True) -> Path:
    labs.make(folder, workdir=workdir)
    (folder / "devices" / "here.toml").write_text(labs.device_toml(workdir=workdir, more=f'runner = "{runner}"\n'))
    suite = labs.suite_toml(load=load, control=control, more=labs.variant("int8"))
    (folder / "suites" / "small.toml").write_text(f"examples = 4\n{suite}")
    shown = phantoms.drawn("test", DOUBTFUL)
    np.savez(folder / "suites" / "data.npz", images=shown.images, labels=shown.labels)
    return folder


def stored(lab: Path) -> tuple[list[Run], Store]:
    store = Store(f"sqlite:///{lab / 'reports' / 'results.sqlite'}")
    return store.runs(), store


@pytest.mark.parametrize(
    ("runner", "load"),
    [("python", "max_duration_s = 5"), ("native", 'scenario = "stream"\nframe_rate_hz = 60\nmax_duration_s = 20')],
    ids=["python", "native stream"],
)
def test_a_control_is_measured_stored_and_shown_beside_the_verdict(
    runner: str, load: str, tmp_path: Path, device_workdir: Path
) -> None:
    lab = a_lab(tmp_path, device_workdir, runner=runner, load=load)
    done = labs.run_pytest(lab, "suites", "--device", "here", "--quick")
    assert "2 passed" in done.stdout, done.stdout
    runs, store = stored(lab)
    head = next(run for run in runs if run.is_baseline)
    control, own = head.measurements[CONTROL], head.measurements["latency_s"]
    assert control.rounds is not None
    assert own.rounds is not None
    assert set(control.rounds[:, 0]) == set(own.rounds[:, 0]), "it did not take part in every launch"
    # Of so few rounds beside other tests; how near they are is what tests/benchmarks/test_controls.py counts.
    assert 0.2 < np.median(control.values) / np.median(own.values) < 5
    campaign = store.campaigns()[0]
    found = control_of(head, campaign.suites["small"])
    (latency,) = [one for one in store.comparisons(campaign.id) if one.metric == "latency_ratio"]
    assert found is not None
    assert latency.control == found.change
    assert all(CONTROL not in run.measurements for run in runs if not run.is_baseline)
    (page,) = (lab / "reports" / "html").glob("2*.html")
    assert str(escape(found.sentence)) in page.read_text(), "also where a busy machine left too few rounds for one"
    the_images_on_which_they_disagree(runs, np.load(lab / "suites" / "data.npz"), page.read_text())
    store.close()


def the_images_on_which_they_disagree(runs: list[Run], data: Mapping[str, np.ndarray], html: str) -> None:
    """Hold the examples against the outputs of the device, and their pictures against the images."""
    outputs = {run.case.variant: run.outputs for run in runs}
    assert outputs["base"] is not None
    assert outputs["int8"] is not None
    before, after = outputs["base"].argmax(axis=1), outputs["int8"].argmax(axis=1)
    differing, was_right, is_right = before != after, before == data["labels"], after == data["labels"]
    (found,) = [run.disagreement for run in runs if run.disagreement]
    assert (found.images, found.lost, found.gained) == (22, (was_right & differing).sum(), (is_right & differing).sum())
    assert found.lost + found.gained + found.others == differing.sum()
    places = [one.place for one in found.examples]
    assert len(places) == min(differing.sum(), 4)
    assert differing[places].all()
    assert found.pictures is not None
    assert np.array_equal(found.pictures, data["images"][places])
    assert html.count('<image id="example-') == len(places) > 0


def test_a_suite_that_wants_none_has_no_control(tmp_path: Path, device_workdir: Path) -> None:
    lab = a_lab(tmp_path, device_workdir, runner="python", load="max_duration_s = 5", control=False)
    labs.run_pytest(lab, "suites", "--device", "here", "--quick")
    runs, store = stored(lab)
    assert len(runs) == 2
    assert not [run for run in runs if CONTROL in run.measurements]
    store.close()


def test_a_control_whose_process_is_killed_takes_no_case_with_it(tmp_path: Path, device_workdir: Path) -> None:
    lab = a_lab(tmp_path, device_workdir, runner="python", load="max_duration_s = 5")

    def killed() -> bool:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            # The third model of the job, behind baseline and variant, in a process that works for it.
            if "work" in words and words[-1] == "2" and str(device_workdir) in " ".join(words):
                process.kill()
                return True
        return False

    killer = threading.Thread(target=lambda: soon(killed, within_s=120))
    killer.start()
    done = labs.run_pytest(lab, "suites", "--device", "here", "--quick")
    killer.join()
    assert "2 passed" in done.stdout, done.stdout
    runs, store = stored(lab)
    head = next(run for run in runs if run.is_baseline)
    assert head.measurements[CONTROL].absent_reason.startswith("the control failed: the process was killed by SIGKILL")
    reasons = [one.reason for one in store.comparisons(store.campaigns()[0].id) if one.metric == "latency_ratio"]
    assert "the control failed" in reasons[0]
    store.close()
