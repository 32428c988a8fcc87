"""edgeward's face in pytest: suites/*.toml are collected as cases, and a campaign measures them.

`pytest suites --device pi5 --device tag:nightly`. Without `--device` suites yield nothing. The campaign works on all
devices at once, and each case is reported as it ends.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness import redaction
from harness.errors import HarnessError, LabError
from harness.plugin import distributed, limits
from harness.plugin.measuring import edgeward as edgeward  # pytest finds the fixture by its name here

if TYPE_CHECKING:
    from harness.measure.campaign import Result
    from harness.model import Case
    from harness.plugin.session import Session

#: The property that says a case has written its own line.
_OWN_LINE = "edgeward"
_STATE: pytest.StashKey[Session] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that measuring takes."""
    group = parser.getgroup("edgeward", "measuring model variants on devices")
    group.addoption("--device", action="append", default=[], metavar="ID", help="device id, tag:TAG or all; repeatable")
    group.addoption("--lab", metavar="DIR", help="folder with devices/ and suites/ (default: the nearest at or above)")
    group.addoption(
        "--store", metavar="URL", help="SQLAlchemy URL (default: EDGEWARD_STORE, else sqlite:///reports/results.sqlite)"
    )
    group.addoption("--report", metavar="DIR", help="where the HTML goes (default: reports/html/)")
    group.addoption("--markdown", metavar="FILE", help="write a summary of the campaign in Markdown too")
    group.addoption("--quick", action="store_true", help="a tenth of the durations; verdicts are marked as quick")
    group.addoption(
        "--resume",
        action="store_true",
        help="do only what the unfinished campaign left",
    )
    group.addoption(
        "--devices-at-once",
        type=limits.count,
        default=0,
        metavar="N",
        help="measure on at most N devices at the same time (default: all)",
    )
    group.addoption(
        "--wait",
        type=limits.duration_s,
        metavar="TIME",
        help="how long to wait for a device on which somebody else measures, such as 2h (default: its cooldown_s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the session's state if devices were asked for."""
    if not config.getoption("device"):
        return
    from harness.plugin import session

    redaction.learn([str(word) for word in config.invocation_params.args])
    redaction.learn_environment(os.environ)
    redaction.guard_logging()
    try:
        config.stash[_STATE] = session.Session(config)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect the suite files of the lab, if devices were asked for."""
    state = parent.config.stash.get(_STATE, None)
    if state is None or file_path.suffix != ".toml" or file_path.parent.name != "suites":
        return None
    if file_path.parent != state.lab / "suites":
        if (file_path.parents[1] / "devices").is_dir():
            state.strange.append(file_path)
        return None
    # The id counts from the lab, wherever pytest was started.
    return SuiteFile.from_parent(parent, path=file_path, nodeid=f"suites/{file_path.name}")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Collect the cases in xdist's controller, too, which leaves all collecting to its workers."""
    if session.config.stash.get(_STATE, None) is not None and distributed.is_controller(session.config):
        distributed.collect_suites(session)
    return (yield)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave what is no suite to xdist's workers."""
    if config.stash.get(_STATE, None) is None or not distributed.is_controller(config):
        return None
    return None if collection_path.is_dir() or collection_path.suffix == ".toml" else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse suites of two labs: those of the second would be left out. A worker of xdist keeps the ordinary tests."""
    state = config.stash.get(_STATE, None)
    if distributed.is_worker(config):
        items[:] = [item for item in items if not isinstance(item, ShortItem)]
    elif state is not None and state.strange:
        file = state.strange[0]
        raise pytest.UsageError(
            f"{file} is of another lab than {state.lab}: one pytest measures one lab; run it once more with "
            f"--lab {file.parents[1]}"
        )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Run cases as their devices end them; ordinary tests go before, as pytest or xdist runs them.

    Where this very machine is one of the devices, it is measured when they have ended: they would disturb it.
    """
    state = session.config.stash.get(_STATE, None)
    own = [item for item in session.items if isinstance(item, ShortItem)]
    if state is None or not own or session.config.option.collectonly or session.testsfailed:
        return (yield)
    cases = {item.case.id: item for item in own if isinstance(item, CaseItem)}
    alone = any(item.case.device.address.here for item in cases.values())
    limits_s = {name: limit for name, item in cases.items() if (limit := limits.limit_s(item))}
    if not alone:
        state.begin([item.case for item in cases.values()], limits_s)
    everything, session.items = session.items, [item for item in session.items if not isinstance(item, ShortItem)]
    try:
        done = yield
    finally:
        session.items = everything
    # What xdist says was collected is what its workers have.
    session.testscollected = max(session.testscollected, len(own))
    if alone:
        state.begin([item.case for item in cases.values()], limits_s)
    for item in own:
        if not isinstance(item, CaseItem):
            _run(item)
    for name in state.finished_cases(len(cases)):
        _run(cases[name])
    return done


def _run(item: pytest.Item) -> None:
    session = item.session
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Write no letter for a case: it has a line of its own."""
    has_line = any(name == _OWN_LINE for name, _ in getattr(report, "user_properties", ()))
    if not has_line or config.get_verbosity() > 0:
        return None
    if str(report.outcome) == "rerun":  # of pytest-rerunfailures
        return "rerun", "", "RERUN"
    if hasattr(report, "wasxfail"):
        category = "xfailed" if report.skipped else "xpassed"
        return category, "", category[:-2].upper()
    category = "error" if report.failed and report.when == "setup" else report.outcome
    return (category, "", category.upper()) if report.when == "call" or report.failed else ("", "", "")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """End the campaign, also after an interruption, and write the report, before other plug-ins sum up.

    No signal interrupts any of them: whatever comes now, everything has been measured.
    """
    state = session.config.stash.get(_STATE, None)
    if state is None:
        yield
        return
    with state.uninterrupted():
        try:
            state.finish()
        except HarnessError:
            yield
            raise
        yield


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say what was written where; the report's path is the very last line."""
    state = config.stash.get(_STATE, None)
    if state is not None:
        state.print_reports()


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item) -> bool | None:
    """Keep pytest-timeout from ending a case: the campaign does, which knows how long it took."""
    return True if isinstance(item, ShortItem) else None


