"""What a pytest session with devices knows: the lab, the store, the campaign, the screen."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import pytest

from harness import redaction
from harness.errors import CampaignUnderWay, HarnessError, StoreError
from harness.plugin.progress import Progress
from harness.plugin.signals import Signals

if TYPE_CHECKING:
    from concurrent.futures import Future

    from harness.measure.campaign import CampaignRunner, Result
    from harness.model import Campaign, Case, Device
    from harness.store import Store

#: The variable in which GitHub's jobs find the file whose Markdown their page shows.
_STEP_SUMMARY: Final = "GITHUB_STEP_SUMMARY"


class Session:
    """What a session with devices knows: the lab, the store, the campaign."""

    def __init__(self, config: pytest.Config) -> None:
        from harness import lab

        here = config.invocation_params.dir
        self.config = config
        self.lab = lab.find(here / (config.getoption("lab") or "."))
        self.devices: list[Device] = lab.select(self.lab, config.getoption("device"))
        #: Suite files of other labs that pytest came across.
        self.strange: list[Path] = []
        self.campaign: CampaignRunner | None = None
        self.report: Path | None = None
        #: What is said before the path of the report.
        self._said: list[str] = []
        self._store: Store | None = None
        self._trouble: HarnessError | None = None
        self.progress: Progress | None = None
        # Progress of a device, a line that stays ("" and the line), or the id of a case that has ended.
        self._signals = Signals()
        self._news: SimpleQueue[tuple[str, str] | str] = SimpleQueue()
        # Cases that ended while another one was measured again.
        self._ended_meanwhile: deque[str] = deque()

    @property
    def store(self) -> Store:
        """The store, opened when it is first needed."""
        if self._store is None:
            from harness.store import Place, Store, url_of

            url = url_of(self.lab, self.config.getoption("store"))
            self._store = Store(url, place=Place.of(self.lab, self.devices))
        return self._store

    def begin(self, cases: Sequence[Case], limits_s: Mapping[str, float]) -> None:
        """Start the campaign with all cases of the session; `limits_s` says how long each may take, by its id, s."""
        from harness.measure.campaign import CampaignRunner, Settings

        option = self.config.getoption
        settings = Settings(
            # It is stored and shown in the report: no password of the store in it.
            command=redaction.command(["pytest", *map(str, self.config.invocation_params.args)]),
            quick=option("quick"),
            resume=option("resume"),
            devices_at_once=option("devices_at_once"),
            wait_s=option("wait"),
            timeout_s=limits_s,
            say=lambda device, text: self._news.put((device, text)),
            note=lambda text: self._news.put(("", text)),
        )
        self.progress = Progress(self.config)
        self._signals.heed()
        try:
            self.campaign = CampaignRunner(cases, self.store, settings)
        except CampaignUnderWay as error:
            raise pytest.UsageError(str(error)) from error
        except HarnessError as error:  # the store's; every case will say so
            self._trouble = error
        for case in cases:
            if self.campaign is None:
                self._news.put(case.id)
                continue
            self.campaign.future(case).add_done_callback(partial(self._ended, case.id))

    def _ended(self, case: str, _: Future[Result]) -> None:
        self._news.put(case)

    def finished_cases(self, cases: int) -> Iterator[str]:
        """Yield the ids of `cases` cases as they end, showing progress; woken by news, so that nothing polls."""
        while cases:
            name = self._ended_meanwhile.popleft() if self._ended_meanwhile else self._next()
            if name:
                cases -= 1
                yield name

    def _next(self) -> str:
        """Wait for news; show it and return "", or return the id of a case that has ended."""
        assert self.progress is not None
        news = self._news.get()
        if isinstance(news, str):
            return news
        if news[0]:
            self.progress.news(*news)
        else:
            self.progress.line(news[1])
        return ""

    def result(self, case: Case, *, again: bool = False) -> Result:
        """Return what a case gave, and say so in a line; waits for it.

        Args:
            case: one that has ended.
            again: whether to measure it once more and return what that gives.
        """
        from harness.plugin.figures import headline

        if self.campaign is None or self.progress is None:
            raise self._trouble or StoreError("the campaign did not begin", remedy="run it again")
        if again:
            self.progress.line(f"{case.name} is measured again")
            self.campaign.again(case).add_done_callback(partial(self._ended, case.id))
            while (name := self._next()) != case.id:
                self._ended_meanwhile.extend([name] if name else [])
        result = self.campaign.future(case).result()
        self.progress.line(f"{case.name} {headline(result)}")
        return result

    def uninterrupted(self) -> AbstractContextManager[None]:
        """Let no signal interrupt what is done meanwhile."""
        return self._signals.deferred()

    def finish(self) -> None:
        """End what is under way and write the report of what there is."""
        if self.campaign is None or self.progress is None:
            return
        self.progress.close()
        self.campaign.stop()
        from harness.page.publish import publish

        here, campaign = self.config.invocation_params.dir, self.campaign.campaign
        folder = here / (self.config.getoption("report") or self.lab / "reports" / "html")
        overrides = self.lab / "reports" / "templates"
        self.report = publish(
            self.store, campaign, folder, overrides=overrides, say=self._warn, changed=self._said.append
        )
        self._summarise(campaign, self.report, here)
        self.store.close()

    def _warn(self, text: str) -> None:
        assert self.progress is not None  # as in `finish`
        self.progress.line(f"warning: {text}")

    def _summarise(self, campaign: Campaign, report: Path, here: Path) -> None:
        """Write the summary where it is asked for: --markdown, and the page that GitHub shows of a job."""
        from harness.page.publish import summary, write

        asked, step = self.config.getoption("markdown"), os.environ.get(_STEP_SUMMARY)
        if not asked and not step:
            return
        text = summary(self.store, campaign, report)
        if step:
            try:
                with Path(step).open("a", encoding="utf-8") as file:
                    file.write(f"\n{text}")
            except OSError as error:
                # Nobody asked for it on the command line: the campaign is as good without it.
                self._said.append(f"no summary: {step} ({_STEP_SUMMARY}): {error.strerror or error}")
        if asked:
            write(here / asked, text.encode(), remedy="choose another file with --markdown")
            self._said.append(f"summary: {here / asked}")

    def print_reports(self) -> None:
        """Say what was written beside the report, and last where the report is."""
        if self.progress is not None and self.report is not None:
            for line in (*self._said, f"report: {self.report}"):
                self.progress.line(line)
