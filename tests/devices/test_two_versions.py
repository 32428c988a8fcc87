"""The runtime's version is a dimension: two of them side by side on one device, in one report."""

from __future__ import annotations

from pathlib import Path

from harness.store import Store
from tests.labs import make, run_pytest, variant

OLD, NEW = "onnxruntime==1.23.2", "onnxruntime==1.31.1"


def test_two_versions_of_a_runtime_stand_side_by_side_in_one_report(tmp_path: Path, device_workdir: Path) -> None:
    lab = make(tmp_path, more=variant("int8"), workdir=device_workdir)
    device = lab / "devices" / "here.toml"
    device.write_text(device.read_text().replace(f'["{NEW}"]', f'["{OLD}", "{NEW}"]'))
    done = run_pytest(lab, "suites", "--device", "here", "--quick")
    assert "4 passed" in done.stdout, done.stdout
    for version in ("1.23.2", "1.31.1"):
        assert f"int8[onnxruntime=={version}]@here passed" in done.stdout

    store = Store(f"sqlite:///{lab}/reports/results.sqlite")
    runs = {(run.case.variant, run.case.runtime): run for run in store.runs()}
    changes = store.comparisons(store.campaigns()[0].id)
    store.close()
    assert {key: run.fingerprint["runtime_version"] for key, run in runs.items()} == {
        ("base", OLD): "1.23.2",
        ("int8", OLD): "1.23.2",
        ("base", NEW): "1.31.1",
        ("int8", NEW): "1.31.1",
    }
    # Each variant is held against the baseline of its own version.
    paired = {(change.baseline, change.run) for change in changes if change.metric == "latency_ratio"}
    assert paired == {(runs["base", version].id, runs["int8", version].id) for version in (OLD, NEW)}
    report = Path(done.stdout.rstrip().splitlines()[-1].removeprefix("report: ")).read_text()
    assert "onnxruntime 1.23.2" in report
    assert "onnxruntime 1.31.1" in report
