"""What a job directory is given: the plan, the models, the images."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness import deploy, lab, pixels, registry, scratch, stats
from harness.agent import contract
from harness.deploy import DeviceHandle, persistent
from harness.lab import ledger
from harness.measure import host_meter, judged
from harness.model import FRAME_RATE_HZ, Case, Criterion, Device, Fit, InputSpec, Load, Samples, Suite
from harness.units import NS_PER_S
from harness.vocabulary import METRICS

#: Launches before a verdict counts: fewer cannot show the variance between launches.
MIN_LAUNCHES = stats.MIN_LAUNCHES
#: How much of the time of all other models in a launch a control may take, its warm-up included.
CONTROL_SHARE = 0.2
#: Frames in a block of a stream, at least.
MIN_FRAMES = 5
#: What cold starts say, and what parts of an inference say.
_STARTS: Final = frozenset({"load_s", "first_inference_s", "process_start_s"})
_PARTS: Final = frozenset({"preprocess_s", "postprocess_s", "end_to_end_s"})
#: Length of each window of the energy pass.
ENERGY_S = 12.0
#: Length of the traced pass, where the suite asks for a profile.
PROFILE_S = 2.0


@dataclass(frozen=True, slots=True)
class Race:
    """Cases of a group are candidates that drop out as soon as they are excluded (`harness.measure.racing`).

    Attributes:
        ratio: the metric, over the baseline's, that shall be small.
        best: the variant that is to be beaten, a case of the group; "" for the baseline.
    """

    ratio: str
    best: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are measured in one job: same suite, device and runtime; the baseline among them if there is one.

    `fits` says of each case, by its id, how its model is fed and read; one that is not there is fed as the suite says.
    `race` is there where the cases are candidates that may drop out.
    """

    suite: Suite
    device: Device
    runtime: str
    cases: tuple[Case, ...]
    fits: Mapping[str, Fit] = field(default_factory=dict)
    race: Race | None = None

    def fit(self, case: Case) -> Fit:
        """Return how a case's model is fed and read."""
        return self.fits.get(case.id) or Fit(self.suite.input)

    @property
    def baseline(self) -> int | None:
        """The baseline's place in the job."""
        return next((i for i, case in enumerate(self.cases) if case.is_baseline), None)

    @property
    def control(self) -> int | None:
        """The control's place in the job, behind all cases; None where none takes part."""
        load = self.suite.load
        if self.baseline is None or not load.control or load.scenario == "sustained" or self.race:
            return None
        return len(self.cases) if deploy.runner(self.device).TURNS else None


def plan(load: Load, models: int, *, quick: bool, cooldown_s: float = 300.0) -> contract.Plan:
    """Return the job's plan: how often, how long, and when to stop at the latest.

    Args:
        load: how inferences are asked for.
        models: how many there are.
        quick: whether durations are cut to a tenth.
        cooldown_s: how long a device may take to cool down, in seconds.
    """
    share = 0.1 if quick else 1.0
    timed_s = load.max_duration_s * models * share
    usual = contract.Plan(
        cold_starts=2 if quick else 5,
        evicted_starts=1 if quick else 3,
        memory_starts=2 if quick else 3,
        accuracy=True,
        warmup_s=0.4 * share,
        round_s=0.05 if quick else 0.1,
        round_min=5,
        rounds=8,
        min_launches=MIN_LAUNCHES,
        max_launches=MIN_LAUNCHES if quick else 40,
        max_timed_s=timed_s,
        pause_budget_s=timed_s / 10,
        energy_s=ENERGY_S * share,
        deadline_s=300.0,
        parts_s=1.0 * share,
        parts_min=20,
        profile_s=PROFILE_S * share if load.profile else 0.0,
    )
    own = replace(usual, **_own(load, share, cooldown_s))
    return replace(own, control_rounds=_control_rounds(own, models))


def _control_rounds(plan: contract.Plan, models: int) -> int:
    """Return in how many rounds of a launch a control takes part: as many as its share has time for, one at least."""
    round_s = plan.frames * plan.period_ns / NS_PER_S if plan.period_ns else plan.round_s
    left_s = CONTROL_SHARE * models * (plan.warmup_s + plan.rounds * round_s) - plan.warmup_s
    return min(max(int(left_s / round_s + 1e-9), 1), plan.rounds)


def _raced(plan: contract.Plan, accept: Sequence[Criterion]) -> contract.Plan:
    """Return the plan of a race: no profile, nor starts and parts of an inference that `[accept]` does not ask for."""
    asked = {METRICS[line.metric].measurement for line in accept}
    return replace(
        plan,
        cold_starts=plan.cold_starts if asked & _STARTS else 1,
        evicted_starts=0,
        parts_s=plan.parts_s if asked & _PARTS else 0.0,
        profile_s=0.0,
    )


