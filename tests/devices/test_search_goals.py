"""A search whose goal is energy or memory finds what really takes the least of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from devices.virtual.requirements import require
from harness import lab
from harness.cli.search_places import Options
from harness.cli.searching import Searching
from harness.cli.studies import Attempt
from harness.errors import LabError
from harness.store import Store
from tests import small_models as small
from tests.following_meters import Follower, following

pytestmark = pytest.mark.usefixtures("proposals")


def written(folder: Path, goal: str, baseline: small.Maker, candidates: Mapping[str, small.Maker]) -> None:
    """Write a suite with few images that searches among candidates which are brought."""
    file = small.write_suite(folder, "halves", ("base", baseline))
    for name, make in candidates.items():
        make(folder / "suites" / "models" / f"{name}.onnx")
    files = ", ".join(f'"models/{name}.onnx"' for name in candidates)
    space = f'[goal]\nminimise = "{goal}"\naccuracy = "accuracy"\n[[space]]\nid = "own"\nmodel = [{files}]\n[accept]\n'
    file.write_text(file.read_text().replace("[accept]\n", space))
    small.write_npz(folder / "suites" / "data.npz", 6)


@contextlib.contextmanager
def searched(folder: Path, *, quick: bool) -> Iterator[dict[str, Attempt]]:
    """Give the attempts of a search that has ended."""
    store, said = Store(f"sqlite:///{folder}/results.sqlite"), list[str]()
    options = Options(trials=20, say=said.append, quick=quick)
    try:
        searching = Searching(folder / "suites/halves.toml", lab.select(folder, ["dut"]), store, folder, options)
        searching.run()
        (place,) = searching.places
        attempts = {one.candidate: one for one in place.study.attempts()}
        if place.best is not None:
            attempts["best"] = place.best
        yield attempts
    finally:
        store.close()
        print("\n" + "\n".join(said))


def test_the_goal_energy_is_judged_by_what_a_meter_shows(tmp_path: Path) -> None:
    require("package:gcc")
    written(
        tmp_path,
        "energy",
        lambda path: small.slower(path, layers=24),
        {"four": lambda path: small.slower(path, layers=4)},
    )
    file, meter = tmp_path / "suites" / "halves.toml", tmp_path / "supply"
    file.write_text(file.read_text().replace("max_duration_s = 20", "max_duration_s = 1"))
    meter.mkdir()
    more = f'runner = "native"\n[meter]\nkind = "hwmon"\nchip = "{meter}"\n'
    small.write_device(tmp_path, "dut", workdir=tmp_path / "work", more=more)
    with pytest.raises(
        LabError, match=r"halves\.toml: goal\.minimise: the goal is energy, and a meter shows nothing in"
    ):
        searched(tmp_path, quick=True).__enter__()
    follower = Follower("follows", str(tmp_path / "work"), str(meter), models=True)
    with following([follower]), searched(tmp_path, quick=False) as attempts:
        found = attempts["own"].cost
        assert found is not None, attempts["own"].said
        print(f"energy of 4 layers over that of 24: {found.point:.2f} ({found.low:.2f}-{found.high:.2f})")
        assert found.high < 0.7
        assert attempts["best"] == attempts["own"]


def test_the_goal_memory_finds_the_model_that_fills_the_least(tmp_path: Path, device_workdir: Path) -> None:
    written(tmp_path, "memory", small.roomy_twice, {"roomy": small.roomy, "good": small.good})
    small.write_device(tmp_path, "dut", workdir=device_workdir)
    with searched(tmp_path, quick=True) as attempts:
        good, roomy = attempts["own-good"].cost, attempts["own-roomy"].cost
        assert good is not None
        assert roomy is not None
        print(f"memory over the baseline's: {good.point:.2f} of the least, {roomy.point:.2f} of another")
        # Two readings of each, of which one may be odd, leave a wide interval.
        assert good.point < 0.8
        assert good.point < roomy.point
        assert attempts["best"] == attempts["own-good"]
