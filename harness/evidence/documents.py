"""The drafts in Markdown: a model card, and what a campaign answers of STARD-AI and CLAIM.

Nothing here is guessed: what the campaign does not say is marked `TO BE WRITTEN BY A PERSON`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from harness.compare import Results
from harness.model import Estimate, Run, Validity
from harness.page import wording
from harness.page.markdown import plain, table
from harness.units import ABSENT, count, counted, human, whole_percent

PERSON: Final = "TO BE WRITTEN BY A PERSON"


def judged(record: Results, run: Run) -> str:
    """Return how a run's case ended and why, in one line."""
    own = next((one for one in record.outcomes if one.run == run.id), None)
    if own is None:
        return "not judged"
    return f"{own.status}: {own.message}" if own.reasons else own.status


def model_card(record: Results) -> Iterator[str]:
    """Yield the lines of a model card: a section for each suite, then what only a person knows."""
    campaign = record.campaign
    yield "# Model card (draft)"
    yield ""
    yield f"Filled by edgeward from campaign {campaign.id}, {campaign.started_at:%Y-%m-%d %H:%M} UTC. Every number"
    yield "is in `results.sqlite` of the same bundle. A line that begins with **" + PERSON + "** is not filled."
    for name, suite in campaign.suites.items():
        runs = [run for run in record.runs if run.case.suite == name]
        data = suite.get("data", {})
        yield from ("", f"## {plain(str(suite.get('title', name)))}", "", "### Models", "")
        yield from table(
            ("model", "role", "file (SHA-256)", "format", "size", "made by"),
            [
                (
                    plain(run.case.variant), "baseline" if run.is_baseline else "variant", f"`{run.variant.sha256}`",
                    run.variant.format, human(run.variant.size_bytes, "B"),
                    plain(run.variant.recipe or "brought as it is"),
                )
                for run in _one_each(runs)
            ],
        )  # fmt: skip
        yield from ("", "### Evaluation data", "")
        yield f"* {plain(str(data.get('description', '')) or PERSON)}"
        yield f"* Split {plain(str(data.get('split', '')))}: {_of(data)}"
        yield f"* Synthetic: {'yes, so nothing here speaks of patients' if data.get('synthetic') else 'no'}"
        yield from (f"* To be doubted: {plain(str(remark))}" for remark in data.get("remarks", ()))
        yield from ("", "### What was measured", "")
        yield from table(
            ("model", "device", "runtime", "latency, median", "validity", "outcome by the suite's limits"),
            [
                (
                    plain(run.case.variant), plain(run.case.device), plain(run.case.runtime),
                    wording.value("latency_p50_s", wording.cost(run, "latency_p50_s")), run.validity.value,
                    plain(judged(record, run)),
                )
                for run in runs
            ],
        )  # fmt: skip
        yield from ("", "### Accuracy, with its interval", "")
        yield from _accuracies(runs, str(suite.get("task", {}).get("positive", "")))
        yield from ("", "### Parts of the data", "")
        parts = [(run, one) for run in runs for one in run.subgroups]
        yield from [
            f"* {plain(_place(run))}, {plain(one.by)} {plain(one.name)} ({counted(one.images, 'image')}): "
            + ", ".join(f"{wording.title(key)} {_level(key, found)}" for key, found in one.estimates.items())
            for run, one in parts
        ] or ["Not divided: whether the model fails a group of patients is not known from this campaign."]
    yield ""
    yield "## What only a person knows"
    yield ""
    for topic in (
        "intended use, intended users and patients", "uses that are out of scope", "manufacturer, version and contact",
        "training data, and that none of it is in the evaluation data", "reference standard: who labelled, and how",
        "foreseeable harms, bias and how they are handled", "limits of the evaluation for the clinic in question",
        "licence, ethics approval and citation",
    ):  # fmt: skip
        yield f"* **{PERSON}**: {topic}."


def checklist(record: Results) -> Iterator[str]:
    """Yield the lines of a table of the topics of STARD-AI and CLAIM, each with what the campaign says of it."""
    yield "# STARD-AI and CLAIM: what this campaign answers (draft)"
    yield ""
    yield "The rows follow the topics of both checklists. The number of an item depends on the edition that you report"
    yield f"by: look it up there. **{PERSON}** marks what no measurement can answer."
    for name, suite in record.campaign.suites.items():
        yield from ("", f"## {plain(str(suite.get('title', name)))}", "")
        yield from table(("topic", "what the campaign says"), _items(record, name, suite))
    yield from ("", "## Cross tabulations (rows are the truth, columns the answer)")
    for run in record.runs:
        if run.confusion is not None:
            yield from ("", f"{plain(_place(run))}:", "")
            # A model may know more classes than the data.
            others = [f"other {number}" for number in range(1, run.confusion.shape[1] - len(run.classes) + 1)]
            head = ("", *map(plain, run.classes), *others)
            yield from table(
                head, [(plain(of), *map(str, row)) for of, row in zip(run.classes, run.confusion, strict=False)]
            )


