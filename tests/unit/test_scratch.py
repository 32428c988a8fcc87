"""What is kept on this host is this user's alone, and what must not outlive a process ends with it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from devices.virtual.requirements import require
from harness import cache_dir, scratch
from harness.errors import HarnessError

#: Holds a folder with a file in it until it is killed; says where.
HOLD = """
import signal
from harness import scratch
with scratch.held_folder() as folder:
    (folder / "pixels").write_text("a patient's")
    print(folder, flush=True)
    signal.pause()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a cache of the test's own, which is not there yet."""
    monkeypatch.setenv("EDGEWARD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_cache_is_this_users_alone_whatever_the_umask_says(cache: Path) -> None:
    before = os.umask(0)
    try:
        assert cache_dir() == cache
    finally:
        os.umask(before)
    assert mode(cache) == 0o700


def test_a_cache_that_others_could_read_is_closed_to_them(cache: Path) -> None:
    cache.mkdir(mode=0o755)
    cache.chmod(0o755)
    assert cache_dir() == cache
    assert mode(cache) == 0o700


def test_in_a_folder_that_all_write_each_user_has_one_of_their_own(cache: Path) -> None:
    cache.mkdir()
    cache.chmod(0o1777)
    own = cache / f"edgeward-{os.getuid()}"
    assert cache_dir() == own == cache_dir()
    assert (mode(own), mode(cache)) == (0o700, 0o1777)
    own.chmod(0o755)
    assert mode(cache_dir()) == 0o700


def test_a_link_in_such_a_folder_is_refused(cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    cache.chmod(0o1777)
    (cache / f"edgeward-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(
        HarnessError, match=r"is a link or belongs to somebody else, .*; remove it, or set EDGEWARD_CACHE"
    ):
        cache_dir()


@pytest.mark.parametrize("place", ["", "edgeward-0"])
def test_what_belongs_to_another_account_is_not_used(cache: Path, place: str) -> None:
    require("root")
    folder = cache / place
    folder.mkdir(parents=True)
    if place:
        cache.chmod(0o1777)
        os.chown(folder, 4242, 4242)
        with pytest.raises(HarnessError, match="belongs to somebody else"):
            cache_dir()
    else:
        os.chown(folder, 4242, 4242)
        assert cache_dir() == cache / "edgeward-0"


def test_a_link_of_the_user_to_a_larger_disk_is_followed(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    cache.symlink_to(tmp_path / "disk")
    assert cache_dir() == cache


def test_a_held_folder_is_private_and_gone_afterwards(cache: Path) -> None:
    with scratch.held_folder() as folder:
        assert folder.is_relative_to(cache)
        assert (mode(folder), mode(folder.parent)) == (0o700, 0o700)
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("pixels")
    assert not folder.exists()


def test_the_folder_of_a_killed_process_is_wiped_by_the_next_start_and_one_of_a_living_stays() -> None:
    words = [sys.executable, "-c", HOLD]
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as killed,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as living,
    ):
        try:
            assert killed.stdout is not None
            assert living.stdout is not None
            left, held = (Path(one.stdout.readline().strip()) for one in (killed, living))  # type: ignore[union-attr]
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            assert (left / "pixels").is_file(), "it left nothing: the test is void"
            with scratch.held_folder():
                assert not left.exists()
                assert (held / "pixels").is_file()
        finally:
            killed.kill()
            living.kill()


def test_a_file_without_a_name_is_read_by_other_processes_and_is_in_no_folder(cache: Path) -> None:
    with scratch.unnamed_file() as (file, path):
        file.write(b"pixels")
        file.flush()
        code = f"print(open({str(path)!r}).read(), end='')"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"pixels"
        assert path.stat().st_size == 6
        assert [one for one in cache.rglob("*") if one.is_file() and one.stat().st_size] == []
    assert not path.exists()