@pytest.hookimpl(optionalhook=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> bool | None:
    """Nothing to cancel where no timer was set."""
    return True if isinstance(item, ShortItem) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say of a case how long it was measured, for `--durations` and JUnit files, not how long it was waited for.

    Secrets are hidden in a traceback, too, such as of a defect of ours: it goes to the terminal and to JUnit files.
    """
    report = yield
    if isinstance(item, CaseItem):
        report.duration = item.duration_s if report.when == "call" or report.failed else 0.0
        report.start = report.stop - report.duration
    if isinstance(item, ShortItem) and report.longrepr is not None:
        said = str(report.longrepr)
        if (shown := redaction.redacted(said)) != said:
            report.longrepr = shown
    return report


class SuiteFile(pytest.File):
    """One suites/NAME.toml; a file that is wrong yields one item that says so and stops no other suite."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one item for every case."""
        from harness import lab

        state = self.config.stash[_STATE]
        try:
            cases = lab.cases(lab.read_suite(self.path), state.devices)
        except LabError as error:
            yield WrongItem.from_parent(self, name="suite", error=error)
            return
        for case in cases:
            yield CaseItem.from_parent(self, name=case.name, case=case)


class ShortItem(pytest.Item):
    """An item whose failures are shown in one or two lines."""

    #: Other plug-ins, such as that of labgrid, ask every item for them.
    fixturenames: Sequence[str] = ()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the message alone for what the user can act on."""
        if isinstance(excinfo.value, HarnessError | AcceptError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return where the case is written."""
        return self.path, None, self.name


class WrongItem(ShortItem):
    """A suite file that cannot be read."""

    def __init__(self, *, error: LabError, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._error = error

    def setup(self) -> None:
        """Say what is wrong."""
        pytest.fail(str(self._error), pytrace=False)

    def runtest(self) -> None:
        """Nothing to run: setup has raised."""


class AcceptError(AssertionError):
    """A case whose figures do not meet the suite's [accept]."""


class CaseItem(ShortItem):
    """One case: setup waits for its result (an error of the device is an error), the test judges it."""

    fixturenames = ("benchmark",)  # so that --benchmark-only and --benchmark-skip know it

    def __init__(self, *, case: Case, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self._result: Result | None = None
        self._figures: dict[str, object] = {}
        if case.variant.xfail:
            # `raises`: a device that cannot be reached is not excused.
            self.add_marker(pytest.mark.xfail(reason=case.variant.xfail, raises=AcceptError, strict=False))

    @property
    def duration_s(self) -> float:
        """How long its device was measured on for it, s."""
        return self._result.duration_s if self._result else 0.0

    def setup(self) -> None:
        """Wait for the case and hand its figures on."""
        from harness.plugin import benchmark
        from harness.plugin.figures import summary

        state = self.config.stash[_STATE]
        try:
            # Set up once more, as by --reruns, it is measured once more: what is known already would fail again.
            self._result = result = state.result(self.case, again=self._result is not None)
        except HarnessError as error:  # the store's: cases carry their own
            pytest.fail(str(error), pytrace=False)
        before = {_OWN_LINE, *self._figures}
        self._figures = {_OWN_LINE: result.outcome.status, **summary(result)}
        self.user_properties[:] = [one for one in self.user_properties if one[0] not in before]
        self.user_properties += self._figures.items()
        if result.error is not None:
            # During setup pytest would show a traceback of anything else.
            pytest.fail(str(result.error), pytrace=False)
        if result.run is not None:
            case = self.case
            benchmark.add(
                self.config,
                name=self.name,
                fullname=case.id,
                group=f"{case.suite.id} on {case.device.id} with {case.runtime}",
                latency_s=result.run.measurements["latency_s"].values,
                run=result.run.id,
                verdicts={c.metric: c.verdict.value for c in result.comparisons},
                validity=result.run.validity.value,
            )

    def runtest(self) -> None:
        """Fail with every line of `accept` that is not met."""
        outcome = self._result.outcome if self._result else None
        if outcome is None or outcome.status in ("passed", "xpassed"):
            return
        raise AcceptError("\n".join(f"{self.name}: {reason}" for reason in outcome.reasons))
