"""runner = "benchmark_model"
[benchmark_model]
path = "/data/local/tmp/benchmark_model"      # on the device; default: found on its PATH
arguments = ["--use_xnnpack=true"]            # optional; handed to the tool as they are

The vendor's own tool for .tflite models, which is on the device already: LiteRT's `litert-benchmark`, or the older
`benchmark_model` in C++. It reports averages: raw samples, percentiles, memory and accuracy are absent with the reason.
`litert-benchmark` is what the tests drive; of the one in C++ they read the output only.
"""

from __future__ import annotations

import json
import posixpath
import random
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from harness import registry
from harness.agent import contract
from harness.deploy import answer, checked
from harness.errors import DeviceError, MissingTool, Unsupported
from harness.ports.runners import Handle, Workspace
from harness.results import events
from harness.runners import _detached, native
from harness.runners._detached import stop

__all__ = ["METERS", "OUTPUTS", "SCENARIOS", "TURNS", "Options", "follow", "install", "runtime", "start", "stop"]

#: The scenarios of `[load]` that it can measure.
SCENARIOS = ("single_stream",)
#: It has no energy pass: a tool that is started again and again has no window to read a meter in.
METERS = False
OUTPUTS = False
TURNS = False
#: What runs on the device: the native runner speaks for this script, which starts the tool again and again.
_DRIVE: Final = """\
job={job} tool={tool} zone={zone} guard=
# started twice when the answer to the first start is lost with the link
mkdir "$job/claim" || exit 0
device() {{ {command} "$@" 9>&-; }}
mkfifo "$job/alive" && exec 9<>"$job/alive" || exit 74
printf %s "$$" > "$job/pid.part" && mv "$job/pid.part" "$job/pid" || exit 74
beat={beat} gone=0
# Keeps the lease while the host follows, and ends the job when it has been gone for too long.
( while sleep 10 && kill -0 "$$" 2>/dev/null; do
    gone=$((gone + 10))
    for pipe in "$job"/wake.*; do kill -0 "${{pipe##*.}}" 2>/dev/null && gone=0; done
    if [ "$gone" = 0 ]; then
      [ -w "$beat" ] || continue
      read -r boot < /proc/sys/kernel/random/boot_id; read -r up rest < /proc/uptime
      printf '%s %s\n' "$boot" "${{up%%.*}}" 1<> "$beat"
    elif [ "$gone" -gt {gone} ]; then
      rm -rf "$job"; kill -KILL "-$$"
    fi
  done ) 9>&- &
command -v timeout >/dev/null && guard="timeout {deadline}"
turn() {{
  index=$1 fields=$2 said=$job/m$1.said; shift 2
  [ -e "$job/failed-$index" ] && return
  $guard "$tool" "$@" > "$said" 2>&1 < /dev/null 9>&-; code=$?
  [ "$code" = 0 ] || : > "$job/failed-$index"
  device say "$job" tool "$fields, \\"code\\": $code" "$said" || exit 74
}}
device say "$job" start '' || exit 74
device say "$job" conditions ', "when": "before"' '' "$zone" || exit 74
{turns}
device say "$job" conditions ', "when": "after"' '' "$zone" || exit 74
device say "$job" done ', "spent": {{}}' || exit 74
"""
_DETACH: Final = 'setsid sh "$1/drive.sh" "$1" < /dev/null > "$1/agent.log" 2>&1 &'
_DIGEST: Final = 'sha256sum < "$1" || busybox sha256sum < "$1" || toybox sha256sum < "$1"'
#: Inferences of litert-benchmark, which counts them; the older tool is given a time.
_RUNS: Final = 100
_MS, _US = 1e6, 1e3


@dataclass(frozen=True, slots=True)
class Options:
    """The keys of `[benchmark_model]`."""

    path: str = "benchmark_model"
    arguments: tuple[str, ...] = ()


def install(handle: Handle) -> Workspace:
    """Find the tool and bring the native runner, which speaks for it.

    Raises:
        MissingTool: the tool is not there or does not run.
    """
    # The tool has its runtime built in.
    place = native.install_for(handle, ())
    _tool(handle)
    return place


def runtime(handle: Handle, requirement: str) -> str:
    """Return "": the tool has its runtime built in.

    Raises:
        Unsupported: the runtime asked for runs other models than the tool.
    """
    found = registry.runtimes()[registry.normalised(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])]
    if "tflite" not in found.formats:
        text = f"the vendor's tool runs .tflite models and {requirement} others"
        raise Unsupported(text, remedy="take it out of runtimes", device=handle.device.id)
    return ""


def start(handle: Handle, job: str, *, low_priority: bool = False) -> None:
    """Start the tool's turns on the job directory `job`, in a session of their own, whatever the priority.

    Args:
        handle: of the device.
        job: its folder on the device.
        low_priority: without effect: the tool runs at the priority of its session.
    """
    del low_priority
    wanted = _job(handle, job)
    tool, counts = _tool(handle)
    digest = handle.run(["sh", "-c", _DIGEST, "sh", tool]).text.partition(" ")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(_script(wanted, handle, job, _ToolFacts(tool, counts, digest)))
        file.flush()
        handle.push(Path(file.name), f"{job}/drive.sh")
    done = handle.run([*handle.workspace.bound, "sh", "-c", _DETACH, "sh", job])
    checked(done, handle.device, "the tool's script did not start")


