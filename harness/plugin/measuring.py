"""The fixture `edgeward`, for tests that are written in Python.

```python
def test_the_quantised_model_is_quick_enough(edgeward):
    run = edgeward.measure("int8", device="pi5")
    assert run.latency.p90 < 0.050
    assert run.change("latency_ratio").high < 0.8
```

It measures as `pytest suites --device pi5` does: on the device, beside its baseline, and into the same store.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.errors import LabError, MeasurementError

if TYPE_CHECKING:
    from harness.measure.campaign import Result
    from harness.model import Case, Device, Estimate, Run, Suite

_LOG = logging.getLogger("edgeward")


@pytest.fixture(scope="session")
def edgeward(request: pytest.FixtureRequest) -> Edgeward:
    """Measures models on devices of the lab: `run = edgeward.measure(model, device="pi5")`."""
    from harness import lab

    option, here = request.config.getoption, request.config.invocation_params.dir
    folder = lab.find(here / (option("lab") or "."))
    return Edgeward(folder, store=option("store"), quick=option("quick"), wait_s=option("wait"))


@dataclass(frozen=True)
class Latency:
    """The time of one inference, s; each raises MeasurementError where there are too few samples for it."""

    _of: Measured

    @property
    def p50(self) -> float:
        """The median."""
        return self._of.value("latency_p50_s")

    @property
    def p90(self) -> float:
        """Nine of ten are at most this."""
        return self._of.value("latency_p90_s")

    @property
    def p99(self) -> float:
        """Ninety-nine of a hundred are at most this."""
        return self._of.value("latency_p99_s")


class Measured:
    """What one model gave on one device.

    Attributes:
        run: all that was measured.
    """

    def __init__(self, result: Result, run: Run) -> None:
        self._result, self.run = result, run

    @property
    def latency(self) -> Latency:
        """The time of one inference."""
        return Latency(self)

    @property
    def failed(self) -> tuple[str, ...]:
        """The lines of the suite's `[accept]` that are not met, as `pytest suites` prints them."""
        return tuple(one.message for one in self._result.outcome.judgements if not one.passed)

    def value(self, metric: str) -> float:
        """Return a number by the name that `[accept]` gives it, such as `peak_memory_bytes` or `sensitivity`; SI units.

        Raises:
            MeasurementError: it was not measured; the message says why.
        """
        from harness.stats import statistic

        if metric in self.run.accuracy:
            return self.run.accuracy[metric].point
        found, _, why = statistic(self.run, metric)
        if found is None:
            raise MeasurementError(f"{metric}: {why or 'not measured'}", remedy="look at the report of this run")
        return float(found)

    def change(self, metric: str) -> Estimate:
        """Return a change against the baseline with its interval, such as that of `latency_ratio`.

        Raises:
            MeasurementError: the two were not compared; the message says why.
        """
        for one in self._result.comparisons:
            if one.metric == metric and one.change is not None:
                return one.change
        why = "; ".join(str(one) for c in self._result.comparisons if c.metric == metric for one in c.reasons)
        raise MeasurementError(
            f"{metric}: {why or 'it was not compared with a baseline'}", remedy="look at the report of this run"
        )


class Edgeward:
    """Measures models on the devices of one lab.

    Args:
        lab: its folder.
        store: as `--store`.
        quick: as `--quick`.
        wait_s: as `--wait`.
    """

    def __init__(
        self, lab: Path, *, store: str | None = None, quick: bool = False, wait_s: float | None = None
    ) -> None:
        self.lab, self._store, self._quick, self._wait_s = lab, store, quick, wait_s

    def measure(self, model: str | Path = "", *, device: str, suite: str = "", runtime: str = "") -> Measured:
        """Measure a model on a device, beside the baseline of a suite; takes as long as the suite says.

        Args:
            model: the id of one of the suite's models, or a file, which is fed and read as the baseline is; "" for the
                baseline itself.
            device: its id.
            suite: its id; may be left out where the lab has one alone.
            runtime: how its name begins; may be left out where one of the device's alone takes the model.

        Raises:
            LabError: one of these is not there, or it is not clear which is meant.
            DeviceError: the device could not be measured on.
            MeasurementError: no number came of it that may be trusted.
        """
        from harness import lab
        from harness.measure.campaign import CampaignRunner, Settings
        from harness.model import Validity, sentence
        from harness.store import Place, Store, url_of

        (chosen,) = self._device(device)
        read, variant = _model(lab.read_suite(self._suite(suite)), model)
        case = _case(read, variant, chosen, runtime)
        store = Store(url_of(self.lab, self._store), place=Place.of(self.lab, [chosen]))
        try:
            settings = Settings(
                command=f"edgeward.measure({str(model)!r}, device={device!r}, suite={read.id!r})",
                quick=self._quick,
                wait_s=self._wait_s,
                say=lambda name, text: _LOG.info("%s: %s", name, text),
            )
            (result,) = CampaignRunner([case], store, settings).results([case])
        finally:
            store.close()
        if result.error is not None:
            raise result.error
        run = result.run
        if run is None or run.validity is Validity.INVALID:
            why = sentence(run.reasons) if run else "no run came of it"
            raise MeasurementError(f"{case.id}: invalid: {why}", remedy="`edgeward report` shows all of it")
        return Measured(result, run)

    def _device(self, name: str) -> list[Device]:
        from harness import lab

        found = lab.select(self.lab, [name])
        if len(found) != 1:
            names = ", ".join(one.id for one in found)
            raise LabError(f"device={name!r} is {names}", remedy="call `measure` for each", file=str(self.lab))
        return found

    def _suite(self, name: str) -> Path:
        from harness import lab
        from harness.registry import suggestion

        files = {file.stem: file for file in lab.suite_files(self.lab)}
        if name in files:
            return files[name]
        if not name and len(files) == 1:
            return next(iter(files.values()))
        what = f"no suite {name!r}" if name else f"the lab has {len(files)} suites"
        hint = suggestion(name, files) if name else f"give suite=, one of {', '.join(sorted(files))}"
        raise LabError(what, remedy=hint, file=str(self.lab))


def _model(suite: Suite, model: str | Path) -> tuple[Suite, str]:
    """Return a suite that has the model, and the id by which it has it."""
    from harness import lab

    known = {one.id for one in suite.variants}
    name = str(model) or suite.baseline
    if name in known:
        return suite, name
    path = Path(model).absolute()
    for one in suite.variants:
        if one.path.exists() and path.exists() and one.path.samefile(path):
            return suite, one.id
    added = lab.brought(suite, path)
    return replace(suite, variants=(*suite.variants, added)), added.id


def _case(suite: Suite, variant: str, device: Device, runtime: str) -> Case:
    from harness import lab

    found = [one for one in lab.cases(suite, [device]) if one.variant.id == variant and one.runtime.startswith(runtime)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise LabError(f"no {runtime!r} takes {variant}", remedy="name one of `runtimes`", file=str(device.file))
    names = ", ".join(one.runtime for one in found)
    raise LabError(f"several runtimes take {variant}: {names}", remedy="give runtime=", file=str(device.file))
