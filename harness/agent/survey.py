"""Reads what the device is (fingerprint) and how it is just now (conditions); what cannot be read is left out."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.agent import limits, supplies
from harness.agent.sensors import count, number, text

SYS = Path("/sys")
PROC = Path("/proc")
ROOT = Path("/")
#: A thermal zone that says less, either way, does not count in thousandths of a degree.
_LEAST_HEAT = 200


def main(arguments: list[str]) -> int:
    """Print fingerprint and conditions as one JSON object.

    Args:
        arguments: the folder whose free space counts, and the type of the thermal zone that is meant, if one is.
    """
    folder, zone, *_ = [*arguments, "", ""] if arguments else ["/", ""]
    clock = time.get_clock_info("monotonic")
    report = {
        "fingerprint": fingerprint(),
        "conditions": conditions(folder, zone),
        "thermal_zones": sorted({kind for kind, _ in thermal_zones() if kind}),
        "clock": {"implementation": clock.implementation, "resolution_s": clock.resolution},
        "can": {
            "smaps_rollup": readable(PROC / "self/smaps_rollup"),
            "vm_hwm": "VmHWM:" in text(PROC / "self/status"),
            "temperature": temperature(zone) is not None,
            "governor": governor() is not None,
            "battery": battery() != {},
        },
    }
    json.dump(report, sys.stdout)
    return 0


def fingerprint() -> dict[str, Any]:
    """Return what could change a number and does not change by itself."""
    found: dict[str, Any] = {
        "soc": soc(),
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 0,
        "usable_cores": len(os.sched_getaffinity(0)),
        "cpu_quota": quota(),
        "microcode": cpuinfo().get("microcode"),
        "frequency_limit_hz": frequency_limit(),
        "boost": boost(),
        "memory_bytes": total(),
        "os": os_name(),
        "kernel": platform.release(),
        "kernel_build": platform.version(),
        "python": platform.python_version(),
        "governor": governor(),
    }
    return {key: value for key, value in found.items() if value not in (None, "")}


def conditions(folder: str, zone: str = "") -> dict[str, Any]:
    """Return the state of the device now, in SI units; `zone` is the type of the thermal zone that is meant."""
    found: dict[str, Any] = {
        "temperature_c": temperature(zone),
        "frequency_hz": frequency(),
        "governor": governor(),
        "load_average": number(text(PROC / "loadavg").partition(" ")[0], 0, 1e6),
        "available_bytes": available(),
        "free_bytes": free(folder),
        "wall_s": time.time(),
        **battery(),
    }
    return {key: value for key, value in found.items() if value is not None}


def soc() -> str:
    """Return the processor's name: the device tree's, else /proc/cpuinfo's."""
    tree = text(PROC / "device-tree/model").strip("\x00\n ")
    if tree:
        return tree
    named = cpuinfo()
    return named.get("model name") or named.get("Hardware") or named.get("CPU part") or platform.processor()


def cpuinfo() -> dict[str, str]:
    """Return the fields of the last core in /proc/cpuinfo."""
    fields = (line.split(":", 1) for line in text(PROC / "cpuinfo").splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in fields}


def quota() -> str | None:
    """Return how much of the processor the control group allows, as the kernel writes it: "150000 100000"."""
    found = text(SYS / "fs/cgroup/cpu.max").strip()
    return None if found.startswith("max") else found or None


def frequency_limit() -> float | None:
    """Return the highest frequency that any core may take, in Hz."""
    return max(_hertz("scaling_max_freq"), default=None)


def boost() -> str | None:
    """Return "on" or "off" where the kernel says whether cores may go beyond their base frequency."""
    allowed = text(SYS / "devices/system/cpu/cpufreq/boost").strip()
    forbidden = text(SYS / "devices/system/cpu/intel_pstate/no_turbo").strip()
    if allowed or forbidden:
        return "on" if allowed == "1" or forbidden == "0" else "off"
    return None


def os_name() -> str:
    """Return the distribution's own name for itself; Android's version, where its properties may be read."""
    for line in text(ROOT / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    for line in text(ROOT / "system/build.prop").splitlines():
        if line.startswith("ro.build.version.release="):
            return "Android " + line.partition("=")[2].strip()
    return platform.system()


def meminfo(field: str) -> int | None:
    """Return a field of /proc/meminfo in bytes."""
    for line in text(PROC / "meminfo").splitlines():
        if line.startswith(field + ":"):
            known = count(line.partition(":")[2].replace("kB", ""))
            return None if known is None else known * 1024
    return None


def free(folder: str) -> int | None:
    """Return the free space of the disk with a folder, in bytes."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def total() -> int | None:
    """Return the memory that there is for this process, in bytes: the machine's, or what a control group allows."""
    known = [meminfo("MemTotal"), *(limit for limit, _ in limits.groups())]
    return min((value for value in known if value is not None), default=None)


def available() -> int | None:
    """Return the memory that new processes may still take, in bytes."""
    known = [meminfo("MemAvailable"), *(limit - used for limit, used in limits.groups())]
    return min((value for value in known if value is not None), default=None)


def thermal_zones() -> list[tuple[str, str]]:
    """Return (type, what its temperature file holds) of every thermal zone."""
    found = sorted(SYS.glob("class/thermal/thermal_zone*"))
    return [(text(zone / "type").strip(), text(zone / "temp")) for zone in found]


def temperature(zone: str = "") -> float | None:
    """Return the hottest thermal zone, or the hottest of the type `zone`, in degrees Celsius."""
    return hottest(thermal_zones(), zone)


def hottest(zones: Iterable[tuple[str, str]], wanted: str = "") -> float | None:
    """Return the highest temperature, in degrees Celsius; None where no zone gives one.

    A number below 200 is no reading: in thousandths of a degree it would be freezing, so it is in another unit.

    Args:
        zones: (type, what its temperature file holds) of each; the kernel writes thousandths of a degree.
        wanted: the type of those that count, "" for all.
    """
    found = [number(said, -40_000, 150_000) for kind, said in zones if wanted in ("", kind)]
    return max((value / 1000 for value in found if value is not None and abs(value) >= _LEAST_HEAT), default=None)


def frequency() -> float | None:
    """Return the lowest current frequency of the cores, in Hz."""
    return min(_hertz("scaling_cur_freq"), default=None)


def _hertz(name: str) -> list[float]:
    """Return what a file of each core says, in Hz; the kernel writes kHz."""
    found = [number(text(file), 1, 1e9) for file in SYS.glob("devices/system/cpu/cpu*/cpufreq/" + name)]
    return [value * 1000 for value in found if value is not None]


def governor() -> str | None:
    """Return the frequency governor; several, joined, if the cores differ."""
    found = {text(f).strip() for f in SYS.glob("devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    return "+".join(sorted(found - {""})) or None


def battery() -> dict[str, Any]:
    """Return battery_ratio and charging of the machine's own batteries, together."""
    return supplies.charge(SYS / "class/power_supply")


def readable(path: Path) -> bool:
    """Return whether the file can be read."""
    return text(path) != ""
