"""Which cases are measured together, how their models are fed and read, and which cannot be measured at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from harness import deploy, lab
from harness.errors import HarnessError, LabError, Unforeseen, Unsupported
from harness.measure.jobs import Group
from harness.model import Case, Fit, Samples


def groups(cases: Sequence[Case]) -> list[Group]:
    """Return the jobs that measure `cases`, each with its baseline at the head, also one that was not asked for."""
    found: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        found.setdefault((case.suite.id, case.runtime), []).append(case)
    return [_group(own) for own in found.values()]


def _group(cases: Sequence[Case]) -> Group:
    first = cases[0]
    everything = lab.cases(first.suite, [first.device])
    heads = [c for c in everything if c.is_baseline and c.runtime == first.runtime and not c.variant.problem]
    others = [c for c in cases if not c.is_baseline]
    return Group(first.suite, first.device, first.runtime, (*heads[:1], *others))


def unfit(cases: Iterable[Case]) -> list[tuple[HarnessError, Case]]:
    """Return the cases that cannot run at all, each with the reason and the remedy."""
    found: list[tuple[HarnessError, Case]] = []
    for case in cases:
        if case.variant.problem:
            found.append((LabError(case.variant.problem, file=lab.shown(case.suite.file)), case))
        elif not case.runtime:
            found.append((Unsupported(lab.missing_runtime(case), device=case.device.id), case))
        elif refused := deploy.refusal(case.device, case.suite.load.scenario):
            found.append((refused, case))
    return found


def unread(case: Case, fit: Fit) -> HarnessError | None:
    """Return why a device's runner cannot give what a model answers, None if it can."""
    if case.device.runner == "python" or not (fit.labels or fit.constants):
        return None
    if fit.constants:
        return Unsupported(
            f"{case.variant.path.name} has inputs beside the image, which the {case.device.runner} runner cannot feed",
            remedy="export it with the image as its only input",
            device=case.device.id,
        )
    return Unsupported(
        f"{case.variant.path.name} answers with texts or maps, which the {case.device.runner} runner does not read",
        remedy="export it with plain tensors (scikit-learn: zipmap=False)",
        device=case.device.id,
    )


def fitted(group: Group, samples: Samples, fail: Callable[[Sequence[Case], HarnessError], None]) -> Group:
    """Return a group with how each of its models is fed and read, without those that cannot be.

    Args:
        group: whose models are looked at.
        samples: the split that is measured.
        fail: called with the cases that are left out, and why.
    """
    fits: dict[str, Fit] = {}
    for case in group.cases:
        try:
            found = lab.fit(group.suite, case.variant, samples)
            if refused := unread(case, found):
                raise refused
            fits[case.id] = found
        except HarnessError as error:
            fail([case], error)
        except Exception as error:  # noqa: BLE001 -- not swallowed: it is this case's error
            fail([case], Unforeseen(f"{lab.shown(group.suite.file)}: reading {case.variant.path.name}", error))
    heads = [fits[case.id].reading for case in group.cases if case.is_baseline and case.id in fits]
    for case in group.cases:
        if case.is_baseline or case.id not in fits or not heads:
            continue
        if said := lab.differently(fits[case.id].reading, heads[0]):
            remarks = (*fits[case.id].remarks, f"{case.variant.id}: {said}")
            fits[case.id] = replace(fits[case.id], remarks=remarks)
    return replace(group, cases=tuple(case for case in group.cases if case.id in fits), fits=fits)
