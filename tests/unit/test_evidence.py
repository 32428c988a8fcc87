"""A bundle can be checked without its maker: whatever is changed in it is found, and named."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from harness.cli import cli
from harness.cli.settings import Settings
from harness.compare import Results, compare, judge
from harness.evidence import bundle, drafts, verified
from harness.evidence.record import record_of
from harness.model import (
    Campaign,
    Criterion,
    Disagreement,
    Estimate,
    Judgement,
    MeasuredCase,
    Measurement,
    Occlusion,
    Outcome,
    Reading,
    Reason,
    Run,
    Verdict,
)
from harness.page import wording
from harness.results.profile import KEY, Operator, Profile, of
from harness.store import Store
from tests.made_runs import BASELINE, FASTER, LABELS, SUITE

ACCEPT = (Criterion("sensitivity", "non_inferior_by", 0.05), Criterion("latency_ratio", "max", 1.0))
READ = {"output": asdict(Reading(kind="logits"))}
TRACED = Profile(10, 5e-3, 2, 4e-3, (Operator("Conv", "CPUExecutionProvider", 2, 4e-3),), ())
MAPS = Occlusion(np.arange(2), np.zeros(2, np.int64), np.ones((2, 7, 7), np.float32), np.zeros((2, 8, 8, 1), np.uint8))


def case(name: str) -> MeasuredCase:
    return MeasuredCase(f"suites/us.toml::{name}@pi5", "us", name, "pi5", "onnxruntime==1.31.1", task="classification")


def campaign() -> Campaign:
    suite = {
        **SUITE,
        "baseline": "fp32",
        "accept": [asdict(line) for line in ACCEPT],
        "data": {"source": "phantom", "split": "test", "samples": 600, "classes": ["normal", "cyst", "solid"],
                 "synthetic": True, "description": "600 synthetic images"},
    }  # fmt: skip
    started = datetime(2026, 11, 21, tzinfo=UTC)
    return Campaign("c1", started, "pytest suites/us.toml --device pi5", {"us": suite}, {"edgeward": "0.1.0"})


def made_up() -> Results:
    """Return a campaign of two runs whose comparisons and judgements follow from their samples."""
    facts = {**BASELINE.fingerprint, "data_sha256": "d" * 64}
    base = replace(BASELINE, case=case("fp32"), notes=READ, fingerprint=facts, occlusion=MAPS)
    noted = {**READ, KEY: asdict(TRACED)}
    disagreed = Disagreement(600, 0, 0, 0)
    fast = replace(FASTER, case=case("int8"), notes=noted, fingerprint=facts, disagreement=disagreed)
    changes = compare(base, fast, campaign().suites["us"])
    judged = [(base, judge(base, [], ACCEPT)), (fast, judge(fast, changes, ACCEPT))]
    outcomes = tuple(Outcome(run.case.id, "passed", run.id, (), lines, run.case) for run, lines in judged)
    lost = case("broken")
    broken = Outcome(lost.id, "error", "", (Reason("not an ONNX file", "build it again"),), (), lost)
    return Results(campaign(), (base, fast), tuple(changes), (*outcomes, broken))


def kept(record: Results, file: Path) -> str:
    """Store a record and return the URL."""
    with closing(Store(f"sqlite:///{file}")) as store:
        store.add_campaign(record.campaign)
        for run in record.runs:
            own = [one for one in record.comparisons if one.run == run.id]
            store.add_case(record.campaign.id, run, own, next(o for o in record.outcomes if o.run == run.id))
        for one in record.outcomes:
            if not one.run:
                store.add_outcome(record.campaign.id, one)
    return f"sqlite:///{file}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return kept(made_up(), tmp_path_factory.mktemp("lab") / "results.sqlite")


@pytest.fixture(scope="module")
def record(url: str) -> Iterator[Results]:
    with closing(Store(url, existing=True)) as store:
        yield record_of(store, store.campaigns()[0])


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_key(tmp_path_factory.mktemp("keys") / "id_ed25519")


@pytest.fixture(scope="module")
def signed(url: str, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("out") / "evidence.zip"
    done = edgeward("evidence", "c1", "--store", url, "--out", file, "--key", key)
    assert done.exit_code == 0, done.output
    return file


def new_key(file: Path, passphrase: str = "") -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "maker", "-f", str(file)]
    subprocess.run(words, check=True)
    return file


def allowed(folder: Path, key: Path, name: str = "maker@clinic") -> Path:
    file = folder / "allowed_signers"
    file.write_text(f'{name} namespaces="edgeward" {key.with_suffix(".pub").read_text()}')
    return file


def edgeward(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], obj=Settings(), prog_name="edgeward")


def forged(record: Results, file: Path) -> Path:
    """Write a bundle of a changed record with all digests, the report and the export made to fit."""
    files = bundle.contents(record)
    manifest = bundle.dumped(bundle.manifest(record, files, bundle.made_with()))
    file.write_bytes(bundle.zipped(files, manifest, None))
    return file


def message_of(done: Result) -> str:
    assert done.exit_code == 2, done.output
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


# --- a sound bundle ---------------------------------------------------------------------------------------------------


def test_a_signed_bundle_is_sound_and_its_signer_is_named(signed: Path, key: Path, tmp_path: Path) -> None:
    done = edgeward("verify", signed, "--signers", allowed(tmp_path, key))
    assert done.exit_code == 0, done.output
    assert "signed by maker@clinic, with ED25519 key SHA256:" in done.output
    assert "as it is stored" in done.output
    found = verified(signed)
    assert (found.differing, found.open) == ((), ())
    assert found.checked > 100


def test_a_bundle_holds_the_results_and_no_image(signed: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(signed) as archive:
        names = archive.namelist()
        archive.extract("results.sqlite", tmp_path)
        manifest = json.loads(archive.read("manifest.json"))
    assert names[:2] == ["manifest.json", "manifest.json.sig"]
    assert {"README.md", "report.html", "results.json", "results.sqlite"} <= set(names)
    assert manifest["models"] == {"us": {"fp32": "fp32", "int8": "int8"}}
    assert manifest["data"] == {"us": ["d" * 64]}
    assert len(manifest["made_with"]["method_sha256"]) == 64
    with closing(Store(f"sqlite:///{tmp_path}/results.sqlite", existing=True)) as store:
        runs = store.runs()
    assert np.array_equal(np.asarray(runs[0].labels), LABELS)
    assert runs[0].measurements["latency_s"].rounds is not None
    assert runs[0].occlusion is not None
    assert runs[0].occlusion.pictures is None, "small copies of images stay in the lab"
    assert of(runs[1]) == TRACED, "and what each operator takes"


def test_another_process_makes_the_same_bytes_but_for_the_signature(url: str, signed: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.zip"
    words = ["evidence", "c1", "--store", url, "--out", str(again), "--unsigned"]
    code = f"from harness.cli import cli\ncli({words!r}, prog_name='edgeward')"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    with zipfile.ZipFile(signed) as first, zipfile.ZipFile(again) as second:
        names = [name for name in first.namelist() if name != "manifest.json.sig"]
        assert second.namelist() == names
        assert [name for name in names if first.read(name) != second.read(name)] == []
    found = bundle.opened(signed)
    assert bundle.zipped(found.files, found.signed, None) == again.read_bytes()


def test_a_campaign_whose_numbers_do_not_follow_from_its_samples_gets_no_bundle(tmp_path: Path) -> None:
    whole = made_up()
    wrong = replace(whole.comparisons[0], verdict=Verdict.REGRESSED)
    url = kept(replace(whole, comparisons=(wrong, *whole.comparisons[1:])), tmp_path / "wrong.sqlite")
    said = message_of(edgeward("evidence", "c1", "--store", url, "--out", tmp_path / "x.zip", "--unsigned"))
    assert "1 of its numbers do not follow from its samples" in said
    assert "verdict: stored is regressed" in said
    assert not (tmp_path / "x.zip").exists()


# --- drafts -----------------------------------------------------------------------------------------------------------


def test_the_drafts_say_what_was_measured_and_where_a_person_must_write(signed: Path, record: Results) -> None:
    files = bundle.opened(signed).files
    card, items = (files[f"drafts/{name}.md"].decode() for name in ("model-card", "checklist"))
    value, interval = wording.level("auroc", record.runs[0].accuracy["auroc"])
    assert f"{value} ({interval})" in card
    assert "| int8 | variant | `int8` | onnx |" in card
    assert "Synthetic: yes, so nothing here speaks of patients" in card
    assert "**TO BE WRITTEN BY A PERSON**: intended use" in card
    assert "| Reference standard and its rationale | **TO BE WRITTEN BY A PERSON** |" in items
    assert r"sensitivity non\_inferior\_by 0.05; latency\_ratio max 1.0" in items
    assert "broken@pi5: not an ONNX file; build it again" in items, "a case without a result is not left out"


def test_the_fhir_resources_are_read_by_their_library_and_name_model_report_and_maker(signed: Path) -> None:
    from fhir.resources.bundle import Bundle

    found = bundle.opened(signed)
    whole = Bundle.model_validate_json(found.files["drafts/fhir.json"])
    kinds = [entry.resource.get_resource_type() for entry in whole.entry]
    assert kinds == ["Device", "Device", "DocumentReference", "Provenance"]
    document, provenance = whole.entry[2], whole.entry[3].resource
    (report, _) = document.resource.content
    assert report.attachment.size == len(found.files["report.html"])
    assert provenance.target[0].reference == document.fullUrl
    assert [one.what.reference for one in provenance.entity] == [entry.fullUrl for entry in whole.entry[:2]]
    assert document.resource.docStatus == "preliminary"
    assert "TO BE WRITTEN BY A PERSON" in provenance.agent[1].who.display


def test_the_dicom_report_has_each_accuracy_with_its_interval_and_no_patient(signed: Path, record: Results) -> None:
    files = bundle.opened(signed).files
    if drafts.version("highdicom") is None:
        assert drafts.REPORT not in files, "Python 3.14 has no highdicom"
        return
    from highdicom import sr

    report = sr.srread(io.BytesIO(files[drafts.REPORT]))
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    flags = (report.PatientID, report.PreliminaryFlag, report.VerificationFlag)
    assert flags == ("NO-PATIENT", "PRELIMINARY", "UNVERIFIED")
    assert "CurrentRequestedProcedureEvidenceSequence" not in report
    groups = report.content.get_image_measurement_groups()
    names = [group.tracking_identifier for group in groups]
    assert names == ["fp32@pi5, onnxruntime==1.31.1", "int8@pi5, onnxruntime==1.31.1"]
    for run, group in zip(record.runs, groups, strict=True):
        found = {one.name.value: one for one in group.get_measurements()}
        assert {*run.accuracy, "latency_p50_s"} == set(found)
        assert found["latency_p50_s"].unit.value == "s"
        for metric, estimate in run.accuracy.items():
            assert found[metric].value == pytest.approx(estimate.point)
            assert found[metric].unit.value == "1"
            reach = [float(one.value) for one in found[metric][0].ContentSequence if one.ValueType == "NUM"]
            wanted = [estimate.high - estimate.point, estimate.point - estimate.low]
            assert reach == pytest.approx(wanted, abs=1e-9)


def test_without_the_extra_the_bundle_lacks_two_drafts_and_a_check_elsewhere_is_as_good(
    url: str, signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "without.zip"
    with monkeypatch.context() as without:
        # What a Python without the extra says of these two.
        without.setattr(drafts, "version", lambda library: None if library else "")
        bundle.made_with.cache_clear()
        done = edgeward("evidence", "c1", "--store", url, "--out", file, "--unsigned")
        assert done.exit_code == 0, done.output
        assert done.stderr.count("pip install 'edgeward[evidence]'") == 2
        found = verified(signed)
        assert found.differing == ()
        kept_there = sorted(set(drafts.LIBRARIES) & set(bundle.opened(signed).files))
        assert sorted(one.partition(":")[0] for one in found.open) == kept_there
    bundle.made_with.cache_clear()
    assert {"drafts/fhir.json", "drafts/evaluation.dcm"} & set(bundle.opened(file).files) == set()
    assert verified(file).differing == ()


# --- what is changed is found -----------------------------------------------------------------------------------------


def test_one_changed_byte_of_a_file_is_found(signed: Path, tmp_path: Path) -> None:
    file = tmp_path / "changed.zip"
    with zipfile.ZipFile(signed) as archive:
        places = {one.filename: (one.header_offset, archive.read(one)[-200:]) for one in archive.infolist()}
    for name, (place, end) in places.items():
        raw = bytearray(signed.read_bytes())
        raw[raw.index(end, place) + len(end) // 2] ^= 1
        file.write_bytes(raw)
        if name == "manifest.json":
            assert "has no whole manifest.json" in message_of(edgeward("verify", file))
        else:
            assert bundle.opened(file).faults == (f"{name}: its bytes are not those that were written",)
    assert edgeward("verify", file).exit_code == 1, "the last of them is the results"


def test_bytes_beside_the_files_are_found(signed: Path, tmp_path: Path) -> None:
    raw = bytearray(signed.read_bytes())
    file = tmp_path / "changed.zip"
    changed = raw.copy()
    changed[10] ^= 1  # the time of the first file, which no digest covers
    file.write_bytes(changed)
    assert "holds bytes beside its files" in bundle.opened(file).faults[0]
    file.write_bytes(raw + b"more")
    assert "holds bytes beside its files" in bundle.opened(file).faults[0]


def changed_run(record: Results, number: int, change: Callable[[Run], Run]) -> Results:
    return replace(record, runs=tuple(change(run) if at == number else run for at, run in enumerate(record.runs)))


def slower_start(run: Run) -> Run:
    load = run.measurements["load_s"]
    return replace(
        run, measurements={**run.measurements, "load_s": replace(load, values=load.values + np.eye(5)[0] / 10)}
    )


def one_latency(run: Run) -> Run:
    latency = run.measurements["latency_s"]
    values = latency.values.copy()
    values[:10] /= 2
    return replace(run, measurements={**run.measurements, "latency_s": replace(latency, values=values)})


def one_label(run: Run) -> Run:
    labels = np.array(run.labels)
    labels[0] = (labels[0] + 1) % 3
    return replace(run, labels=labels)


def better(run: Run) -> Run:
    return replace(run, accuracy={**run.accuracy, "auroc": Estimate(0.999, 0.99, 1.0, 0.95, "DeLong")})


def other_verdict(record: Results) -> Results:
    (latency,) = [one for one in record.comparisons if one.metric == "latency_ratio"]
    rest = [one for one in record.comparisons if one is not latency]
    return replace(record, comparisons=(*rest, replace(latency, verdict=Verdict.EQUIVALENT)))


def other_outcome(record: Results, **changes: Any) -> Results:
    (own,) = [one for one in record.outcomes if one.run == "fp32"]
    return replace(record, outcomes=(replace(own, **changes), *(one for one in record.outcomes if one is not own)))


def no_run(record: Results) -> Results:
    kept_runs = tuple(run for run in record.runs if run.id == "fp32")
    outcomes = tuple(replace(one, run="") if one.run == "int8" else one for one in record.outcomes)
    return replace(record, runs=kept_runs, comparisons=(), outcomes=outcomes)


CHANGES: dict[str, tuple[Callable[[Results], Results], str]] = {
    "a sample of the load": (lambda one: changed_run(one, 1, slower_start), "comparison load_ratio: change: stored"),
    "the latencies of a round": (lambda one: changed_run(one, 1, one_latency), "comparison latency_ratio: change"),
    "a label": (lambda one: changed_run(one, 0, one_label), "accuracy accuracy: stored"),
    "an accuracy": (lambda one: changed_run(one, 1, better), "accuracy auroc: stored is 0.999"),
    "a count of images": (
        lambda one: changed_run(one, 1, lambda run: replace(run, disagreement=Disagreement(600, 1, 0, 0))),
        "examples: lost: stored is 1, recomputed is 0",
    ),
    "a verdict": (other_verdict, "comparison latency_ratio: verdict: stored is equivalent, recomputed is improved"),
    "a judgement": (
        lambda one: other_outcome(
            one, judgements=(Judgement(ACCEPT[0], False, "not met"), Judgement(ACCEPT[1], True, ""))
        ),
        "judgement: stored is broken, recomputed is met",
    ),
    "a status": (lambda one: other_outcome(one, status="failed"), "outcome: stored is True, recomputed is False"),
    "no run": (no_run, "suites/us.toml::int8@pi5: stored is passed, and it has no run"),
    "no comparison": (lambda one: replace(one, comparisons=()), "comparison latency_ratio: it is not stored"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_with_every_digest_made_to_fit_is_found_by_name(
    name: str, record: Results, tmp_path: Path
) -> None:
    change, said = CHANGES[name]
    done = edgeward("verify", forged(change(record), tmp_path / "forged.zip"))
    assert done.exit_code == 1, done.output
    lines = [line for line in done.output.splitlines() if line.startswith("DIFFERS")]
    assert any(said in line for line in lines), done.output
    assert "NOT SOUND" in done.output


def test_a_number_that_is_changed_in_the_report_or_the_export_alone_is_found(signed: Path, tmp_path: Path) -> None:
    found = bundle.opened(signed)
    export = json.loads(found.files["results.json"])
    export["runs"][0]["accuracy"]["auroc"]["point"] = 0.5
    report = found.files["report.html"].replace(b"improved", b"worsened", 1)
    files = {**found.files, "report.html": report, "results.json": json.dumps(export, indent=2).encode()}
    manifest = {**found.manifest, "files": bundle.manifest(made_up(), files, {})["files"]}
    file = tmp_path / "changed.zip"
    file.write_bytes(bundle.zipped(files, bundle.dumped(manifest), None))
    said = verified(file).differing
    assert any(one.startswith("results.json: runs[0].accuracy.auroc.point: it holds 0.5,") for one in said)
    assert any(one.startswith("report.html: is not the file that these results give") for one in said)


def test_a_bundle_of_another_edgeward_is_held_to_its_numbers_and_not_to_its_bytes(signed: Path, tmp_path: Path) -> None:
    found = bundle.opened(signed)
    export = {**json.loads(found.files["results.json"]), "edgeward": "0.0.9"}
    for run in export["runs"]:
        del run["notes"]
    report = found.files["report.html"].replace(b"improved", b"got better", 1)

    def written(name: str) -> Path:
        files = {**found.files, "report.html": report, "results.json": json.dumps(export).encode()}
        made_by = {**found.manifest["made_with"], "edgeward": "0.0.9"}
        file = tmp_path / name
        manifest = bundle.dumped(bundle.manifest(made_up(), files, made_by))
        file.write_bytes(bundle.zipped(files, manifest, None))
        return file

    older = verified(written("older.zip"))
    assert older.differing == ()
    (about_report,) = [one for one in older.open if one.startswith("report.html")]
    assert about_report.endswith("is not the same bytes, and was made with edgeward 0.0.9, here 0.1.0")
    export["runs"][0]["measurements"]["load_s"]["values"][0] = 0.09
    (said,) = verified(written("changed.zip")).differing
    assert said == "results.json: runs[0].measurements.load_s.values[0]: it holds 0.09, recomputed is 0.1"


def test_a_digest_of_a_model_in_the_manifest_is_held_against_the_runs(signed: Path, tmp_path: Path) -> None:
    found = bundle.opened(signed)
    manifest = {**found.manifest, "models": {"us": {"fp32": "fp32", "int8": "another"}}}
    file = tmp_path / "changed.zip"
    file.write_bytes(bundle.zipped(found.files, bundle.dumped(manifest), found.signature))
    said = verified(file).differing
    assert "manifest.json: models.us.int8: it holds another, recomputed is int8" in said
    assert any(one.startswith("manifest.json.sig: the signature is not of this manifest") for one in said)


# --- who signed -------------------------------------------------------------------------------------------------------


def test_a_whole_signature_of_a_key_that_nobody_allows_is_not_enough(signed: Path, tmp_path: Path) -> None:
    alone = edgeward("verify", signed)
    assert alone.exit_code == 3, alone.output
    assert "nobody vouches for this key: give --signers" in alone.output
    other = edgeward("verify", signed, "--signers", allowed(tmp_path, new_key(tmp_path / "other")))
    assert other.exit_code == 3
    assert "does not allow" in other.output


def test_an_unsigned_bundle_says_so(record: Results, tmp_path: Path) -> None:
    done = edgeward("verify", forged(record, tmp_path / "unsigned.zip"))
    assert done.exit_code == 3, done.output
    assert "there is no signature: nobody says who made this" in done.output


def test_a_key_is_never_guessed(url: str, key: Path, tmp_path: Path) -> None:
    words = ["evidence", "c1", "--store", url, "--out", tmp_path / "x.zip"]
    assert "name your SSH key with --key FILE, or say --unsigned" in message_of(edgeward(*words))
    assert "contradict each other" in message_of(edgeward(*words, "--unsigned", "--key", key))
    assert "there is no key" in message_of(edgeward(*words, "--key", tmp_path / "none"))
    (tmp_path / "text").write_text("no key")
    (tmp_path / "text").chmod(0o600)
    assert "cannot sign" in message_of(edgeward(*words, "--key", tmp_path / "text"))
    assert list(tmp_path.glob("*.zip")) == []


def test_a_key_with_a_passphrase_signs_only_through_an_agent(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = new_key(tmp_path / "locked", "secret")
    words = ["evidence", "c1", "--store", url, "--out", tmp_path / "x.zip", "--key", locked]
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    said = message_of(edgeward(*words))
    assert "has a passphrase, and no agent holds it" in said
    assert f"`ssh-add {locked}`" in said
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(tmp_path / "agent")], stdout=subprocess.DEVNULL)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        ask = tmp_path / "ask"
        ask.write_text("#!/bin/sh\necho secret\n")
        ask.chmod(0o700)
        given = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        for _ in range(50):
            if subprocess.run(["ssh-add", str(locked)], env=given, capture_output=True, check=False).returncode == 0:
                break
        assert edgeward(*words).exit_code == 0
    finally:
        agent.terminate()
        agent.wait()
    assert verified(tmp_path / "x.zip", allowed(tmp_path, locked)).vouched


def test_without_ssh_keygen_the_message_says_what_to_install(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("ssh-keygen") is None
    assert "there is no ssh-keygen here; install OpenSSH" in message_of(edgeward("verify", signed))


def test_a_file_of_signers_that_is_not_there_is_refused(signed: Path, tmp_path: Path) -> None:
    assert "there is no file of allowed signers" in message_of(edgeward("verify", signed, "--signers", tmp_path / "no"))


# --- what is no bundle ------------------------------------------------------------------------------------------------


def packed(signed: Path, file: Path, change: Callable[[dict[str, bytes]], object], **options: Any) -> Path:
    """Write the files of a bundle once more, changed."""
    with zipfile.ZipFile(signed) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    file.write_bytes(out.getvalue())
    return file


def test_a_file_that_is_no_bundle_is_refused_with_one_line(signed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.zip"
    assert "cannot be read (No such file or directory)" in message_of(edgeward("verify", file))
    file.write_text("hello")
    assert "is no ZIP file, or is cut short" in message_of(edgeward("verify", file))
    file.write_bytes(signed.read_bytes()[:-1000])
    assert "is no ZIP file, or is cut short" in message_of(edgeward("verify", file))
    packed(signed, file, lambda files: files.pop("manifest.json"))
    assert "is no bundle of edgeward" in message_of(edgeward("verify", file))
    packed(signed, file, lambda files: files.update({"../evil": b"x"}))
    assert "'../evil' leads out of the bundle" in message_of(edgeward("verify", file))
    packed(signed, file, lambda files: files.update({"/etc/evil": b"x"}))
    assert "leads out of the bundle" in message_of(edgeward("verify", file))
    packed(signed, file, lambda files: files.pop("report.html"), compression=zipfile.ZIP_DEFLATED)
    assert "is packed, which edgeward never does" in message_of(edgeward("verify", file))


def test_a_bundle_of_a_newer_edgeward_is_refused(signed: Path, tmp_path: Path) -> None:
    def newer(files: dict[str, bytes]) -> None:
        files["manifest.json"] = bundle.dumped({**json.loads(files["manifest.json"]), "schema": bundle.SCHEMA + 1})

    said = message_of(edgeward("verify", packed(signed, tmp_path / "x.zip", newer)))
    assert "was made by a newer edgeward" in said
    assert "pip install --upgrade edgeward" in said


def test_a_file_more_or_less_is_found(signed: Path, tmp_path: Path) -> None:
    more = packed(signed, tmp_path / "more.zip", lambda files: files.update({"more.txt": b"x"}))
    assert "more.txt: does not stand in the manifest" in verified(more).differing
    less = packed(signed, tmp_path / "less.zip", lambda files: files.pop("report.html"))
    assert "report.html: stands in the manifest and is missing" in verified(less).differing
    none = packed(signed, tmp_path / "none.zip", lambda files: files.pop("results.sqlite"))
    assert "results.sqlite: is not there, so nothing can be computed again" in verified(none).differing


def test_an_unknown_campaign_is_refused(url: str, tmp_path: Path) -> None:
    words = ["--store", url, "--out", tmp_path / "x.zip", "--unsigned"]
    assert "no campaign has an id that begins with 'zz'" in message_of(edgeward("evidence", "zz", *words))


def test_a_measurement_that_is_absent_stays_absent_in_the_bundle(record: Results) -> None:
    absent = record.runs[0].measurements["energy_j"]
    assert absent == replace(Measurement("energy_j", "J", absent_reason="no meter configured"), values=absent.values)
