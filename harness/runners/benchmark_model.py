"""runner = "benchmark_model"
[benchmark_model]
path = "/data/local/tmp/benchmark_model"      # on the device; default: found on its PATH
arguments = ["--use_xnnpack=true"]            # optional; handed to the tool as they are

The vendor's own tool for .tflite models, which is on the device already: LiteRT's `litert-benchmark`, or the older
`benchmark_model` in C++. It tells averages: raw samples, percentiles, memory and accuracy are absent with the reason.
`litert-benchmark` is what the tests drive; of the one in C++ they read the output only.
"""

from __future__ import annotations

import json
import posixpath
import random
import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness import registry
from harness.deploy.placing import Workspace, checked
from harness.errors import MissingTool, Unsupported
from harness.model import Device
from harness.ports import Connection
from harness.runners import native
from harness.runners import python as agent

__all__ = ["Options", "follow", "install", "runtime", "start", "stop"]

#: The scenarios of `[load]` that it can measure.
SCENARIOS = ("single_stream",)
#: It has no energy pass: a tool that is started again and again has no window to read a meter in.
METERS = False
#: What runs on the device: the native runner speaks for this script, which starts the tool again and again.
_DRIVE: Final = """\
job={job} tool={tool} guard=
# started twice when the answer to the first start is lost with the link
mkdir "$job/claim" || exit 0
device() {{ {command} "$@" 9>&-; }}
mkfifo "$job/alive" && exec 9<>"$job/alive" || exit 74
printf %s "$$" > "$job/pid.part" && mv "$job/pid.part" "$job/pid" || exit 74
command -v timeout >/dev/null && guard="timeout {deadline}"
turn() {{
  index=$1 fields=$2 said=$job/m$1.said; shift 2
  [ -e "$job/failed-$index" ] && return
  $guard "$tool" "$@" > "$said" 2>&1 < /dev/null 9>&-; code=$?
  [ "$code" = 0 ] || : > "$job/failed-$index"
  device say "$job" tool "$fields, \\"code\\": $code" "$said" || exit 74
}}
device say "$job" start '' || exit 74
device say "$job" conditions ', "when": "before"' || exit 74
{turns}
device say "$job" conditions ', "when": "after"' || exit 74
device say "$job" done ', "spent": {{}}' || exit 74
"""
_DETACH: Final = 'setsid sh "$1/drive.sh" "$1" < /dev/null > "$1/agent.log" 2>&1 &'
_DIGEST: Final = 'sha256sum < "$1" || busybox sha256sum < "$1" || toybox sha256sum < "$1"'
#: Inferences of litert-benchmark, which counts them; the older tool is told a time.
_RUNS: Final = 100
_MS, _US = 1e6, 1e3


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[benchmark_model]`."""

    path: str = "benchmark_model"
    arguments: tuple[str, ...] = ()


def install(connection: Connection, device: Device, root: str) -> Workspace:
    """Find the tool and bring the native runner, which speaks for it.

    Raises:
        MissingTool: the tool is not there or does not run.
    """
    place = native.install(connection, device, root)
    _tool(connection, device)
    return place


def runtime(connection: Connection, device: Device, place: Workspace, requirement: str) -> str:
    """Return "": the tool has its runtime built in.

    Raises:
        Unsupported: the runtime asked for runs other models than the tool.
    """
    del connection, place
    found = registry.runtimes()[registry.normalised(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])]
    if "tflite" not in found.formats:
        raise Unsupported(
            f"the vendor's tool runs .tflite models and {requirement} others: take it out of runtimes", device=device.id
        )
    return ""


def start(connection: Connection, device: Device, command: Sequence[str], job: str) -> None:
    """Start the tool's turns on the job directory `job`, in a session of their own."""
    text = checked(connection.run(["cat", f"{job}/job.json"]), device, f"{job} has no job").text
    tool, counts = _tool(connection, device)
    digest = connection.run(["sh", "-c", _DIGEST, "sh", tool]).text.partition(" ")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(_script(json.loads(text), device, command, job, tool, counts, digest))
        file.flush()
        connection.push(Path(file.name), f"{job}/drive.sh")
    checked(connection.run(["sh", "-c", _DETACH, "sh", job]), device, "the tool's script did not start")


def follow(
    connection: Connection, device: Device, command: Sequence[str], job: str, *, offset: int
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (offset behind it, event) from byte `offset` on, with what the tool said read.

    Raises:
        MeasurementError: the script is gone and did not finish.
    """
    for behind, event in agent.follow(connection, device, command, job, offset=offset):
        yield behind, _understood(event) if event["event"] == "tool" else event


def stop(connection: Connection, job: str) -> None:
    """End the script and the tool."""
    agent.stop(connection, job)


def _tool(connection: Connection, device: Device) -> tuple[str, bool]:
    """Return the tool's path on the device, and whether it is the one that counts runs (litert-benchmark)."""
    wanted = Options(**device.settings).path
    found = connection.run(["sh", "-c", 'command -v "$1"', "sh", wanted]).text
    if not found:
        raise MissingTool(
            f"there is no {wanted} on the device",
            remedy="put it there, or correct path under [benchmark_model]",
            device=device.id,
        )
    done = connection.run([found, "--help"])
    says = (done.out + done.err).decode("utf-8", "replace")
    for flag, counts in (("--num_runs", True), ("--graph", False)):
        if flag in says and ("--model" in says or not counts):
            return found, counts
    said = says.strip().splitlines()[-1:] or [f"code {done.code}"]
    raise MissingTool(f"{found} is no benchmark tool of LiteRT that is known here ({said[0]})", device=device.id)


def _script(
    job: Mapping[str, Any], device: Device, command: Sequence[str], folder: str, tool: str, counts: bool, digest: str
) -> str:
    """Return the script of all turns: the models in random order, again and again, so that drift favours none."""
    plan, order = job["plan"], random.Random(job["seed"])
    models = range(len(job["models"]))
    turns = []
    for turn in range(plan["cold_starts"]):
        for index in order.sample(models, len(models)):
            facts = {"runtime": posixpath.basename(tool), "runtime_sha256": digest, "accelerator": "as the tool chose"}
            named = {"model": index, "turn": turn, "of": plan["cold_starts"], "tool": facts["runtime"], "facts": facts}
            path = job["models"][index]["path"]
            words = _arguments(path, job["threads"], plan, counts) + list(Options(**device.settings).arguments)
            turns.append(shlex.join(["turn", str(index), f", {json.dumps(named)[1:-1]}", *words]))
    return _DRIVE.format(
        job=shlex.quote(folder),
        tool=shlex.quote(tool),
        command=shlex.join(command),
        deadline=int(plan["deadline_s"]),
        turns="\n".join(turns),
    )


def _arguments(model: str, threads: int, plan: Mapping[str, Any], counts: bool) -> list[str]:
    if counts:
        return [f"--model={model}", f"--num_threads={threads}", f"--num_runs={_RUNS}", f"--warmup_runs={_RUNS // 10}"]
    seconds = plan["round_s"] * plan["rounds"]
    return [
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--min_secs={seconds:g}",
        f"--warmup_min_secs={plan['warmup_s']:g}",
    ]


def _understood(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with the tool's figures in ns, or as the error that it tells of."""
    said, figures = event["said"], figures_of(event["said"])
    if event["code"] == 0 and figures:
        return {**event, **figures}
    last = said.splitlines()[-1].strip() if said else f"code {event['code']}"
    message = f"{event['tool']} ended with code {event['code']}: {last[-300:]}"
    if event["code"] == 0:
        message = f"{event['tool']} said nothing that is understood here: {last[-300:]}"
    kind = {124: "timeout", 137: "killed", 143: "timeout"}.get(event["code"], "model")
    return {"event": "error", "model": event["model"], "phase": "tool", "kind": kind, "message": message}


def figures_of(said: str) -> dict[str, float]:
    """Return load_ns, first_inference_ns, mean_ns and count from what either tool printed; {} unless all are there.

    `litert-benchmark` prints ms with two decimals, `benchmark_model` µs.
    """
    lines = dict(re.findall(r"^(Model initialization|Warmup \(first\)|Inference \(avg\)):\s+([\d.]+) ms", said, re.M))
    runs = re.search(r"^Inference \(avg\):.*\((\d+) runs\)", said, re.M)
    if len(lines) == 3 and runs:
        return _figures([float(lines[name]) * _MS for name in lines], int(runs[1]))
    number = r"([\d.]+(?:e[+-]?\d+)?)"
    line = re.search(
        rf"Inference timings in us: Init: {number}, First inference: {number}, .*Inference \(avg\): {number}", said
    )
    passes = re.findall(r"\bcount=(\d+)", said)
    if not line or not passes:
        return {}
    return _figures([float(value) * _US for value in line.groups()], int(passes[-1]))


def _figures(times_ns: Sequence[float], count: int) -> dict[str, float]:
    load, first, mean = times_ns
    # A model that takes less than what the tool's figures resolve.
    if not mean > 0:
        return {}
    return {"load_ns": load, "first_inference_ns": first, "mean_ns": mean, "count": count}
