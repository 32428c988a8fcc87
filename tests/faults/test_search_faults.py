"""What happens to devices and candidates in the middle of a search is theirs alone, and the search goes on."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from devices.virtual import fleet, memory_limit, shaping
from devices.virtual.fleet import Host
from devices.virtual.requirements import give_up, require
from harness import lab
from harness.cli.search_places import Options
from harness.cli.search_results import conclude
from harness.cli.searching import RACED, Searching
from harness.errors import MeasurementError, Unreachable
from harness.results import runs as judged_runs
from harness.store import Store
from tests import small_models as small

pytestmark = pytest.mark.usefixtures("proposals", "no_jobs")

MEMORY_BYTES = 300_000_000


class Watched(Searching):
    """A search to which something is done when a device says something."""

    when: Callable[[str, str], None] | None = None

    def say(self, device: str, text: str) -> None:
        """Show what a device says, and do what is to be done then."""
        super().say(device, text)
        if self.when is not None:
            self.when(device, text)


def written(folder: Path, **candidates: small.Maker) -> Path:
    """Write a suite whose baseline has 12 convolutions, and which searches among candidates that are brought."""
    file = small.write_suite(folder, "halves", ("base", lambda path: small.slower(path, layers=12)))
    for name, make in candidates.items():
        make(folder / "suites" / "models" / f"{name}.onnx")
    files = ", ".join(f'"models/{name}.onnx"' for name in candidates)
    space = f'[goal]\nminimise = "latency"\naccuracy = "accuracy"\n[[space]]\nid = "own"\nmodel = [{files}]\n[accept]\n'
    file.write_text(file.read_text().replace("[accept]\n", space))
    small.write_npz(folder / "suites" / "data.npz", 6)
    return file


@contextlib.contextmanager
def search(folder: Path, *, patience_s: float = 60.0) -> Iterator[tuple[Watched, list[str]]]:
    """Give a search of the lab on all its devices, and what it says."""
    store, said = Store(f"sqlite:///{folder}/results.sqlite"), list[str]()
    options = Options(trials=20, say=said.append, quick=True, patience_s=patience_s)
    try:
        yield Watched(folder / "suites/halves.toml", lab.select(folder, ["all"]), store, folder, options), said
    finally:
        store.close()
        print("\n" + "\n".join(said))


def layers(count: int) -> small.Maker:
    return lambda path: small.slower(path, layers=count)


def statuses(searching: Searching) -> dict[str, dict[str, str]]:
    """Return device -> candidate -> status."""
    return {
        place.device.id: {one.candidate: one.status for one in place.study.attempts()} for place in searching.places
    }


def test_a_device_that_dies_in_a_race_is_named_and_the_other_ends_its_own(tmp_path: Path) -> None:
    require(*fleet.NEEDS, *shaping.NEEDS, "package:gcc")
    written(tmp_path, one=layers(1), two=layers(2), four=layers(4), six=layers(6))
    with fleet.fleet(tmp_path / "hosts", ["h1", "h2"]) as hosts, contextlib.ExitStack() as cut:
        for host in hosts:
            file = host.server.write_device(tmp_path, id=host.name, runtimes=[small.ONNXRUNTIME])
            file.write_text(f'runner = "native"\n{file.read_text()}')
        with search(tmp_path, patience_s=1) as (searching, _):
            begun: list[str] = []

            def when(device: str, text: str) -> None:
                if device == "h2" and text.startswith("timed pass: launch 1"):
                    begun.append(text)
                    if len(begun) == 2:
                        cut.enter_context(shaping.refused(hosts[1].cable))

            searching.when = when
            searching.run()
            assert len(begun) == 2, "it was not cut in its second race: the test is void"
            found = statuses(searching)
            assert len(found["h1"]) == 4
            assert len(found["h2"]) == 3
            assert not {"failed"} & {*found["h1"].values(), *found["h2"].values()}
            lost = {place.device.id: place.lost for place in searching.places}
            assert lost["h1"] is None
            assert isinstance(lost["h2"], Unreachable)
            with pytest.raises(MeasurementError, match=r"h2 · .* is not done: h2: .*; the same command goes on"):
                conclude(searching, tmp_path / "reports")
            best = (tmp_path / "suites" / "halves-best.toml").read_text()
            assert "# h1 · onnxruntime 1.31.1: own-" in best
            assert "# h2 ·" not in best
            before = {run.id for run in searching.store.runs(suite=f"halves{RACED}")}
        cut.close()
        with search(tmp_path) as (searching, said):
            searching.run()
            again = statuses(searching)
            assert again["h1"] == found["h1"]
            assert len(again["h2"]) == 4
            assert again["h2"].items() > found["h2"].items()
            assert {f"{name}, {small.ONNXRUNTIME}: going on after {count} attempts" for name, count in
                    (("h1", 4), ("h2", 3))} <= set(said)  # fmt: skip
            conclude(searching, tmp_path / "reports")
            runs = searching.store.runs(suite=f"halves{RACED}")
            assert before <= {run.id for run in runs}
            # What had ended is not measured again, on either device.
            assert {run.case.device for run in runs if run.id not in before} == {"h2"}
    page = (tmp_path / "reports" / "html" / "search-halves.html").read_text("utf-8")
    assert all(f"{name} · onnxruntime 1.31.1" in page for name in ("h1", "h2"))


def test_a_candidate_whose_processor_was_taken_away_is_measured_once_more(
    tmp_path: Path, device_workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, two=layers(2), four=layers(4))
    small.write_device(tmp_path, "dut", workdir=device_workdir)
    with search(tmp_path) as (searching, said):
        # As if other work had the processor: every run is invalid until one is measured again.
        monkeypatch.setattr(judged_runs, "LOST_DRIFT", -2.0)
        tell = searching.options.say

        def hear(text: str) -> None:
            tell(text)
            if "measured again" in text:
                monkeypatch.undo()

        searching.options = replace(searching.options, say=hear)
        searching.run()
        again = [line for line in said if line.endswith(": measured again")]
        attempts = {one.candidate: one for one in searching.places[0].study.attempts()}
    assert again
    assert all("the processor ran more than" in line for line in again)
    assert {one.status for one in attempts.values()} <= {"accepted", "undecided", "dropped"}, said
    assert set(attempts) == {"own-two", "own-four"}


@pytest.fixture
def small_host(tmp_path: Path, device_workdir: Path) -> Iterator[Host]:
    """Give a host with little memory, as the device of the lab."""
    require(*fleet.NEEDS)
    if missing := memory_limit.lacking_limit():
        give_up(f"this machine lacks {missing}")
    with fleet.fleet(tmp_path / "hosts", ["small"], memory_bytes=MEMORY_BYTES) as (running,):
        running.server.write_device(tmp_path, id="small", runtimes=[small.ONNXRUNTIME], workdir=device_workdir)
        yield running


def expose_conductor(host: Host, over: threading.Event) -> None:
    """Have the kernel kill the conductor of any job before a greedy worker of it: what ends whole services."""
    while not over.wait(0.005):
        for process in host.machine.processes():
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                words = process.cmdline()
                if "work" not in words:
                    continue
                models = json.loads((Path(words[-2]) / "job.json").read_text())["models"]
                conductor = psutil.Process(process.ppid())
                # A worker whose conductor is gone already is a child of the host's first process, which is to stay.
                if models[int(words[-1])]["id"] == "own-greedy" and conductor.name().startswith("python"):
                    Path(f"/proc/{conductor.pid}/oom_score_adj").write_text("1000")


def test_a_candidate_for_which_the_kernel_ends_the_whole_job_fails_alone(tmp_path: Path, small_host: Host) -> None:
    written(tmp_path, two=layers(2), greedy=small.greedy)
    over = threading.Event()
    exposer = threading.Thread(target=expose_conductor, args=(small_host, over))
    exposer.start()
    try:
        with search(tmp_path) as (searching, said):
            searching.run()
            attempts = {one.candidate: one for one in searching.places[0].study.attempts()}
            assert small_host.limit is not None
            assert small_host.limit.killed() >= 2, "the kernel did not kill: the test is void"
            assert sum("its candidates are measured again, each by itself" in line for line in said) == 1
            assert attempts["own-greedy"].status == "failed"
            assert "out of memory (it has 300 MB in all): its kernel killed the job" in attempts["own-greedy"].said
            assert attempts["own-two"].status == "accepted"
            assert searching.places[0].lost is None
    finally:
        over.set()
        exposer.join()
