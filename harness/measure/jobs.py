"""What a job directory is given: the plan, the models, the images."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import cache_dir, registry, stats
from harness.agent import contract
from harness.deploy import DeviceHandle, persistent
from harness.errors import HarnessError, LabError, Unforeseen
from harness.measure import host_meter
from harness.model import FRAME_RATE_HZ, Case, Device, Load, Samples, Suite
from harness.units import NS_PER_S

#: Launches before a verdict counts: fewer cannot show the variance between launches.
MIN_LAUNCHES = stats.MIN_LAUNCHES
#: Frames in a block of a stream, at least.
MIN_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that are measured in one job: same suite, device and runtime; the baseline among them if there is one."""

    suite: Suite
    device: Device
    runtime: str
    cases: tuple[Case, ...]

    @property
    def baseline(self) -> int | None:
        """The baseline's place in the job."""
        return next((i for i, case in enumerate(self.cases) if case.is_baseline), None)


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
        energy_s=12.0 * share,
        deadline_s=300.0,
        parts_s=1.0 * share,
        parts_min=20,
    )
    return replace(usual, **_own(load, share, cooldown_s))


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


@contextmanager
def inputs_file(samples: Samples) -> Iterator[dict[str, Path]]:
    """Yield {sha256: path} of the images as a .npy file, which is gone afterwards."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(samples.images))
    folder = cache_dir() / "inputs"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npy") as file:
        file.write(buffer.getvalue())
        file.flush()
        yield {hashlib.sha256(buffer.getvalue()).hexdigest(): Path(file.name)}


def job(group: Group, where: Mapping[str, str], data: str, runtime: str, *, quick: bool) -> contract.Job:
    """Return what job.json shall hold.

    Args:
        group: the cases.
        where: sha256 of a model -> its path on the device.
        data: path of the images there.
        runtime: folder of the runtime there.
        quick: whether durations are cut to a tenth.
    """
    suite, device = group.suite, group.device
    name = registry.runtime_name(group.runtime)
    spec = suite.input
    return contract.Job(
        seed=int.from_bytes(hashlib.sha256(suite.id.encode()).digest()[:4], "big"),
        models=[contract.Model(c.variant.id, where[c.variant.sha256], name, runtime) for c in group.cases],
        threads=suite.load.threads,
        batch=suite.load.batch,
        task=suite.task.kind,
        accelerator=suite.load.accelerator,
        input=contract.Input(data, spec.layout, spec.scale, list(spec.mean), list(spec.std)),
        meter=host_meter.for_job(device),
        plan=plan(suite.load, len(group.cases), quick=quick, cooldown_s=device.limits.cooldown_s),
    )


@persistent
def push_job(handle: DeviceHandle, wanted: contract.Job, folder: str) -> None:
    """Write job.json into a job's folder on the device.

    Args:
        handle: of the device.
        wanted: the job.
        folder: on the device, absolute.
    """
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
    table = dict(suite.data)
    module = registry.load("data", table.pop("source"), file=str(suite.file), key="data.source")
    options = registry.options(module, table, file=str(suite.file), key="data")
    try:
        found: Samples = module.load(options, split=suite.split, base=suite.file.parent, cache=cache_dir() / "data")
    except HarnessError:
        raise
    except Exception as error:
        raise Unforeseen(f"{suite.file}: reading the data", error) from error
    positive = suite.task.positive
    if not positive and suite.task.kind == "classification" and len(found.classes) == 2:
        first, second = found.classes
        raise LabError(
            f"is not set, and sensitivity may speak of {first!r} or of {second!r}",
            remedy=f'write positive = "{second}" or positive = "{first}" under [task]',
            file=str(suite.file),
            key="task.positive",
        )
    if positive and positive not in found.classes:
        raise LabError(
            f"{positive!r} is not a class of the data",
            remedy=registry.suggestion(positive, found.classes),
            file=str(suite.file),
            key="task.positive",
        )
    return found
