"""What was measured and could not be written to the store waits in a file beside it, until it can.

A store that is locked, whose server is started again or whose disk is full loses no result: each is written to a file
of SQLite of its own, which is added to the store as soon as that takes it, at the latest by `--resume` or by `edgeward
store import FILE`. Where that file cannot be written either, the campaign measures nothing more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness.errors import StoreError
from harness.store.importing import take_in
from harness.store.results import Store

#: For how long the store is asked again at the end of a campaign, and how often; s.
_SETTLE_S, _AGAIN_S = 60.0, 2.0
#: For how long a store that failed is left alone during a campaign, so that devices do not wait for it in turn; s.
_REST_S = 30.0
_SUFFIX: Final = ".spool-"


def waiting(store: Store) -> list[Path]:
    """Return the files of all campaigns that wait to be added to a store."""
    place = _beside(store)
    return sorted(place.parent.glob(f"{place.name}{_SUFFIX}*.sqlite")) if place is not None else []


def _beside(store: Store) -> Path | None:
    """Return the path that a spool's name begins with: that of the store's own file, else one in its lab."""
    if store.file is not None:
        return store.file
    return Path(store.place.lab) / "reports" / "results.sqlite" if store.place.lab else None


class Spool:
    """Writes to a store, or beside it.

    Args:
        store: for the results.
        campaign: the id of the campaign whose results these are.
        note: takes a line that a person should read.
    """

    def __init__(self, store: Store, campaign: str, note: Callable[[str], None]) -> None:
        self._store, self._note = store, note
        place = _beside(store)
        self.file = place.with_name(f"{place.name}{_SUFFIX}{campaign[:12]}.sqlite") if place is not None else None
        #: Why nothing can be kept any more, None while it can.
        self.broken: StoreError | None = None
        self._failed: tuple[float, StoreError] | None = None
        self._lock = threading.Lock()

    def write(self, write: Callable[[Store], None]) -> None:
        """Write to the store, or to the file if that fails.

        Args:
            write: writes to the store that it is given; called once more if it raises StoreError.

        Raises:
            StoreError: neither could be written.
        """
        if self._failed is not None and time.monotonic() < self._failed[0] + _REST_S:
            self._keep(write, self._failed[1])
            return
        try:
            if self._waits():
                self._take_in()
            write(self._store)
            self._failed = None
        except StoreError as error:
            self._failed = time.monotonic(), error
            self._keep(write, error)

    def settle(self, *, within_s: float = _SETTLE_S) -> None:
        """Add what waits in the file to the store; if that cannot be done, say what will do it."""
        ends_at = time.monotonic() + within_s
        while self._waits():
            try:
                self._take_in()
            except StoreError as error:
                if time.monotonic() < ends_at:
                    time.sleep(_AGAIN_S)
                    continue
                self._note(
                    f"results of this campaign wait in {self.file}, for the store could not be written ({error.text}); "
                    f"--resume or `edgeward store import {self.file}` adds them"
                )
                return

    def _waits(self) -> bool:
        return self.file is not None and self.file.is_file()

    def _take_in(self) -> None:
        assert self.file is not None
        with self._lock:
            if not self.file.is_file():
                return
            spool = Store(f"sqlite:///{self.file}", existing=True)
            try:
                take_in(self._store, spool)
            finally:
                spool.close()
            self.file.unlink()

    def _keep(self, write: Callable[[Store], None], error: StoreError) -> None:
        if self.file is None:
            self.broken = error
            raise error
        first = not self._waits()
        try:
            with self._lock:
                spool = Store(f"sqlite:///{self.file}", place=self._store.place)
                try:
                    write(spool)
                finally:
                    spool.close()
        except StoreError as second:
            self.broken = StoreError(
                f"{error.text}, and nor can {self.file} ({second.text})",
                remedy="free some space, then --resume does what is left",
            )
            raise self.broken from error
        if first:
            self._note(f"the store cannot be written ({error.text}): results are kept in {self.file} until it can")
