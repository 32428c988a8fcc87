"""Whether a model's file is in the system's page cache, and how it gets there or out: neither needs root.

A file of one's own may be dropped from the cache with posix_fadvise, and mincore shows which of its pages are there.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from harness.agent.contract import EVICTED, WARM


def warm(path: str) -> dict[str, Any]:
    """Read a file through, so that it is in the page cache; return `page_cache` and, where known, `resident` (0..1)."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
    except OSError:
        # What is wrong with the file is for the runtime to say, which is about to load it.
        return {"page_cache": "unknown"}
    share = resident(path)
    if share is None:
        return {"page_cache": "unknown"}
    return {"page_cache": "warm" if share >= WARM else "partly warm", "resident": share}


def evict(path: str) -> dict[str, Any]:
    """Drop a file from the page cache; return `page_cache` and `resident` (0..1), or why it is not so: `absent`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # A page that is not written out yet cannot be dropped.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    except (OSError, AttributeError) as error:
        return {"page_cache": "unknown", "absent": f"the model file cannot be dropped from the page cache: {error}"}
    share = resident(path)
    if share is None:
        return {"page_cache": "unknown", "absent": "the system does not show what is in its page cache"}
    if share > EVICTED:
        kept = f"the system keeps {100 * share:.0f} % of the model file in its page cache"
        return {"page_cache": "warm", "absent": f"{kept}: its file system lies in memory, or another process uses it"}
    return {"page_cache": "evicted", "resident": share}


def resident(path: str) -> float | None:
    """Return the share of a file's pages that are in the page cache, or None where the system does not show it.

    To look brings nothing in. Since Linux 5.2 mincore is right about files that one owns or may write; of others it
    says that all is there, so that they never count as evicted.
    """
    try:
        import ctypes

        mincore = ctypes.CDLL(None).mincore
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as view:
            whole = (ctypes.c_char * size).from_buffer(view)
            pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
            failed = mincore(ctypes.c_void_p(ctypes.addressof(whole)), ctypes.c_size_t(size), pages)
            del whole  # a view that is lent out cannot be closed
    except (ImportError, OSError, AttributeError, ValueError):
        # No ctypes, no mincore, no such file, or an empty one: not known either way.
        return None
    return None if failed else sum(page & 1 for page in pages) / len(pages)
