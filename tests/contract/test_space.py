"""Whether a device has space for all that is to come is asked once, before anything is pushed, whatever carries it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import pytest

from devices.virtual.openssh import small_disk
from devices.virtual.requirements import require
from harness import deploy, lab
from harness.deploy import DeviceHandle, space
from harness.errors import OutOfSpace
from harness.measure import space as needs
from harness.measure.grouping import groups
from harness.measure.jobs import load_samples
from harness.model import Address, Device
from harness.ports.runners import Part, Step, Wanted
from harness.ports.transports import Completed
from harness.transports._disk import Free, free
from tests import small_models as small

KINDS = ["local", "ssh", "unit", "phone"]
RUNTIME = small.ONNXRUNTIME


class Counting(DeviceHandle):
    """A handle that counts what it sends."""

    commands = pushes = 0

    def run(self, argv: Sequence[str], *, timeout_s: float = 60.0, stdin: IO[bytes] | bytes = b"") -> Completed:
        """Count, and do as any handle does."""
        self.commands += 1
        return super().run(argv, timeout_s=timeout_s, stdin=stdin)

    def push(self, source: Path, target: str) -> None:
        """Count, and do as any handle does."""
        self.pushes += 1
        super().push(source, target)


Placed = Callable[[str], Callable[[Path], Device]]


@pytest.fixture
def placed(device_of: Callable[[str], Device]) -> Placed:
    """Return a device of a kind, to which a workdir that this host sees, too, is given."""
    require("root")

    def kind_of(kind: str) -> Callable[[Path], Device]:
        # Started before a disk is mounted that it shall see.
        device = device_of(kind)
        runner = "python" if kind in ("local", "ssh") else "native"

        def at(workdir: Path) -> Device:
            return dataclasses.replace(
                device, runner=runner, workdir=str(workdir), file=Path("devices") / f"{kind}.toml"
            )

        return at

    return kind_of


def wanted(root: Path, *, size_bytes: int = 1000, count: int = 1) -> Wanted:
    """Return a runtime, and models of a size."""
    parts = [
        Part(f"the model m{number}.onnx", f"{root}/blobs/{number:064x}", size_bytes // count) for number in range(count)
    ]
    return Wanted((RUNTIME,), (Step(tuple(parts)),))


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_too_small_for_all_is_refused_before_anything_is_pushed(
    kind: str, placed: Placed, tmp_path: Path
) -> None:
    at = placed(kind)
    with small_disk(tmp_path / "disk", size_bytes=12 << 20) as disk, Counting(at(disk / "work")) as handle:
        with pytest.raises(OutOfSpace) as caught:
            deploy.prepare(handle, wanted(disk / "work"))
        assert handle.pushes == 0
        assert handle.commands == 2, "what the device is, and what it has"
        assert list(disk.iterdir()) == []
    said = rf"the disk is full, \d+(\.\d)? MB are needed at once on the file system {disk} and 12\.6 MB are free"
    parts = rf"\(needed: {re.escape(RUNTIME)} \d+(\.\d)? MB, .*the (agent|runner)"
    assert re.search(rf"{said} {parts}", str(caught.value))
    assert f"free some there with `edgeward clean {handle.device.id}`" in caught.value.remedy
    print(f"\n{caught.value}")


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_with_too_few_inodes_is_refused_before_anything_is_pushed(
    kind: str, placed: Placed, tmp_path: Path
) -> None:
    at = placed(kind)
    with (
        small_disk(tmp_path / "disk", size_bytes=500 << 20, files=40) as disk,
        Counting(at(disk / "work")) as handle,
    ):
        with pytest.raises(OutOfSpace) as caught:
            deploy.prepare(handle, wanted(disk / "work", count=60))
        assert handle.pushes == 0
        assert list(disk.iterdir()) == []
    said = rf"the disk has too few inodes, [\d\u202f]+ are needed at once on the file system {disk} and 39 are free"
    assert re.search(rf"{said} \(needed: ", str(caught.value))
    assert "is full" not in str(caught.value)
    print(f"\n{caught.value}")


@pytest.mark.parametrize("kind", ["local", "unit"])
def test_what_has_just_space_enough_is_brought_and_is_not_asked_for_again(
    kind: str, placed: Placed, tmp_path: Path
) -> None:
    at = placed(kind)
    with (
        small_disk(tmp_path / "small", size_bytes=1 << 20) as disk,
        DeviceHandle(at(disk)) as handle,
        pytest.raises(OutOfSpace) as caught,
    ):
        deploy.prepare(handle, wanted(disk))
    needed = re.search(r"full, (\d+(?:\.\d)?) MB", str(caught.value))
    assert needed is not None
    # A figure for people has three digits.
    size = int((float(needed[1]) + 1) * 1e6)
    with small_disk(tmp_path / "disk", size_bytes=size, files=0) as disk, DeviceHandle(at(disk)) as handle:
        deploy.prepare(handle, wanted(disk))
        assert deploy.runtime(handle, RUNTIME)
        with (disk / "ballast").open("wb") as file:
            file.write(bytes(free_of(disk) - (6 << 20)))
        deploy.prepare(handle, wanted(disk))


def free_of(disk: Path) -> int:
    """Return how much a disk still takes; bytes."""
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


@pytest.mark.parametrize("kind", ["local", "unit", "phone"])
def test_pieces_that_arrived_before_are_not_asked_for_again(kind: str, placed: Placed, tmp_path: Path) -> None:
    at = placed(kind)
    with small_disk(tmp_path / "disk", size_bytes=100_000_000) as disk, DeviceHandle(at(disk)) as handle:
        target = disk / "blobs" / "model"
        pieces = Path(f"{target}.pieces")
        pieces.mkdir(parents=True)
        part = space.file_part("the model", str(target), 40_000_000)
        assert (part.size_bytes, part.passing_bytes) == (40_001_536, 40_001_536)
        (pieces / "ballast").write_bytes(bytes(30_000_000))
        deploy.prepare(handle, Wanted(steps=(Step((part,)),)))
        pieces.rename(disk / "other")
        with pytest.raises(
            OutOfSpace, match=r"80\.\d MB are needed at once .* \(needed: the model 40\.0 MB, the model"
        ):
            deploy.prepare(handle, Wanted(steps=(Step((part,)),)))


@pytest.mark.parametrize("kind", ["local", "unit", "phone"])
def test_a_folder_on_a_disk_of_its_own_is_held_against_that_disk(kind: str, placed: Placed, tmp_path: Path) -> None:
    at = placed(kind)
    with (
        small_disk(tmp_path / "disk", size_bytes=100 << 20) as disk,
        small_disk(disk / "blobs", size_bytes=2 << 20) as blobs,
        DeviceHandle(at(disk)) as handle,
    ):
        model = Part("the model", f"{blobs}/model", 4_000_000)
        with pytest.raises(
            OutOfSpace, match=rf"4\.00 MB are needed at once on the file system {blobs} and 2\.10 MB are"
        ):
            deploy.prepare(handle, Wanted(steps=(Step((model,)),)))
        deploy.prepare(handle, Wanted(steps=(Step((dataclasses.replace(model, path=f"{disk}/jobs/model"),)),)))


def test_asking_costs_no_round_trip_where_everything_is_there(placed: Placed, device_workdir: Path) -> None:
    with Counting(placed("ssh")(device_workdir)) as handle:
        deploy.prepare(handle)
        handle.commands = 0
        deploy.prepare(handle)
        assert (handle.commands, handle.pushes) == (2, handle.pushes), "what the device is, and what it has"


def test_a_device_whose_inodes_are_used_up_is_not_said_to_lack_bytes(placed: Placed, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5000)
    for kind in KINDS:
        at = placed(kind)
        with (
            small_disk(tmp_path / kind, size_bytes=1 << 20, files=2) as disk,
            DeviceHandle(at(disk)) as handle,
        ):
            (disk / "one").touch()
            with pytest.raises(OutOfSpace, match=r"cannot write file to .*: the disk takes no more files \(its inodes"):
                handle.push(tmp_path / "file", f"{disk}/new/file")
            assert [path.name for path in disk.iterdir()] == ["one"]


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        (
            "Filesystem     1024-blocks  Used Available Capacity Mounted on\n"
            "/dev/sd a          3072     72      3000       3% /a b\ninodes\n"
            "Filesystem     Inodes IUsed IFree IUse% Mounted on\n/dev/sd a          40     1    39    3% /a b\n",
            Free("/a b", 3000 * 1024, 39),
        ),
        (
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 3072 72 3000 3% /\ninodes\n"
            "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/sda 0 0 0 - /\n",
            Free("/", 3000 * 1024, None),
        ),
        (
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/sda 3072 72 3000 3% /\ninodes\n"
            "df: unrecognized option: i\n",
            Free("/", 3000 * 1024, None),
        ),
        (
            "Filesystem 1024-blocks Used Available Capacity Mounted on\nx 10 12 -2 120% /\ninodes\nx - - - - /\n",
            Free("/", 0, None),
        ),
        ("", Free()),
        ("inodes\n", Free()),
        ("Welcome!\ninodes\n4 3 2 1\n", Free()),
    ],
    ids=["all", "no inodes", "no -i", "overdrawn", "nothing", "no df", "something else"],
)
def test_what_df_prints_is_read_whatever_it_is(printed: str, found: Free) -> None:
    assert free(printed) == found


def test_files_are_counted_at_their_fullest_moment() -> None:
    device = Device("dut", "sbc", Address("local"), file=Path("devices/dut.toml"))
    stays = [Step((Part(f"r{number}", f"/w/runtimes/{number}", 100, 1, 100, 1),)) for number in range(3)]
    job = Step((Part("the job", "/w/jobs/new", 500, 5),), gone=True)
    steps = [*stays, job, *stays[:1], job]
    room = {"runtimes": Free("/", 899, 99), "jobs": Free("/", 899, 99), "blobs": Free(), "agent": Free()}
    with pytest.raises(
        OutOfSpace, match=r"900 B are needed at once .* \(needed: the job 500 B, r0 200 B, r1 100 B, r2"
    ):
        space.refuse_short(device, "/w", steps, room)
    space.refuse_short(
        device, "/w", steps, {name: dataclasses.replace(one, size_bytes=900) for name, one in room.items()}
    )


def test_all_groups_of_a_campaign_are_asked_for_before_the_first_is_measured(placed: Placed, tmp_path: Path) -> None:
    lab_folder = tmp_path / "lab"
    at = placed("local")
    suites = [small.write_suite(lab_folder, name, (name, small.good)) for name in ("first", "second", "third")]
    with small_disk(tmp_path / "disk", size_bytes=300_000_000) as disk, DeviceHandle(at(disk)) as handle:
        device = dataclasses.replace(at(disk), runtimes=(RUNTIME,))
        todo = [groups(lab.cases(lab.read_suite(suite), [device]))[0] for suite in suites]
        todo[1] = dataclasses.replace(todo[1], runtime=small.TFLITE)
        assert needs.short(handle, todo, load_samples) == {}
        (disk / "ballast").write_bytes(bytes(40_000_000))
        found = needs.short(handle, todo, load_samples)
    # The third takes the runtime of the first, and little besides.
    assert list(found) == [1]
    assert re.search(rf"needed: .*{RUNTIME} 1\d\d MB, .*{small.TFLITE} while it is brought", str(found[1]))
