"""edgeward's face in pytest: suites/*.toml are collected as cases, and a campaign measures them.

`pytest suites --device pi5 --device tag:nightly`. Without `--device` suites yield nothing. The campaign starts with the
first case that runs and works on all devices at once; each case then waits for its own result.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, LabError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from harness.campaign import Conduct, Result
    from harness.model import Case, Device
    from harness.store import Store

#: The property that says a case has written its own line.
_TOLD = "edgeward"
_STATE = pytest.StashKey["State"]()
#: On a terminal that is not a screen, progress of one phase is written at most this often.
_PROGRESS_S = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of FORMATS."""
    group = parser.getgroup("edgeward", "measuring model variants on devices")
    group.addoption("--device", action="append", default=[], metavar="ID", help="device id, tag:TAG or all; repeatable")
    group.addoption("--lab", metavar="DIR", help="folder with devices/ and suites/ (default: the nearest at or above)")
    group.addoption("--store", metavar="URL", help="SQLAlchemy URL (default: sqlite:///reports/results.sqlite)")
    group.addoption("--report", metavar="DIR", help="where the HTML goes (default: reports/html/)")
    group.addoption("--quick", action="store_true", help="a tenth of the durations; verdicts are marked as quick")
    group.addoption("--resume", action="store_true", help="do only what the interrupted campaign left")
    group.addoption("--devices-at-once", type=int, default=0, metavar="N", help="default: all")


def pytest_configure(config: pytest.Config) -> None:
    """Make the session's state if devices were asked for."""
    if not config.getoption("device"):
        return
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError("devices are measured by one process: run without -n (devices go side by side anyway)")
    try:
        config.stash[_STATE] = State(config)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect the suite files of the lab, if devices were asked for."""
    state = parent.config.stash.get(_STATE, None)
    if state is None or file_path.suffix != ".toml" or file_path.parent != state.lab / "suites":
        return None
    # The id counts from the lab, wherever pytest was started.
    return SuiteFile.from_parent(parent, path=file_path, nodeid=f"suites/{file_path.name}")


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Write no letter for a case: it has a line of its own."""
    told = any(name == _TOLD for name, _ in getattr(report, "user_properties", ()))
    if not told or config.get_verbosity() > 0:
        return None
    if hasattr(report, "wasxfail"):
        category = "xfailed" if report.skipped else "xpassed"
        return category, "", category[:-2].upper()
    category = "error" if report.failed and report.when == "setup" else report.outcome
    return (category, "", category.upper()) if report.when == "call" or report.failed else ("", "", "")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the campaign, also after an interruption, and write the report."""
    state = session.config.stash.get(_STATE, None)
    if state is not None:
        state.finish()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say where the report is: the very last line."""
    state = config.stash.get(_STATE, None)
    if state is not None and state.report is not None:
        state.line(f"report: {state.report}")


class State:
    """What a session with devices knows: the lab, the store, the campaign."""

    def __init__(self, config: pytest.Config) -> None:
        from harness import lab

        here = config.invocation_params.dir
        self.config = config
        self.lab = lab.find(here / (config.getoption("lab") or "."))
        self.devices: list[Device] = lab.select(self.lab, config.getoption("device"))
        self.conduct: Conduct | None = None
        self.report: Path | None = None
        self._store: Store | None = None
        self._news: SimpleQueue[tuple[str, str] | None] = SimpleQueue()
        self._said: dict[str, tuple[str, float]] = {}

    @property
    def store(self) -> Store:
        """The store, opened when it is first needed."""
        if self._store is None:
            from harness.store import Store

            default = f"sqlite:///{self.lab / 'reports' / 'results.sqlite'}"
            self._store = Store(self.config.getoption("store") or default)
        return self._store

    def result(self, item: CaseItem) -> Result:
        """Return a case's result; the first call starts the campaign with all cases of the session."""
        if self.conduct is None:
            from harness.campaign import Conduct, Settings
            from harness.store import shown

            cases = [other.case for other in item.session.items if isinstance(other, CaseItem)]
            option = self.config.getoption
            settings = Settings(
                # It is stored and shown in the report: no password of the store in it.
                command=shown(shlex.join(["pytest", *map(str, self.config.invocation_params.args)])),
                quick=option("quick"),
                resume=option("resume"),
                devices_at_once=option("devices_at_once"),
                say=lambda device, text: self._news.put((device, text)),
            )
            self.conduct = Conduct(cases, self.store, settings)
            # Every case has a line of its own; the file's name once more before each would tear them apart.
            reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None:
                reporter.showfspath = False
        return self._wait(self.conduct.future(item.case))

    def _wait(self, future: Future[Result]) -> Result:
        """Write progress until the result is there; woken by either, so that nothing polls meanwhile."""
        future.add_done_callback(lambda _: self._news.put(None))
        while (news := self._news.get()) is not None or not future.done():
            if news is not None:
                self._progress(*news)
        return future.result()

    def _progress(self, device: str, text: str) -> None:
        """Write a line of progress; repeated phases of one device are thinned out."""
        phase, now = text.split(" ")[0], time.monotonic()
        before, when = self._said.get(device, ("", 0.0))
        if phase == before and now - when < _PROGRESS_S:
            return
        self._said[device] = (phase, now)
        self.line(f"  {device}: {text}")

    def line(self, text: str) -> None:
        """Write a line of its own to the terminal, whatever is being captured."""
        plugins = self.config.pluginmanager
        reporter: Any = plugins.get_plugin("terminalreporter")
        capture: Any = plugins.get_plugin("capturemanager")
        if reporter is None:
            return
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(text)
            reporter.flush()

    def finish(self) -> None:
        """End what is under way and write the report of what there is."""
        if self.conduct is None:
            return
        self.conduct.stop()
        from harness.publish import publish

        folder = self.config.invocation_params.dir / (self.config.getoption("report") or self.lab / "reports" / "html")
        self.report = publish(self.store, self.conduct.campaign, folder, overrides=self.lab / "reports" / "templates")
        self.store.close()


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
            yield CaseItem.from_parent(self, name=case.id.partition("::")[2], case=case)


class ShortItem(pytest.Item):
    """An item whose failures are told in one or two lines."""

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
        if case.variant.xfail:
            # `raises`: a device that cannot be reached is not excused.
            self.add_marker(pytest.mark.xfail(reason=case.variant.xfail, raises=AcceptError, strict=False))

    def setup(self) -> None:
        """Wait for the case and hand its figures on."""
        from harness import bench
        from harness.campaign import headline, summary

        state = self.config.stash[_STATE]
        try:
            self._result = result = state.result(self)
        except HarnessError as error:  # the store's: cases carry their own
            pytest.fail(str(error), pytrace=False)
        self.user_properties += [(_TOLD, result.outcome.status), *summary(result).items()]
        state.line(f"{self.name} {headline(result)}")
        if result.error is not None:
            # During setup pytest would show a traceback of anything else.
            pytest.fail(str(result.error), pytrace=False)
        if result.run is not None:
            case = self.case
            bench.add(
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
        raise AcceptError("\n".join(f"{self.name}: {line}" for line in outcome.message.split("; ")))
