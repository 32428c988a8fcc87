"""An interrupted push is taken up where it broke off, and nothing unverified is ever used."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from devices.virtual.openssh import Server
from devices.virtual.waiting import soon
from harness.deploy import DeviceHandle, files
from harness.errors import Transient
from harness.transports._copying import digest_of


def test_pieces_that_arrived_are_not_sent_again(tmp_path: Path, own_server: Server) -> None:
    source = tmp_path / "runtime.tar"
    source.write_bytes(os.urandom(8 * files.PIECE_BYTES + 1234))
    target = own_server.workdir / "blobs" / "runtime.tar"
    pieces = Path(f"{target}.pieces")
    first = DeviceHandle(own_server.device())

    def cut() -> None:
        assert soon(lambda: pieces.is_dir() and len([p for p in pieces.iterdir() if p.suffix != ".part"]) >= 3)
        first.interrupt()  # or it would connect again by itself
        own_server.signal_sessions(signal.SIGKILL)

    knife = threading.Thread(target=cut)
    knife.start()
    with first, pytest.raises(Transient):
        files.bring(first, source, str(target))
    knife.join()
    assert not target.exists()
    assert soon(lambda: not list(pieces.glob(".edgeward-*")))
    arrived = {piece.name: piece.stat().st_ino for piece in pieces.iterdir()}
    assert 3 <= len(arrived) < 9

    kept: dict[str, int] = {}

    def watch() -> None:
        # Just before the pieces are put together they are all there; those of the first try are the same files.
        soon(lambda: not pieces.exists() or (len(list(pieces.iterdir())) >= 8 and not kept.update(inodes(pieces))))

    witness = threading.Thread(target=watch)
    witness.start()
    with DeviceHandle(own_server.device()) as second:
        files.bring(second, source, str(target))
    witness.join()
    assert digest_of(target) == digest_of(source)
    assert not pieces.exists()
    assert arrived.items() <= kept.items()


def inodes(folder: Path) -> dict[str, int]:
    """Return name -> inode of the pieces that lie in a folder."""
    return {piece.name: piece.stat().st_ino for piece in folder.iterdir() if not piece.name.startswith(".")}


def test_pieces_of_another_version_are_not_mixed_in(tmp_path: Path, own_server: Server) -> None:
    source, target = tmp_path / "new.tar", own_server.workdir / "blobs" / "new.tar"
    source.write_bytes(os.urandom(files.PIECE_BYTES + 5))
    stale = Path(f"{target}.pieces") / f"00000-{'0' * 32}"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"an older piece")
    with DeviceHandle(own_server.device()) as handle:
        files.bring(handle, source, str(target))
    assert digest_of(target) == digest_of(source)
