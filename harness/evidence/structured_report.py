"""A campaign as a DICOM Structured Report after TID 1500, one group of measurements for each run.

It is the evaluation of a device, and no patient is in it. What is filled with what: patient name and ID say that there
is none; study, series and instance have UIDs that come of the campaign's id; the observer is edgeward; the subject is
the model; the tracking identifier of a group is variant@device, runtime; the algorithm is the variant with its SHA-256
as version; a measurement is an accuracy (codes of the private scheme 99EDGEWARD, a share as a number from 0 to 1) with
how far its interval reaches above and below, or the median latency in seconds; the outcome by the suite's limits is a
qualitative evaluation. The report is neither complete nor verified: a person does that.
"""

from __future__ import annotations

import io
import math
import uuid
from typing import Any, Final

from harness import __version__
from harness.compare import Results
from harness.model import Estimate, Run
from harness.page import wording

_SCHEME: Final = "99EDGEWARD"
#: Unit of a metric -> UCUM.
_UNITS: Final = {
    "%": ("1", "no units"),
    "": ("1", "no units"),
    "px": ("{pixels}", "pixels"),
    "mm": ("mm", "millimeter"),
}
#: So long may the meaning of a code be.
_MEANING: Final = 64


def structured_report(record: Results) -> bytes:
    """Return the DICOM file, read back by `highdicom` before it is given."""
    import highdicom
    from highdicom import sr
    from pydicom.dataset import Dataset
    from pydicom.sr.codedict import codes

    campaign = record.campaign
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=_uid(record, "observer"), name="edgeward", model_name=f"edgeward {__version__}"
    )
    subject = sr.SubjectContextDevice(name="models of this campaign; no patient", uid=_uid(record, "subject"))
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(codes.DCM.Device, observer),
            subject_context=sr.SubjectContext(codes.DCM.Device, subject),
        ),
        procedure_reported=_code("evaluation", "Evaluation of an AI model, no patient"),
        imaging_measurements=[_group(record, run) for run in record.runs],
    )
    head = Dataset()
    head.PatientName, head.PatientID = "NO PATIENT^EVALUATION OF A MODEL", "NO-PATIENT"
    head.PatientBirthDate = head.PatientSex = head.AccessionNumber = head.ReferringPhysicianName = ""
    head.StudyInstanceUID, head.StudyID = _uid(record, "study"), campaign.id[:16]
    head.StudyDate, head.StudyTime = f"{campaign.started_at:%Y%m%d}", f"{campaign.started_at:%H%M%S}"
    head.SeriesInstanceUID, head.SOPInstanceUID = _uid(record, "series"), _uid(record, "none")
    head.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    report = sr.ComprehensiveSR(
        evidence=[head],
        content=content[0],
        series_instance_uid=_uid(record, "series"),
        series_number=1,
        sop_instance_uid=_uid(record, "report"),
        instance_number=1,
        manufacturer="edgeward",
        record_evidence=False,
    )
    # `head` gives a study to be in and is no image that exists, so the report must not refer to it.
    del report.CurrentRequestedProcedureEvidenceSequence
    # The same campaign gives the same bytes, so these are the campaign's, not today's.
    report.ContentDate = report.SeriesDate = report.InstanceCreationDate = head.StudyDate
    report.ContentTime = report.SeriesTime = report.InstanceCreationTime = head.StudyTime
    report.ContributingEquipmentSequence[0].ContributionDateTime = head.StudyDate + head.StudyTime
    file = io.BytesIO()
    report.save_as(file, enforce_file_format=True)
    highdicom.sr.srread(io.BytesIO(file.getvalue()))
    return file.getvalue()


def _group(record: Results, run: Run) -> Any:
    from highdicom import sr

    name = f"{run.case.variant}@{run.case.device}, {run.case.runtime}"
    positive = str(record.campaign.suites.get(run.case.suite, {}).get("task", {}).get("positive", ""))
    outcome = next((one.status for one in record.outcomes if one.run == run.id), "not judged")
    numbers = [_accuracy(metric, one, positive) for metric, one in run.accuracy.items() if math.isfinite(one.point)]
    latency = wording.cost(run, "latency_p50_s")
    if latency is not None:
        numbers.append(
            sr.Measurement(name=_named("latency_p50_s"), value=latency, unit=sr.CodedConcept("s", "UCUM", "second"))
        )
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=_uid(record, run.id), identifier=name),
        algorithm_id=sr.AlgorithmIdentification(name=run.case.variant, version=run.variant.sha256 or "unknown"),
        measurements=numbers,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_code("outcome", "Outcome by the limits of the suite"), _code(outcome, outcome)),
            sr.QualitativeEvaluation(
                _code("validity", "Validity of absolute figures"), _code(run.validity.value, run.validity.value)
            ),
        ],
    )


def _accuracy(metric: str, one: Estimate, positive: str) -> Any:
    from highdicom import sr

    bounded = math.isfinite(one.low) and math.isfinite(one.high)
    reach = sr.MeasurementProperties(
        upper_measurement_uncertainty=max(one.high - one.point, 0.0),
        lower_measurement_uncertainty=max(one.point - one.low, 0.0),
    ) if bounded else None  # fmt: skip
    unit, meaning = _UNITS[wording.info(metric).unit]
    return sr.Measurement(
        name=_named(metric, positive),
        value=one.point,
        unit=sr.CodedConcept(unit, "UCUM", meaning),
        method=_code("interval", f"interval of {one.confidence:.0%}, reaching as far as the uncertainties say"),
        properties=reach,
    )


def _named(metric: str, positive: str = "") -> Any:
    return _code(metric, wording.title(metric, positive))


def _code(value: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value, _SCHEME, meaning[:_MEANING])


def _uid(record: Results, name: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'edgeward:{record.campaign.id}:{name}').int}"
