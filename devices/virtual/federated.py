"""One real round of federated learning (Flower) over virtual hosts, each with a shard of the train split.

python -m devices.virtual.federated SUITE.toml [--hosts 3] [--flower PYTHON]

A Flower server on this machine, a Flower client on each host of a fleet, in a network of its own; the client lets the
device's agent make the steps that `[local_step]` says, one for each batch of its shard. It ends with how far the
server's weights are from the mean that this host computes by hand. flwr asks for protobuf below 7 and rich below 15:
where that does not suit what else is installed, PYTHON is one of an environment of its own, in which
`pip install flwr==1.42.0` was run.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from devices.virtual import fleet
from devices.virtual.fleet import Host
from harness import deploy, lab, pixels
from harness.agent import contract
from harness.deploy import DeviceHandle
from harness.measure import local_steps, step_launches
from harness.model import Samples, Suite
from harness.ports.recipes import Build
from harness.recipes import _step_program
from harness.recipes._step_program import StepProgram, Weights

_SIDES: Final = Path(__file__).with_name("flower_round.py")
_ROUND_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave.

    Attributes:
        images: that each client learnt from.
        weights: how many numbers were averaged.
        apart: the server's weights from the mean by hand, over the way from the first weights to that mean.
        unweighted: the same of the plain mean, that does not count images.
    """

    images: tuple[int, ...]
    weights: int
    apart: float
    unweighted: float


def run(suite: Suite, folder: Path, *, hosts: int = 3, flower: str = sys.executable) -> Round:
    """Let a fleet learn for one round.

    Args:
        suite: whose baseline learns.
        folder: an empty folder.
        hosts: how many.
        flower: a Python that has flwr.

    Raises:
        HarnessError: the baseline cannot learn, or a host cannot train.
        RuntimeError: Flower did not end well; the text says what it printed.
    """
    names = [f"h{number + 1}" for number in range(hosts)]
    programs = [
        _program(suite, part, folder / f"{name}.pt") for name, part in zip(names, _shards(suite, hosts), strict=True)
    ]
    start: dict[str, Any] = dict(programs[0].start)
    np.savez(folder / "start.npz", **start)
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    ends = [folder / "start.npz", folder / "end.npz"]
    with fleet.fleet(folder / "hosts", names) as running, (folder / "server.log").open("wb") as log:
        command = [flower, str(_SIDES), "server", f"0.0.0.0:{port}", str(hosts), *map(str, ends)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            with ThreadPoolExecutor(hosts) as pool:
                learning = [
                    pool.submit(_learn, host, program, suite, folder, [flower, str(_SIDES), "client"], port)
                    for host, program in zip(running, programs, strict=True)
                ]
                for one in learning:
                    one.result()
            server.wait(60)
        finally:
            server.kill()
            server.wait()
    if not ends[1].is_file():
        raise RuntimeError(f"Flower's server averaged nothing:\n{(folder / 'server.log').read_text()[-2000:]}")
    with np.load(ends[1]) as end:
        return _judged(programs, {name: end[name] for name in end})


def _learn(host: Host, program: StepProgram, suite: Suite, folder: Path, client: Sequence[str], port: int) -> None:
    """Let one host learn for the server.

    Args:
        host: a running one.
        program: what learns there.
        suite: says what a step is.
        folder: that all hosts share.
        client: the command line of a Flower client, but for its arguments.
        port: of the server.
    """
    asked, job = local_steps.asked_of(suite), folder / "jobs" / host.name
    job.mkdir(parents=True)
    np.save(job / "inputs.npy", program.inputs)
    np.save(job / "labels.npy", program.labels)
    wanted = contract.LocalStep(
        program=str(program.file), inputs=str(job / "inputs.npy"), labels=str(job / "labels.npy"),
        learns=list(program.learns), batch=asked.batch, warmup=0, steps=len(program.labels) // asked.batch,
        optimiser=asked.optimiser, learning_rate=asked.learning_rate, threads=suite.load.threads,
        start=str(job / "start.npz"),
    )  # fmt: skip
    (job / contract.STEP_FILE).write_text(json.dumps(contract.plain(wanted)))
    file = host.server.write_device(folder, id=host.name, workdir=folder / "work" / host.name)
    file.write_text(f'python = "{sys.executable}"\n' + file.read_text())
    with DeviceHandle(lab.read_device(file)) as handle:
        local_steps.check_device(handle)
        # The near end of a cable has the number before that of its far end.
        network, _, number = host.cable.address.rpartition(".")
        here = f"{network}.{int(number) - 1}:{port}"
        agent = step_launches.command(handle)
        done = handle.run([*client, here, str(job), *agent], timeout_s=_ROUND_S)
        deploy.checked(done, handle.device, "its Flower client did not end well")


def _judged(programs: Sequence[StepProgram], found: Weights) -> Round:
    images = [len(one.labels) for one in programs]
    start = programs[0].start

    def distance(shares: Sequence[float]) -> float:
        mean = {
            name: sum(share * one.end[name].astype(np.float64) for share, one in zip(shares, programs, strict=True))
            for name in start
        }
        far = sum(float(((found[name] - mean[name]) ** 2).sum()) for name in start)
        way = sum(float(((mean[name] - start[name]) ** 2).sum()) for name in start)
        return float(np.sqrt(far / way))

    plain = [1 / len(images)] * len(images)
    return Round(tuple(images), programs[0].weights, distance([one / sum(images) for one in images]), distance(plain))


def _shards(suite: Suite, hosts: int) -> list[Samples]:
    """Return parts of the train split that have no image in common; each is larger than the one before it."""
    samples, batch = lab.read_split(suite, "train"), local_steps.asked_of(suite).batch
    order = np.random.default_rng(3).permutation(len(samples.labels))
    ends = (np.cumsum(np.arange(1, hosts)) / (hosts * (hosts + 1) / 2) * len(order)).astype(int)
    most = [_step_program.BATCHES * number // hosts * batch for number in range(1, hosts + 1)]
    parts = [part[:count] for part, count in zip(np.split(order, ends), most, strict=True)]
    return [samples.without(np.setdiff1d(order, part)) for part in parts]


def _program(suite: Suite, samples: Samples, target: Path) -> StepProgram:
    variant, asked = local_steps.chosen(suite, [suite.baseline])[0], local_steps.asked_of(suite)
    fit = lab.fit(suite, variant, samples)
    fed = replace(samples, images=pixels.converted(samples.images, fit.input))
    job = Build(variant.path, target, lambda _: fed, fit.input, suite.task, fit.reading)
    steps = max(1, min(_step_program.BATCHES, len(samples.labels) // asked.batch))
    return _step_program.make(job, asked, steps)


def main() -> None:
    """Run one round and print what it gave; raises SystemExit where Flower's mean is not the one by hand."""
    parser = argparse.ArgumentParser(description="One round of Flower over virtual hosts.")
    parser.add_argument("suite", type=Path, help="a suite file with [local_step]")
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--flower", default=sys.executable, help="a Python that has flwr")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(lab.read_suite(asked.suite), Path(folder), hosts=asked.hosts, flower=asked.flower)
    print(
        f"{len(found.images)} clients learnt from {', '.join(map(str, found.images))} images; {found.weights} weights"
    )
    print(
        f"from the mean by hand, weighted by images: {found.apart:.2g} of the way; "
        f"from the plain mean: {found.unweighted:.2g}"
    )
    if found.apart > 1e-3:
        raise SystemExit("the server's weights are not the mean of the clients'")


if __name__ == "__main__":
    main()