def _own(load: Load, share: float, cooldown_s: float) -> dict[str, Any]:
    """Return what a scenario alone needs: the blocks of a stream, the windows of a sustained load."""
    if load.scenario == "stream":
        rate = load.frame_rate_hz or FRAME_RATE_HZ
        frames = max(MIN_FRAMES, round(rate * max(share, 0.3)))
        # A block takes as long as its frames take to arrive, so that slow ones leave room for fewer.
        blocks = load.max_duration_s * share / (MIN_LAUNCHES * frames / rate)
        return {"frames": frames, "period_ns": round(NS_PER_S / rate), "rounds": min(max(int(blocks), 1), 5)}
    if load.scenario == "sustained":
        duration_s = load.max_duration_s * share
        window_s = min(max(duration_s / 60, 0.2), 1.0)
        return {"sustained_s": duration_s, "window_s": window_s, "cooldown_s": cooldown_s * share}
    return {}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The images of a group as .npy files, one for each size and colour that its models take.

    Attributes:
        files: sha256 -> path.
        of: case id -> the sha256 of its model's images.
        data: sha256 of the split as it was read.
    """

    files: Mapping[str, Path]
    of: Mapping[str, str]
    data: str


@contextmanager
def inputs_files(group: Group, samples: Samples) -> Iterator[Inputs]:
    """Yield the images of a group; their files are gone afterwards, and those of a confidential suite have no name."""
    with ExitStack() as held:
        files: dict[str, Path] = {}
        known: dict[tuple[Any, ...], str] = {}
        of = {}
        folder = held.enter_context(scratch.held_folder())
        for case in group.cases:
            spec = group.fit(case).input
            key = _pixels_of(spec)
            if key not in known:
                if group.suite.confidential:
                    # Nothing of it is left when this process is killed.
                    file, path = held.enter_context(scratch.unnamed_file())
                else:
                    path = folder / f"{len(known)}.npy"
                    file = held.enter_context(path.open("w+b"))
                np.save(file, np.ascontiguousarray(pixels.converted(samples.images, spec)))
                file.flush()
                known[key] = ledger.sha256(path)
                files.setdefault(known[key], path)
            of[case.id] = known[key]
        yield Inputs(files, of, known.get(_pixels_of(InputSpec())) or _digest(samples))


def _pixels_of(spec: InputSpec) -> tuple[Any, ...]:
    """Return what decides on the pixels that are brought; scale, mean, std and layout are the device's."""
    return spec.size, spec.resize, spec.antialias, spec.color


def _digest(samples: Samples) -> str:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(samples.images))
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def job(group: Group, where: Mapping[str, str], inputs: Inputs, runtime: str, *, quick: bool) -> contract.Job:
    """Return what job.json shall hold.

    Args:
        group: the cases.
        where: sha256 of a model or of images -> their path on the device.
        inputs: the images.
        runtime: folder of the runtime there.
        quick: whether durations are cut to a tenth.
    """
    suite, device = group.suite, group.device
    planned = plan(suite.load, len(group.cases), quick=quick, cooldown_s=device.limits.cooldown_s)
    fed = [_input(group.fit(case).input, where[inputs.of[case.id]]) for case in group.cases]
    models = [
        _model(case, group.fit(case), where, runtime, own if own != fed[0] else None)
        for case, own in zip(group.cases, fed, strict=True)
    ]
    if group.control is not None and group.baseline is not None:
        models.append(replace(models[group.baseline], copy_of=group.baseline))
    return contract.Job(
        seed=int.from_bytes(hashlib.sha256(suite.id.encode()).digest()[:4], "big"),
        models=models,
        threads=suite.load.threads,
        batch=suite.load.batch,
        task=suite.task.kind,
        accelerator=suite.load.accelerator,
        input=fed[0],
        meter=host_meter.for_job(device),
        thermal_zone=device.limits.thermal_zone,
        plan=_raced(planned, suite.accept) if group.race else planned,
    )


def _input(spec: InputSpec, path: str) -> contract.Input:
    return contract.Input(path, spec.layout, spec.scale, list(spec.mean), list(spec.std))


def _model(case: Case, fit: Fit, where: Mapping[str, str], runtime: str, own: contract.Input | None) -> contract.Model:
    name = registry.runtime_name(case.runtime)
    return contract.Model(
        case.variant.id,
        where[case.variant.sha256],
        name,
        runtime,
        output=fit.reading.output,
        labels=list(fit.labels),
        constants=dict(fit.constants),
        input=own,
        input_scale=fit.quantization[0],
        input_zero_point=fit.quantization[1],
        output_scale=fit.answer_quantization[0],
        output_zero_point=fit.answer_quantization[1],
        answer=fit.reading.kind,
        paths=list(fit.paths) or None,
    )


@persistent
def push_job(handle: DeviceHandle, wanted: contract.Job, folder: str, *, left_s: float = 0.0) -> None:
    """Write job.json into a job's folder on the device, with what keeps its lease and when it ends without us.

    Args:
        handle: of the device.
        wanted: the job.
        folder: on the device, absolute.
        left_s: how long it goes on without its host, if that is longer than usual, s.
    """
    wanted = replace(wanted, beat=handle.beat, host_gone_s=max(handle.gone_s, left_s))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(contract.plain(wanted), file)
        file.flush()
        handle.push(Path(file.name), posixpath.join(folder, contract.JOB_FILE))


def load_samples(suite: Suite) -> Samples:
    """Return the suite's split.

    Raises:
        LabError: the data source finds it wrong, or it leaves open which of two classes is the positive one.
        Unforeseen: the data source failed otherwise.
    """
    found = lab.read_split(suite, suite.split)
    judged.check(suite, found)
    return found
