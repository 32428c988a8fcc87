"""Memory of this process as the kernel counts it, in bytes; what the kernel does not say is left out."""

from __future__ import annotations

from pathlib import Path

_STATUS = {"VmHWM": "peak_rss_bytes", "VmRSS": "rss_bytes", "VmSwap": "swap_bytes"}
_ROLLUP = {"Pss": "pss_bytes", "SwapPss": "swap_pss_bytes"}


def read() -> dict[str, int]:
    """Return peak_rss_bytes (VmHWM), rss_bytes, swap_bytes (/proc/self/status) and pss_bytes (smaps_rollup)."""
    return {**_fields("/proc/self/status", _STATUS), **_fields("/proc/self/smaps_rollup", _ROLLUP)}


def _fields(path: str, names: dict[str, str]) -> dict[str, int]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {names[key]: int(value.split()[0]) * 1024 for key, value in pairs if key in names}