def _items(record: Results, name: str, suite: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    runs = [run for run in record.runs if run.case.suite == name]
    data, task = suite.get("data", {}), suite.get("task", {})
    lost = [one for one in record.outcomes if not one.run and (one.about is None or one.about.suite == name)]
    measured = "; ".join(f"{_place(run)}: {judged(record, run)}" for run in runs)
    lines = [f"{one['metric']} {one['rule']} {one['bound']!r}" for one in suite.get("accept", ())]
    devices = {f"{run.case.device}: {run.fingerprint.get('soc', '')}, {run.fingerprint.get('os', '')}" for run in runs}
    methods = sorted({one.method for run in runs for one in run.accuracy.values() if one.method})
    parts = sorted({one.by for run in runs for one in run.subgroups})
    models = "; ".join(f"{run.case.variant} {run.variant.sha256}" for run in _one_each(runs))
    valid = ", ".join(f"{counted(sum(run.validity is one for run in runs), 'run')} {one.value}" for one in Validity)
    missing = "; ".join(f"{one.case}: {one.message}" for one in lost)
    nothing, seen = "not measured", "measured: see `report.html`"
    patients = "synthetic" if data.get("synthetic") else f"not synthetic; **{PERSON}**: setting, dates, scanners"
    yield from (
        ("Index test: the model, its version and file", plain(models)),
        ("Data: source and split", plain(f"{data.get('source', '')}, {data.get('split', '')}: {_of(data)}")),
        ("Data: synthetic or of patients", patients),
        ("Distribution of the target condition", _prevalence(data, task)),
        ("Cut-off of the index test", _cut_off(runs, task)),
        ("Performance with its precision", "see the model card" if any(run.accuracy for run in runs) else nothing),
        ("Cross tabulation", "below" if any(run.confusion is not None for run in runs) else nothing),
        ("How uncertainty was estimated", plain("; ".join(methods) or nothing)),
        ("Comparison and the limit that was set before", plain("; ".join(lines) or "the suite sets no limit")),
        ("Result by that limit", plain(measured or nothing)),
        ("Analysis of subgroups", plain(f"by {', '.join(parts)}: see the model card") if parts else nothing),
        ("Robustness", seen if any(run.probes for run in runs) else nothing),
        ("Explainability", seen if any(run.occlusion for run in runs) else nothing),
        ("Missing and indeterminate results", plain(missing or "every case gave a run")),
        ("Hardware and software", plain("; ".join(sorted(devices)))),
        ("Validity of the measurement", plain(valid)),
        ("Reproducing it", plain(f"{record.campaign.command}; edgeward verify computes every number again")),
    )
    for topic in (
        "Intended use and clinical role",
        "Study design, eligibility and recruitment",
        "Reference standard and its rationale",
        "Blinding of readers",
        "Training data, and its separation from the test data",
        "Preprocessing by the model's maker",
        "Intended sample size and how it was found",
        "Bias and generalisability",
        "Limitations and implications for practice",
        "Registration, protocol, ethics, funding, availability of code and data",
    ):
        yield topic, f"**{PERSON}**"


def _of(data: Mapping[str, Any]) -> str:
    patients = data.get("patients")
    of = f"of {counted(int(patients), 'patient')}" if patients else "of how many patients nobody said"
    return f"{counted(int(data.get('samples', 0)), 'image')} {of}; classes {', '.join(data.get('classes', ()))}"


def _prevalence(data: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    ratio = data.get("positive_ratio")
    if ratio is None:
        return f"**{PERSON}**"
    return plain(f"{human(float(ratio), '%')} of the images are {task.get('positive', 'positive')}")


def _cut_off(runs: Iterable[Run], task: Mapping[str, Any]) -> str:
    if point := task.get("operating_point"):
        rule = f"fixed on the validation split: {point['rate']} of at least {human(float(point['at_least']), '%')}"
    else:
        rule = "the most likely class, or the threshold that the suite declares"
    found = {run.notes["output"].get("threshold") for run in runs if "output" in run.notes}
    return plain(
        f"{rule}; thresholds {', '.join(f'{one:g}' for one in sorted(filter(None, found)))}" if found else rule
    )


def _place(run: Run) -> str:
    return f"{run.case.variant} on {run.case.device}, {run.case.runtime}"


def _one_each(runs: Iterable[Run]) -> list[Run]:
    """Return one run of each model file."""
    return list({(run.case.variant, run.variant.sha256): run for run in runs}.values())


def _level(metric: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return ABSENT
    value, interval = wording.level(metric, estimate)
    return f"{value} ({interval})" if interval else value


def _accuracies(runs: Iterable[Run], positive: str) -> Iterator[str]:
    known = list(runs)
    names = list(dict.fromkeys(name for run in known for name in run.accuracy))
    if not names:
        yield "Not measured."
        return
    shares = {estimate.confidence for run in known for estimate in run.accuracy.values()}
    yield f"In brackets: intervals of {' or '.join(whole_percent(one) for one in sorted(shares))}."
    yield ""
    head = ["metric", *(plain(_place(run)) for run in known)]
    rows = [
        [
            plain(wording.title(name, positive)),
            *(_level(name, run.accuracy[name]) if name in run.accuracy else ABSENT for run in known),
        ]
        for name in names
    ]
    judged_on = [count(len(np.asarray(run.labels))) if run.labels is not None else ABSENT for run in known]
    yield from table(head, [*rows, ["images", *judged_on]])
