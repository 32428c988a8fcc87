"""Memory of this process as the kernel counts it, in bytes; what it does not say is left out, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_STATUS = {"VmHWM": "peak_rss_bytes", "VmRSS": "rss_bytes", "VmSwap": "swap_bytes"}
_ROLLUP = {"Pss": "pss_bytes", "SwapPss": "swap_pss_bytes"}


def read() -> dict[str, Any]:
    """Return peak_rss_bytes (VmHWM), rss_bytes, swap_bytes (/proc/self/status) and pss_bytes (smaps_rollup).

    `unread` names a file that the kernel lacks (smaps_rollup came with Linux 4.14) or does not let this process read.
    """
    found: dict[str, Any] = {}
    for path, names in (("/proc/self/status", _STATUS), ("/proc/self/smaps_rollup", _ROLLUP)):
        try:
            found.update(_fields(path, names))
        except OSError as error:
            found["unread"] = f"{path}: {error.strerror}"
    return found


def _fields(path: str, names: dict[str, str]) -> dict[str, int]:
    pairs = (line.split(":", 1) for line in Path(path).read_text().splitlines() if ":" in line)
    return {names[key]: int(value.split()[0]) * 1024 for key, value in pairs if key in names}
