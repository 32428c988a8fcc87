"""What a device says of itself that could change a number, read from files that need no rights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness.agent import survey
from harness.compare.fingerprints import Difference

Files = Callable[[Mapping[str, str]], None]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Give a device whose files are those a test writes."""
    for name, folder in (("SYS", "sys"), ("PROC", "proc"), ("ROOT", ".")):
        monkeypatch.setattr(survey, name, tmp_path / folder)

    def write(content: Mapping[str, str]) -> None:
        for name, text in content.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


def test_what_makes_one_processor_of_a_name_faster_than_another_is_read(files: Files) -> None:
    files({
        "proc/cpuinfo": "model name\t: Cortex-A76\nmicrocode\t: 0x2b\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1800000\n",
        "sys/devices/system/cpu/cpu4/cpufreq/scaling_max_freq": "2400000\n",
        "sys/devices/system/cpu/cpufreq/boost": "0\n",
    })  # fmt: skip
    found = survey.fingerprint()
    read = {name: found[name] for name in ("soc", "microcode", "cpu_quota", "frequency_limit_hz", "boost")}
    assert read == {
        "soc": "Cortex-A76", "microcode": "0x2b", "cpu_quota": "150000 100000", "frequency_limit_hz": 2.4e9,
        "boost": "off",
    }  # fmt: skip
    assert found["usable_cores"] >= 1
    assert found["kernel_build"].startswith("#")


def test_what_sets_no_limit_is_left_out(files: Files) -> None:
    files({"sys/fs/cgroup/cpu.max": "max 100000\n", "sys/devices/system/cpu/intel_pstate/no_turbo": "0\n"})
    found = survey.fingerprint()
    assert found["boost"] == "on"
    assert not {"cpu_quota", "frequency_limit_hz", "microcode"} & found.keys()


def test_an_android_says_its_version_in_a_file(files: Files) -> None:
    properties = ("ro.build.id=AP1A", "ro.build.version.release_or_codename=15", "ro.build.version.release=14")
    files({"system/build.prop": "\n".join(properties)})
    assert survey.fingerprint()["os"] == "Android 14"


def test_a_system_without_a_name_is_called_by_its_kernel(files: Files) -> None:
    files({})
    assert survey.fingerprint()["os"] == "Linux"


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (Difference("kernel", "6.1.0-13", "6.1.0-18"), "kernel 6.1.0-13 -> 6.1.0-18"),
        (Difference("memory_bytes", 8_000_000_000, 4_000_000_000), "memory 8.00 GB -> 4.00 GB"),
        (Difference("frequency_limit_hz", 2.4e9, None), "frequency limit 2.40 GHz -> not known"),
        (Difference("data_sha256", "a" * 64, "b" * 64), "test data aaaaaaaaaaaa -> bbbbbbbbbbbb"),
        (Difference("something_new", 1, 2), "something new 1 -> 2"),
    ],
)
def test_a_difference_reads_as_a_person_would_say_it(difference: Difference, said: str) -> None:
    assert str(difference) == said
