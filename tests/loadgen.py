"""MLPerf LoadGen as others use it: SingleStream over a system under test written in Python."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Report:
    """What LoadGen wrote of one test.

    Attributes:
        early_stopping: its sentence on early stopping.
        percentiles_ns: percentile in percent -> latency.
        samples_ns: (N,) latencies as LoadGen timed them, sorted; empty without a trace.
    """

    early_stopping: str
    percentiles_ns: dict[float, int]
    samples_ns: npt.NDArray[np.int64]

    def number(self, pattern: str) -> int:
        """Return the number that `pattern` finds in the sentence on early stopping."""
        found = re.search(pattern, self.early_stopping)
        assert found is not None, self.early_stopping
        return int(found[1])


def single_stream(
    call: Callable[[int], Any], folder: Path, *, queries: int, q: float = 0.9, trace: bool = False
) -> Report:
    """Let LoadGen issue queries one after the other, each answered by `call(index of the sample)`.

    Args:
        call: the inference.
        folder: where LoadGen may write its logs.
        queries: how many.
        q: the percentile that the test is about.
        trace: whether each sample's time is wanted, too.
    """
    import mlperf_loadgen as loadgen

    def issue(asked: Any) -> None:
        for one in asked:
            call(one.index)
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(one.id, 0, 0)])

    settings, logs = loadgen.TestSettings(), loadgen.LogSettings()
    settings.scenario, settings.mode = loadgen.TestScenario.SingleStream, loadgen.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = queries
    settings.min_duration_ms = 0
    settings.single_stream_target_latency_percentile = q
    logs.log_output.outdir, logs.enable_trace = str(folder), trace
    system = loadgen.ConstructSUT(issue, lambda: None)
    samples = loadgen.ConstructQSL(16, 16, lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, samples, settings, logs)
    finally:
        loadgen.DestroyQSL(samples)
        loadgen.DestroySUT(system)
    return _report(folder, trace)


def _report(folder: Path, trace: bool) -> Report:
    lines = (folder / "mlperf_log_detail.txt").read_text().splitlines()
    entries = [json.loads(line.removeprefix(":::MLLOG ")) for line in lines]
    said = {entry["key"]: entry["value"] for entry in entries}
    percentiles = {
        float(key.split("_")[1]): int(value)
        for key, value in said.items()
        if key.startswith("result_") and key.endswith("_percentile_latency_ns")
    }
    text = (folder / "mlperf_log_trace.json").read_text() if trace else ""
    spans = re.findall(r'"issue_start_ns":(\d+),"complete_ns":(\d+)', text)
    samples = np.sort(np.array([int(end) - int(start) for start, end in spans], np.int64))
    return Report(str(said["early_stopping_result"]), percentiles, samples)


def main(arguments: list[str]) -> None:
    """Serve one onnxruntime session as LoadGen's system under test: a line with a count in, the median of so many out.

    Args:
        arguments: the model, the folder of the runtime, the images (N, H, W, C) uint8 as .npy, a folder for logs.
    """
    model, runtime, images, folder = arguments
    sys.path.insert(0, runtime)
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    ready = [{name: one[None]} for one in np.moveaxis(np.load(images).astype(np.float32) / 255, -1, 1).copy()]
    assert str(onnxruntime.__file__).startswith(runtime), "not the runtime that the agent uses"
    print("ready", flush=True)
    for line in sys.stdin:
        report = single_stream(
            lambda index: session.run(None, ready[index % len(ready)]), Path(folder), queries=int(line)
        )
        print(report.percentiles_ns[50.0], flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
