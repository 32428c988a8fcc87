"""`medmnist` gives official splits of the published file and of no other, wherever that file lies."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data import _medmnist_record
from harness.errors import LabError
from tests.contract.data_files import read
from tests.real_images import REAL, real

SPLITS = {"train": 4, "val": 2, "test": 3}


@pytest.fixture(autouse=True)
def no_files_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no file be found that this user happens to have, and nothing be fetched."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EDGEWARD_MEDMNIST", raising=False)
    monkeypatch.setattr(_medmnist_record, "RECORD", "http://127.0.0.1:9/{file}")


def arrays(name: str = "breastmnist", size: int = 28, highest: int = 1) -> Mapping[str, Any]:
    facts = _medmnist_record.PUBLISHED[name]
    made: dict[str, Any] = {}
    for split, count in SPLITS.items():
        shape = (count, size, size, *([3] if facts.channels == 3 else []))
        made[f"{split}_images"] = np.random.default_rng(count).integers(0, 255, shape).astype(np.uint8)
        made[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, np.newaxis] % (highest + 1)
    return made


def made(file: Path, **other: Any) -> str:
    """Write a file like the published one; returns its md5."""
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{**arrays(), **other})
    return hashlib.md5(file.read_bytes()).hexdigest()


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a file that a test made be the published BreastMNIST at 28."""

    def as_published(md5: str) -> None:
        known = dict(_medmnist_record.PUBLISHED)
        known["breastmnist"] = replace(known["breastmnist"], md5={**known["breastmnist"].md5, 28: md5})
        monkeypatch.setattr(_medmnist_record, "PUBLISHED", known)

    return as_published


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of a real server that stands in for the authors' record."""
    folder = tmp_path / "record"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setattr(_medmnist_record, "RECORD", f"http://127.0.0.1:{server.server_port}/{{file}}")
        yield folder
        server.shutdown()
        thread.join()


NAMED: Mapping[str, Any] = {"name": "breastmnist"}


def test_the_published_file_gives_official_splits_with_the_authors_classes(
    tmp_path: Path, publish: Callable[[str], None]
) -> None:
    publish(made(tmp_path / "mine" / "breastmnist.npz"))
    for path in ("mine", "mine/breastmnist.npz"):
        for split, count in (("train", 4), ("validation", 2), ("test", 3)):
            samples = read("medmnist", {**NAMED, "path": path}, tmp_path, split)
            assert samples.images.shape == (count, 28, 28, 1)
            assert samples.classes == ("malignant", "normal, benign")
            assert samples.remarks == ()
    assert samples.labels.tolist() == [0, 1, 0]
    assert samples.description == (
        "3 images from breastmnist.npz, split test: BreastMNIST of MedMNIST v2, 28x28, binary-class, CC BY 4.0"
    )
    with pytest.raises(LabError, match="has no split holdout"):
        read("medmnist", {**NAMED, "path": "mine"}, tmp_path, "holdout")


@pytest.mark.parametrize("place", ["named/breastmnist.npz", "named/breastmnist/breastmnist.npz", "cache", "home"])
def test_a_file_is_found_where_people_keep_it(
    place: str, tmp_path: Path, publish: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"cache": "cache/medmnist/breastmnist.npz", "home": "home/.medmnist/breastmnist.npz"}
    publish(made(tmp_path / kept.get(place, place)))
    if place.startswith("named"):
        monkeypatch.setenv("EDGEWARD_MEDMNIST", str(tmp_path / "named"))
    assert len(read("medmnist", NAMED, tmp_path).images) == 3


def test_a_set_is_fetched_once_and_kept(tmp_path: Path, record: Path, publish: Callable[[str], None]) -> None:
    publish(made(record / "breastmnist.npz"))
    assert len(read("medmnist", NAMED, tmp_path).images) == 3
    (record / "breastmnist.npz").unlink()
    assert len(read("medmnist", NAMED, tmp_path, "train").images) == 4
    assert [path.name for path in (tmp_path / "cache/medmnist").iterdir()] == ["breastmnist.npz"]


def test_what_comes_otherwise_than_published_is_refused_and_not_kept(tmp_path: Path, record: Path) -> None:
    md5 = made(record / "breastmnist.npz")
    with pytest.raises(LabError, match=rf"has the md5 {md5}, and BreastMNIST at this size was published with 750601b1"):
        read("medmnist", NAMED, tmp_path)
    assert list((tmp_path / "cache/medmnist").iterdir()) == []


def test_without_the_file_and_without_internet_the_place_to_put_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        LabError,
        match=r"cache/medmnist/breastmnist_64\.npz.*is not on this machine and cannot be fetched \(.+\); put the file "
        r"breastmnist_64\.npz into .*cache/medmnist, or into the folder that EDGEWARD_MEDMNIST names; it is at http",
    ):
        read("medmnist", {**NAMED, "size": 64}, tmp_path)


