"""The suites of this folder: each can be collected, and is measured where its images are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness import lab
from harness.measure.campaign import CampaignRunner, Result, Settings
from harness.store import Store
from tests import labs
from tests.real_images import REAL, real

SUITES = Path(__file__).parents[2] / "suites"
SHIPPED = sorted(path.stem for path in SUITES.glob("*.toml"))

pytestmark = pytest.mark.usefixtures("no_jobs")


def a_lab(folder: Path, workdir: Path, suite: str) -> Path:
    """Write a lab with this machine as its device and one suite, beside the models that are here."""
    (folder / "devices").mkdir()
    (folder / "suites").mkdir()
    (folder / "devices/here.toml").write_text(labs.device_toml(workdir=workdir))
    for file in SUITES.glob(f"{suite}.*"):
        shutil.copy(file, folder / "suites")
    (folder / "suites/models").symlink_to(SUITES / "models")
    return folder / "suites" / f"{suite}.toml"


def measured(folder: Path, file: Path, variants: Sequence[str]) -> tuple[dict[str, Result], list[str]]:
    """Return what a quick campaign of some variants gave on this machine, and what it remarked of the data."""
    cases = [one for one in lab.cases(lab.read_suite(file), lab.select(folder, ["here"])) if one.variant.id in variants]
    store = Store(f"sqlite:///{folder}/results.sqlite")
    campaign = CampaignRunner(cases, store, Settings("pytest", lambda _, __: None, quick=True))
    results = {case.variant.id: campaign.future(case).result(300) for case in cases}
    campaign.stop()
    (kept,) = store.campaigns()
    store.close()
    assert [result.error for result in results.values()] == [None] * len(variants)
    return results, kept.suites[file.stem]["data"]["remarks"]


@pytest.mark.parametrize("suite", SHIPPED)
def test_a_suite_is_read_and_every_variant_of_it_is_there_and_is_a_case(
    suite: str, tmp_path: Path, device_workdir: Path
) -> None:
    read = lab.read_suite(a_lab(tmp_path, device_workdir, suite))
    assert {one.id: one.problem for one in read.variants if one.problem} == {}
    assert {one.variant.id for one in lab.cases(read, lab.select(tmp_path, ["here"]))} == {
        one.id for one in read.variants
    }


def test_variants_agree_with_their_baseline_on_the_files_that_pydicom_carries(
    tmp_path: Path, device_workdir: Path
) -> None:
    file = a_lab(tmp_path, device_workdir, "dicom")
    found, _ = measured(tmp_path, file, ["resnet18-fp32", "resnet18-int8", "mobilenet-distilled"])
    assert [one.outcome.status for one in found.values()] == ["passed", "passed", "xfailed"]
    runs = {name: one.run for name, one in found.items() if one.run is not None}
    assert {name: set(run.accuracy) & {"accuracy", "agreement"} for name, run in runs.items()} == {
        "resnet18-fp32": set(),
        "resnet18-int8": {"agreement"},
        "mobilenet-distilled": {"agreement"},
    }
    assert runs["resnet18-int8"].accuracy["agreement"].point > 0.95
    assert runs["mobilenet-distilled"].accuracy["agreement"].point < 0.3
    assert all(run.outputs is not None and len(run.outputs) == 34 for run in runs.values())


def test_real_breast_ultrasound_is_measured(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real("breastmnist", "breastmnist.npz")
    monkeypatch.setenv("EDGEWARD_MEDMNIST", str(REAL))
    file = a_lab(tmp_path, device_workdir, "breastmnist")
    found, remarks = measured(tmp_path, file, ["breast-resnet18-fp32", "breast-resnet18-int8"])
    runs = [one.run for one in found.values() if one.run is not None]
    assert [run.confusion.sum() for run in runs if run.confusion is not None] == [156, 156]
    assert all(run.accuracy["accuracy"].point > 0.731 for run in runs), "more than by calling all images benign"
    assert any("60 of 156 images are (nearly) in the split train too" in remark for remark in remarks)


def test_vessels_in_real_ultrasound_are_outlined(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real("usgra-seg", "masks", "0164.png")
    monkeypatch.setenv("EDGEWARD_USGRA_SEG", str(REAL / "usgra-seg"))
    file = a_lab(tmp_path, device_workdir, "ultrasound-segmentation")
    found, remarks = measured(tmp_path, file, ["usgra-unet-fp32", "usgra-unet-int7"])
    runs = [one.run for one in found.values() if one.run is not None]
    assert [run.accuracy["dice"].point > 0.3 for run in runs] == [True, True]
    assert [run.outputs is not None and len(run.outputs) for run in runs] == [9, 9]
    assert not any("(nearly)" in remark for remark in remarks)
