"""What racing saves: the same candidates on this machine, once in races and once each measured in full."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from devices.virtual.requirements import require
from harness import lab
from harness.cli.search_places import Options
from harness.cli.searching import RACED, Searching
from harness.cli.studies import Attempt
from harness.store import Store
from tests import small_models as small

pytestmark = pytest.mark.usefixtures("proposals")

_DROPPED = re.compile(r"dropped after (\d+) launches: (\S+):")
#: Convolutions of the baseline, and of the candidates.
BASELINE, CANDIDATES = 24, (2, 8, 20)


def searched(folder: Path, workdir: Path, *, full: bool) -> tuple[dict[str, Attempt], str, dict[str, int]]:
    """Return the attempts of a search, its best one, and after how many launches each candidate was decided."""
    file = small.write_suite(folder, "halves", ("base", lambda path: small.slower(path, layers=BASELINE)))
    for count in CANDIDATES:
        small.slower(folder / "suites" / "models" / f"l{count}.onnx", layers=count)
    files = ", ".join(f'"models/l{count}.onnx"' for count in CANDIDATES)
    space = f'[goal]\nminimise = "latency"\naccuracy = "accuracy"\n[[space]]\nid = "own"\nmodel = [{files}]\n[accept]\n'
    file.write_text(file.read_text().replace("[accept]\n", space))
    small.write_device(folder, "dut", workdir=workdir, more='runner = "native"\n')
    said: list[str] = []
    store = Store(f"sqlite:///{folder}/results.sqlite")
    try:
        options = Options(trials=len(CANDIDATES), say=said.append, full=full)
        searching = Searching(file, lab.select(folder, ["dut"]), store, folder, options)
        searching.run()
        (place,) = searching.places
        attempts = {one.candidate: one for one in place.study.attempts()}
        assert place.best is not None
        taken = {run.case.variant: run.notes["launches"] for run in store.runs(suite=f"halves{RACED}")}
        # The device goes on meanwhile: a host that is slow to judge lets it make more of them than it needs.
        out = {found[2]: int(found[1]) for line in said if (found := _DROPPED.search(line))}
        return attempts, place.best.candidate, taken | out
    finally:
        store.close()


def test_a_race_finds_what_measuring_every_candidate_in_full_finds_in_fewer_launches(
    tmp_path: Path, device_workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require("package:gcc")
    raced, best_raced, launches_raced = searched(tmp_path / "race", device_workdir, full=False)
    every, best, launches = searched(tmp_path / "full", device_workdir, full=True)
    assert len(every) == len(CANDIDATES)
    (race_s, full_s) = (sum(one.seconds for one in attempts.values()) for attempts in (raced, every))
    counts = [", ".join(f"{name} {found[name]}" for name in every) for found in (launches_raced, launches)]
    with capsys.disabled():
        print(
            f"\n{len(CANDIDATES)} candidates: {race_s:.0f} s in a race (launches: {counts[0]}), {full_s:.0f} s each in "
            f"full ({counts[1]}): {1 - race_s / full_s:.0%} of the time saved; best {best_raced} and {best}; defaults, "
            "native runner, this machine"
        )
    own, other = every[best_raced].cost, every[best].cost
    assert own is not None
    assert other is not None
    # The same one, or one that cannot be separated from it.
    assert best_raced == best or own.low <= other.high
    # How soon the best one is known is chance; those that drop out are never decided later than in full.
    dropped = [name for name, one in raced.items() if one.status == "dropped"]
    assert dropped
    assert sum(launches_raced[name] for name in dropped) <= sum(launches[name] for name in dropped)
