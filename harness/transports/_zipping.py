"""Whether a copy goes faster compressed, and how: by what a sample of the file and the copies before say.

Measured: runtimes shrink to a third, at some 100 MB/s on a desktop; weights by a tenth at most. Over a link of a few
MB/s a runtime so takes a third of the time; over loopback it takes three times as long.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import IO, Final

#: A file must shrink to less than this to be worth it.
_WORTH: Final = 0.9
#: So many pieces of so many bytes, evenly spread, are a file's sample.
_PIECES: Final = 8
_PIECE: Final = 1 << 15
#: As fast as even a small device unpacks and this host packs; B/s.
_PACKING: Final = 30e6
#: Of smaller copies the round trips take the time; bytes.
TELLING: Final = 1 << 19
#: The best of zlib's speed: the next level costs twice the time for a twentieth less.
_LEVEL: Final = 1
#: Of the gzip format, as zlib calls it.
_GZIP: Final = 31


class Pace:
    """What the copies over one connection have shown of it.

    Attributes:
        bytes_per_s: of the content of the last telling copy that went as it is, 0 before there was one.
    """

    def __init__(self) -> None:
        self.bytes_per_s = 0.0
        self._never = False

    def learn(self, size: int, seconds: float, *, zipped: bool) -> None:
        """Take note of a copy: `size` bytes of content in so many seconds, verification included.

        Args:
            size: bytes of content.
            seconds: how long the copy took, verification included, s.
            zipped: whether it went compressed.
        """
        if size < TELLING:
            return
        if not zipped:
            self.bytes_per_s = size / seconds
        elif size / seconds < self.bytes_per_s:
            self.give_up()

    def give_up(self) -> None:
        """Send everything as it is from now on: the device cannot unpack, or not fast enough."""
        self._never = True

    def pays(self, source: Path) -> bool:
        """Return whether a file is likely to arrive sooner compressed; False while the link's speed is not known."""
        size = source.stat().st_size
        if self._never or not self.bytes_per_s or size < TELLING:
            return False
        ratio = _sample_ratio(source, size)
        plain_s = size / self.bytes_per_s
        return max(plain_s * ratio, size / _PACKING) < _WORTH * plain_s


def _sample_ratio(source: Path, size: int) -> float:
    """Return how much of a file is left when it is compressed, judged by a sample."""
    taken = bytearray()
    with source.open("rb") as file:
        for turn in range(_PIECES):
            file.seek(turn * size // _PIECES)
            taken += file.read(_PIECE)
    return len(zlib.compress(taken, _LEVEL)) / max(1, len(taken))


class Zipped:
    """A file that is read compressed, in the gzip format.

    Args:
        file: read from where it stands to its end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._zip = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._ready = bytearray()
        self._ended = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        while len(self._ready) < size and not self._ended:
            chunk = self._file.read(1 << 18)
            self._ready += self._zip.compress(chunk) if chunk else self._zip.flush()
            self._ended = not chunk
        taken = bytes(self._ready[:size])
        del self._ready[:size]
        return taken
