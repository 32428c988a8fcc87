"""What people see while devices work: one live line a device on a screen, plain lines in a log.

Everything is written by pytest's own thread, whatever pytest captures meanwhile; device threads only leave news.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from harness.redaction import redacted

if TYPE_CHECKING:
    from rich.live import Live

#: In a log, progress of one phase is written at most this often.
_LOG_S = 5.0


class Progress:
    """Writes to the terminal of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._said: dict[str, tuple[str, float]] = {}
        self._live: Live | None = None
        if self._reporter is not None:
            # Every case has a line of its own; the file's name once more before each would tear them apart.
            self._reporter.showfspath = False

    def news(self, device: str, text: str) -> None:
        """Show what a device does now."""
        text = redacted(text)
        phase, now = text.split(" ")[0], time.monotonic()
        before, when = self._said.get(device, ("", 0.0))
        self._said[device] = (phase, now)
        if self._reporter is None:
            return
        if self._reporter.isatty:
            self._redraw(device, text)
        elif phase != before or now - when >= _LOG_S:
            self.line(f"  {device}: {text}")
        else:
            self._said[device] = (before, when)

    def line(self, text: str) -> None:
        """Write a line that stays."""
        text = redacted(text)
        if self._reporter is None:
            return
        with self._uncaptured():
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
                return
            self._begin_line()
            self._reporter.write_line(text)
            self._reporter.flush()

    def close(self) -> None:
        """Take the live lines away."""
        if self._live is not None:
            with self._uncaptured():
                self._live.stop()
            self._live = None

    def _redraw(self, device: str, text: str) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with self._uncaptured():
            if self._live is None:
                self._begin_line()
                # Refreshed by news alone: a clock of its own would run on the very machine that is measured.
                self._live = Live(console=Console(file=sys.stdout), auto_refresh=False, redirect_stdout=False)
                self._live.start()
                self._lines: dict[str, str] = {}
            self._lines[device] = text
            rows = [Text(f"  {name}: {now}", overflow="ellipsis", no_wrap=True) for name, now in self._lines.items()]
            self._live.update(Text("\n").join(rows), refresh=True)

    def _begin_line(self) -> None:
        self._reporter.ensure_newline()
        # That knows nothing of letters that came from workers of xdist.
        if self._reporter._tw.width_of_current_line:
            self._reporter._tw.line()

    @contextmanager
    def _uncaptured(self) -> Iterator[None]:
        with self._capture.global_and_fixture_disabled() if self._capture else nullcontext():
            yield
