"""SIGTERM and SIGHUP end a campaign as SIGINT does: devices are let go, the store is kept, the report is written.

Pytest's exit code is the same, too: 2, interrupted. A signal that the one who started us had ignored stays ignored
(nohup). While the campaign ends, further ones of the three change nothing: they would leave devices behind.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

_THESE: Final = (signal.SIGTERM, signal.SIGHUP)


class Signals:
    """What signals do to one session."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def heed(self) -> None:
        """Let SIGTERM and SIGHUP interrupt, from now on."""
        if threading.current_thread() is not threading.main_thread():
            return
        for one in _THESE:
            if signal.getsignal(one) is signal.SIG_DFL:
                self._before[one] = signal.signal(one, _interrupt)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let no signal of the three interrupt meanwhile; afterwards they do what they did before `heed`."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        held = {one: signal.signal(one, _pass) for one in (signal.SIGINT, *_THESE)}
        try:
            yield
        finally:
            for one, handler in held.items():
                signal.signal(one, self._before.pop(one, handler))


def _pass(number: int, frame: FrameType | None) -> None:
    """Change nothing; unlike SIG_IGN it is not inherited by programs that are started meanwhile."""


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Do what SIGINT does, once: an impatient second one would break the end that the first began."""
    del frame
    for one in _THESE:
        signal.signal(one, _pass)
    if number == signal.SIGHUP:
        _leave_terminal()
    raise KeyboardInterrupt


def _leave_terminal() -> None:
    """Write to nowhere instead of a terminal that is gone: what cannot be shown must not stop what is left to do."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in [int(path.name) for path in Path("/dev/fd").iterdir()]:
        poll = select.poll()
        poll.register(number, 0)
        if os.isatty(number) and poll.poll(0):
            os.dup2(nowhere, number)
    os.close(nowhere)