def _job(handle: Handle, job: str) -> contract.Job:
    """Return the job that lies in its folder; raises DeviceError if what the device prints of it is none."""
    file = f"{job}/{contract.JOB_FILE}"
    said = answer(handle.run(["cat", file]), handle.device, f"{job} has no job")
    try:
        return contract.job(said)
    except (ValueError, TypeError, AttributeError) as error:
        text = f"{file} did not come back as it was written ({error})"
        raise DeviceError(
            text, remedy="look at the device's disk, then measure again", device=handle.device.id
        ) from error


def follow(handle: Handle, job: str, *, offset: int) -> Iterator[tuple[int, contract.Event]]:
    """Yield (offset behind it, event) from byte `offset` on, with what the tool printed read.

    Args:
        handle: of the device.
        job: its folder on the device.
        offset: where to go on.

    Raises:
        MeasurementError: the script is gone and did not finish.
    """
    for behind, event in _detached.follow(handle, job, offset=offset):
        yield behind, _understood(event, handle.device.id) if isinstance(event, contract.Tool) else event


@dataclass(frozen=True, slots=True)
class _ToolFacts:
    """The tool on the device: `counts` says that it is the one that counts runs (litert-benchmark)."""

    path: str
    counts: bool
    digest: str


def _tool(handle: Handle) -> tuple[str, bool]:
    """Return the tool's path on the device, and whether it is the one that counts runs (litert-benchmark)."""
    device = handle.device
    wanted = Options(**device.settings).path
    found = handle.run(["sh", "-c", 'command -v "$1"', "sh", wanted]).text
    if not found:
        raise MissingTool(
            f"there is no {wanted} on the device",
            remedy="put it there, or correct path under [benchmark_model]",
            device=device.id,
        )
    done = handle.run([found, "--help"])
    says = (done.out + done.err).decode("utf-8", "replace")
    for flag, counts in (("--num_runs", True), ("--graph", False)):
        if flag in says and ("--model" in says or not counts):
            return found, counts
    said = says.strip().splitlines()[-1:] or [f"code {done.code}"]
    text = f"{found} is no benchmark tool of LiteRT that is known here ({said[0]})"
    raise MissingTool(text, remedy="correct path under [benchmark_model]", device=device.id)


def _script(job: contract.Job, handle: Handle, folder: str, tool: _ToolFacts) -> str:
    """Return the script of all turns: the models in random order, again and again, so that drift favours none."""
    plan, order = job.plan, random.Random(job.seed)
    models = range(len(job.models))
    name, more = posixpath.basename(tool.path), list(Options(**handle.device.settings).arguments)
    facts = {"runtime": name, "runtime_sha256": tool.digest, "accelerator": "as the tool chose"}
    turns = []
    for turn in range(plan.cold_starts):
        for index in order.sample(models, len(models)):
            named = {"model": index, "turn": turn, "of": plan.cold_starts, "tool": name, "facts": facts}
            words = _arguments(job.models[index].path, job.threads, plan, tool.counts) + more
            turns.append(shlex.join(["turn", str(index), f", {json.dumps(named)[1:-1]}", *words]))
    return _DRIVE.format(
        job=shlex.quote(folder),
        tool=shlex.quote(tool.path),
        zone=shlex.quote(job.thermal_zone),
        command=shlex.join(handle.workspace.command),
        deadline=int(plan.deadline_s),
        beat=shlex.quote(job.beat),
        gone=int(job.host_gone_s or 1e9),
        turns="\n".join(turns),
    )


def _arguments(model: str, threads: int, plan: contract.Plan, counts: bool) -> list[str]:
    if counts:
        return [f"--model={model}", f"--num_threads={threads}", f"--num_runs={_RUNS}", f"--warmup_runs={_RUNS // 10}"]
    seconds = plan.round_s * plan.rounds
    return [
        f"--graph={model}",
        f"--num_threads={threads}",
        f"--min_secs={seconds:g}",
        f"--warmup_min_secs={plan.warmup_s:g}",
    ]


def _understood(event: contract.Tool, device: str) -> contract.Event:
    """Return the event with the tool's figures in ns, or as the error that it is about."""
    figures = figures_of(event.said)
    if event.code == 0 and figures:
        try:
            return events.checked(replace(event, **figures), device=device)
        except events.Untrue as untrue:
            return untrue.instead(event.event)
    last = event.said.splitlines()[-1].strip() if event.said else f"code {event.code}"
    message = f"{event.tool} ended with code {event.code}: {last[-300:]}"
    if event.code == 0:
        message = f"{event.tool} printed nothing that is understood here: {last[-300:]}"
    kind = {124: "timeout", 137: "killed", 143: "timeout"}.get(event.code, "model")
    return contract.Error("error", event.t_ns, event.model, "tool", kind, message)


def figures_of(said: str) -> dict[str, Any]:
    """Return load_ns, first_inference_ns, mean_ns and count from what either tool printed; {} unless all are there.

    `litert-benchmark` prints ms with two decimals, `benchmark_model` µs.
    """
    try:
        return _printed(said)
    except ValueError:  # dots and digits that are no number
        return {}


def _printed(said: str) -> dict[str, Any]:
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


def _figures(times_ns: Sequence[float], count: int) -> dict[str, Any]:
    load, first, mean = times_ns
    # A model that takes less than what the tool's figures resolve.
    if not mean > 0:
        return {}
    return {"load_ns": load, "first_inference_ns": first, "mean_ns": mean, "count": count}