def test_a_place_that_is_named_is_the_only_one_that_is_looked_at(
    tmp_path: Path, publish: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(made(tmp_path / "cache/medmnist/breastmnist.npz"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(LabError, match=r"empty.*holds no breastmnist\.npz; put the file breastmnist\.npz into .*empty"):
        read("medmnist", {**NAMED, "path": "empty"}, tmp_path)
    with pytest.raises(LabError, match=r"nowhere.*there is no such file or folder"):
        read("medmnist", {**NAMED, "path": "nowhere"}, tmp_path)
    monkeypatch.setenv("EDGEWARD_MEDMNIST", str(tmp_path / "nowhere"))
    with pytest.raises(LabError, match=r"nowhere: there is no such folder, which EDGEWARD_MEDMNIST names"):
        read("medmnist", NAMED, tmp_path)


def test_another_file_than_the_published_one_must_be_meant_and_is_said(tmp_path: Path) -> None:
    md5 = made(tmp_path / "breastmnist.npz")
    with pytest.raises(LabError, match=rf'or write md5 = "{md5}" under \[data\] if this file is meant'):
        read("medmnist", {**NAMED, "path": "breastmnist.npz"}, tmp_path)
    samples = read("medmnist", {**NAMED, "path": ".", "md5": md5.upper()}, tmp_path)
    assert [remark for remark in samples.remarks if "is not the published file of BreastMNIST" in remark]
    with pytest.raises(LabError, match=rf"has the md5 {md5}, not {'0' * 32} as \[data\] says"):
        read("medmnist", {**NAMED, "path": ".", "md5": "0" * 32}, tmp_path)
    with pytest.raises(LabError, match=r"data\.md5: names a file that is not the published one, and no such file"):
        read("medmnist", {**NAMED, "md5": md5}, tmp_path)


def test_the_file_of_another_size_is_called_so(tmp_path: Path, publish: Callable[[str], None]) -> None:
    publish(made(tmp_path / "breastmnist.npz"))
    (tmp_path / "breastmnist.npz").rename(tmp_path / "breastmnist_64.npz")
    with pytest.raises(LabError, match=r"breastmnist_64\.npz: holds the size 28, not 64; write size = 28"):
        read("medmnist", {**NAMED, "size": 64, "path": "."}, tmp_path)


@pytest.mark.parametrize(
    ("name", "other", "complaint"),
    [
        ("retinamnist", {}, "images of 28x28x1, and RetinaMNIST at size 28 has 28x28x3"),
        ("breastmnist", arrays(highest=2), "holds the label '2', and BreastMNIST has the classes 0 to 1"),
        ("breastmnist", {"test_labels": np.array(["a", "b", "a"])}, "holds the label 'b', and BreastMNIST has"),
        (
            "breastmnist",
            {"test_labels": np.zeros((3, 14), np.uint8)},
            "holds 14 labels an image, and BreastMNIST has one",
        ),
        ("chestmnist", {}, "holds one label an image, and ChestMNIST has 14 labels"),
        ("breastmnist", {"test_labels": np.zeros(2, np.uint8)}, "holds 2 labels for 3 images"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    name: str, other: Mapping[str, Any], complaint: str, tmp_path: Path
) -> None:
    md5 = made(tmp_path / f"{name}.npz", **other)
    with pytest.raises(LabError, match=rf"{name}\.npz.*{complaint}"):
        read("medmnist", {"name": name, "path": ".", "md5": md5}, tmp_path)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, r"data\.name: is not set; name one of pathmnist, .*organsmnist"),
        ({"name": "brestmnist"}, "MedMNIST has no set 'brestmnist': did you mean 'breastmnist'"),
        ({"name": "organmnist3d"}, "organmnist3d holds volumes, which no task of the harness is for"),
        ({"name": "breastmnist", "size": 32}, r"data\.size"),
    ],
)
def test_a_set_that_cannot_be_judged_is_refused_by_name(
    table: Mapping[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=complaint):
        read("medmnist", table, tmp_path)


@pytest.mark.parametrize(
    ("name", "counts", "test"),
    [
        ("breastmnist", (546, 78, 156), [42, 114]),
        ("pneumoniamnist", (4708, 524, 624), [234, 390]),
        ("retinamnist", (1080, 120, 400), [174, 46, 92, 68, 20]),
    ],
)
def test_the_real_files_are_the_published_ones(
    name: str, counts: tuple[int, int, int], test: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real(name, f"{name}.npz")
    monkeypatch.setenv("EDGEWARD_MEDMNIST", str(REAL))
    found = [read("medmnist", {"name": name}, tmp_path, split) for split in ("train", "validation", "test")]
    assert tuple(len(samples.images) for samples in found) == counts
    assert np.bincount(found[2].labels).tolist() == test
    assert ("ordinal-regression" in found[2].description) == (name == "retinamnist")


def test_a_set_of_several_labels_an_image_is_read_with_all_of_them(tmp_path: Path) -> None:
    labels = (np.arange(42).reshape(3, 14) % 3 == 0).astype(np.uint8)
    md5 = made(tmp_path / "chestmnist.npz", test_labels=labels)
    found = read("medmnist", {"name": "chestmnist", "path": ".", "md5": md5}, tmp_path)
    assert found.labels.tolist() == labels.tolist()
    assert found.classes[:2] == ("atelectasis", "cardiomegaly")
    assert len(found.classes) == 14
