"""Every reader of what comes from outside, with files that it reads well: what `tests.fuzzing` makes mutants of."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from harness import formats, lab
from harness.agent import contract
from harness.evidence import bundle, verifying
from harness.measure.jobs import load_samples
from harness.results import arrays, events
from harness.store import Store
from harness.store.importing import take_in
from tests import labs, small_models, small_tflite
from tests.fuzzing import Reader
from tests.lab_files import written
from tests.lab_files.test_search_tables import SEARCH
from tests.pages import stored_runs
from tests.unit import test_evidence

_SAID: Final = Path(__file__).parent / "unit" / "data" / "said.zip"
_JOB: Final = "native-turns"


def _device(_: Path) -> Reader:
    return Reader({"pi5.toml": written.DEVICE.encode()}, ("pi5.toml",), lambda at: lab.read_device(at / "pi5.toml"))


def _suite(_: Path) -> Reader:
    whole = {"devices/pi5.toml": written.DEVICE.encode(), "suites/lesions.toml": written.SUITE.encode()}

    def read(at: Path) -> object:
        return lab.cases(lab.read_suite(at / "suites/lesions.toml"), [lab.read_device(at / "devices/pi5.toml")])

    return Reader(whole, ("suites/lesions.toml",), read)


def _search(_: Path) -> Reader:
    whole = {"lesions.toml": (written.SUITE + SEARCH).encode()}
    return Reader(whole, ("lesions.toml",), lambda at: lab.read_search(at / "lesions.toml"))


def _onnx(at: Path) -> Reader:
    at.mkdir(parents=True)
    whole = {"model.onnx": small_models.good(at / "model.onnx").read_bytes()}
    return Reader(whole, ("model.onnx",), lambda at: formats.read(at / "model.onnx"))


def _tflite(at: Path) -> Reader:
    at.mkdir(parents=True)
    whole = {"model.tflite": small_tflite.good(at / "model.tflite").read_bytes()}
    return Reader(whole, ("model.tflite",), lambda at: formats.read(at / "model.tflite"))


def _split(at: Path) -> object:
    return load_samples(lab.read_suite(at / "small.toml"))


def _npz(at: Path) -> Reader:
    at.mkdir(parents=True)
    small_models.write_npz(at / "data.npz")
    data = labs.npz(classes=small_models.CLASSES)
    suite = labs.suite_toml(data=data, positive=small_models.CLASSES[0])
    whole = {"small.toml": suite.encode(), "data.npz": (at / "data.npz").read_bytes()}
    return Reader(whole, ("data.npz",), _split)


def _folder(_: Path) -> Reader:
    from PIL import Image

    whole: dict[str, bytes] = {}
    for index in range(6):
        picture = io.BytesIO()
        Image.linear_gradient("L").rotate(30 * index).resize((12, 10)).save(picture, ("PNG", "JPEG", "BMP")[index % 3])
        ending = ("png", "jpg", "bmp")[index % 3]
        whole[f"pictures/{('normal', 'solid')[index % 2]}/{index}.{ending}"] = picture.getvalue()
    data = 'source = "folder"\npath = "pictures"\nclasses = ["normal", "solid"]'
    mutated = tuple(whole)
    return Reader({**whole, "small.toml": labs.suite_toml(data=data).encode()}, mutated, _split)


def _events(_: Path) -> Reader:
    with zipfile.ZipFile(_SAID) as said:
        whole = {"events.jsonl": said.read(f"{_JOB}/{contract.EVENTS_FILE}")}

    def read(at: Path) -> object:
        return [events.read(line, device="pi5") for line in (at / "events.jsonl").read_bytes().splitlines()]

    return Reader(whole, ("events.jsonl",), read)


def _arrays(_: Path) -> Reader:
    with zipfile.ZipFile(_SAID) as said:
        names = [name for name in said.namelist() if name.startswith(f"{_JOB}/m0.") and name.endswith(".npy")]
        whole = {Path(name).name: said.read(name) for name in names}

    def read(at: Path) -> object:
        return [arrays.read(at / name, name.split(".")[1], device="pi5", model=0) for name in whole]

    return Reader(whole, tuple(whole), read)


def _stored(at: Path) -> bytes:
    """Return a store with a campaign of two runs as the bytes of its file."""
    report = stored_runs.report()
    store = Store(f"sqlite:///{at}/whole.sqlite")
    store.add_campaign(report.campaign)
    for run in report.runs[:2]:
        store.add_case(report.campaign.id, run, ())
    store.close()
    return (at / "whole.sqlite").read_bytes()


def _store(at: Path) -> Reader:
    def read(at: Path) -> object:
        with contextlib.closing(Store(f"sqlite:///{at}/night.sqlite", existing=True)) as store:
            found = [store.readable(campaign.id) for campaign in store.campaigns()]
            return found, store.audit(), store.last_seen(), store.undertakings(), store.run_ids(), store.runs()

    return Reader({"night.sqlite": _stored(at)}, ("night.sqlite",), read)


def _spool(at: Path) -> Reader:
    def read(at: Path) -> object:
        with (
            contextlib.closing(Store(f"sqlite:///{at}/night.sqlite")) as store,
            contextlib.closing(Store(f"sqlite:///{at}/spool.sqlite", existing=True)) as spool,
        ):
            return take_in(store, spool)

    return Reader({"spool.sqlite": _stored(at)}, ("spool.sqlite",), read)


def _bundled(at: Path) -> tuple[dict[str, bytes], bytes]:
    """Return the files of an evidence bundle, and its manifest."""
    at.mkdir(parents=True)
    url = test_evidence.kept(test_evidence.made_up(), at / "whole.sqlite")
    with contextlib.closing(Store(url, existing=True)) as store:
        return bundle.made(store, store.campaigns()[0])


def _evidence(at: Path) -> Reader:
    files, signed = _bundled(at)
    whole = {"night.zip": bundle.zipped(files, signed, None)}
    return Reader(whole, ("night.zip",), lambda at: verifying.verified(at / "night.zip"))


def _manifest(at: Path) -> Reader:
    files, signed = _bundled(at)
    # Packed anew, so that a ZIP that is whole holds a manifest that is not; by lines, which mutants change.
    text = json.dumps(json.loads(signed), indent=0).encode()

    def read(at: Path) -> object:
        (at / "night.zip").write_bytes(bundle.zipped(files, (at / "manifest.json").read_bytes(), None))
        return verifying.verified(at / "night.zip")

    return Reader({"manifest.json": text}, ("manifest.json",), read)


#: Name -> what makes a reader, given a folder that is not there yet.
READERS: Final[Mapping[str, Callable[[Path], Reader]]] = {
    "device": _device,
    "suite": _suite,
    "search": _search,
    "onnx": _onnx,
    "tflite": _tflite,
    "npz": _npz,
    "folder": _folder,
    "events": _events,
    "arrays": _arrays,
    "store": _store,
    "spool": _spool,
    "evidence": _evidence,
    "manifest": _manifest,
}
