"""Feeds one reader with mutants of files that it reads well: `python -m tests.fuzzing READER SECONDS MOST SEED FOLDER`.

A reader may take a mutant or refuse it with a HarnessError that has a remedy. Everything else is a finding: another
error, an error without a remedy, more time or more memory than there is for it. It runs in a process of its own, so
that a crash inside a library is a finding, too.
"""

from __future__ import annotations

import json
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError

#: How long a reader may take for one mutant, s, and how much more memory than at its start, bytes.
HANG_S, MEMORY_BYTES = 20.0, 3_000_000_000
#: Longest message that is one message, characters.
_MESSAGE = 4000

#: What stands where a number or a word of a text stood.
_VALUES = (
    b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"9" * 30, b"9" * 5000, b"1.5", b"true", b"[]", b"{}", b'""',
    b"[[1]]",
    b'"\\u0000"', b'"../../etc"', b"2026-01-01", b"0x7fffffffffffffff", b"[" * 3000, b"{a=" * 300, b"null",
    b'"\\ud800"', b"\xed\xa0\x80", b'"%s{}"', b"1e-320", b'"a"',
)  # fmt: skip


@dataclass
class Reader:
    """What is fed: `whole` files by their names, those that are `mutated`, and what reads the folder they lie in."""

    whole: Mapping[str, bytes]
    mutated: tuple[str, ...]
    read: Callable[[Path], object]


@dataclass
class Found:
    """How many mutants there were, how many were taken, and the first mutant of each finding."""

    mutants: int = 0
    taken: int = 0
    findings: dict[str, str] = field(default_factory=dict)


class Hang(BaseException):
    """A reader takes too long; no `except Exception` of it may swallow that."""


def mutant(content: bytes, rng: random.Random, *, text: bool) -> bytes:
    """Return content with one to four changes.

    Args:
        content: of a file that is read well.
        rng: chooses the changes.
        text: whether words and lines are changed besides bytes.
    """
    changes = [_flip, _cut, _swap, _double, _extreme]
    if text:
        changes = [_word, _word, _lines, *changes]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(changes)(content, rng) if content else content
    return content


def _flip(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    # Headers decide more than what stands behind them.
    end = len(changed) if rng.random() < 0.5 else min(len(changed), 400)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(end)] = rng.randrange(256)
    return bytes(changed)


def _cut(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] if rng.random() < 0.5 else content[:at] + content[at + rng.randrange(1, 40) :]


def _swap(content: bytes, rng: random.Random) -> bytes:
    size = rng.randrange(1, 1 + min(64, len(content)))
    one, other = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:one] + content[other : other + size] + content[one + size : other] + content[other:]


def _double(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    part = content[at : at + rng.randrange(1, 200)]
    return content[:at] + part * rng.choice((2, 3, 50)) + content[at + len(part) :]


def _extreme(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    size = rng.choice((1, 2, 4, 8))
    return content[:at] + rng.choice((b"\xff", b"\x00", b"\x7f", b"\x80")) * size + content[at + size :]


def _word(content: bytes, rng: random.Random) -> bytes:
    """Put something of another type where a value stands."""
    lines = content.splitlines(keepends=True)
    number = rng.randrange(len(lines))
    for mark in (b"=", b":", b","):
        if mark in lines[number]:
            key, _, rest = lines[number].partition(mark)
            tail = rest[rest.find(b",") :] if b"," in rest and rng.random() < 0.5 else b"\n"
            lines[number] = key + mark + b" " + rng.choice(_VALUES) + tail
            break
    return b"".join(lines)


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    line = lines.pop(at) if rng.random() < 0.5 else lines[at]
    if rng.random() < 0.5:
        lines.insert(to, line)
    return b"".join(lines)


@contextmanager
def _bounded() -> Iterator[None]:
    def late(*_: object) -> None:
        raise Hang(f"no answer within {HANG_S:.0f} s")

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def judged(read: Callable[[], object]) -> str | None:
    """Return None where something is taken, "" where it is refused as it should be, else the finding."""
    try:
        with _bounded():
            read()
    except HarnessError as error:
        if type(error).__name__ == "Unforeseen":
            return f"Unforeseen: {error.text}"
        if not error.remedy:
            return f"{type(error).__name__} without a remedy: {error}"[:300]
        return "" if len(str(error)) < _MESSAGE else f"a message of {len(str(error))} characters: {str(error)[:200]}"
    except (Exception, Hang) as error:  # noqa: BLE001  what it is about: nothing else may come out
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "harness" in Path(frame.filename).parts]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {place}: {(str(error).splitlines() or [''])[0][:160]}"
    return None


def fuzzed(reader: Reader, folder: Path, *, seconds: float, most: int, seed: int) -> Found:
    """Feed a reader for a while.

    Args:
        reader: what is fed.
        folder: for its files; every mutant lies in one of its own.
        seconds: for how long at most, s.
        most: how many mutants at most.
        seed: of the mutants.
    """
    rng, found = random.Random(seed), Found()
    ends_at = time.monotonic() + seconds
    while found.mutants < most and (time.monotonic() < ends_at or not found.mutants):
        name = rng.choice(reader.mutated)
        text = Path(name).suffix in (".toml", ".csv", ".jsonl", ".json")
        here = folder / str(found.mutants)
        for other, content in reader.whole.items():
            (here / other).parent.mkdir(parents=True, exist_ok=True)
            (here / other).write_bytes(mutant(content, rng, text=text) if other == name else content)
        finding = judged(lambda: reader.read(here))  # noqa: B023  called at once
        found.mutants += 1
        found.taken += finding is None
        if finding:
            kind = finding.split(": ")[0] if "without" not in finding else finding[:120]
            found.findings.setdefault(kind, f"{finding} (mutant {found.mutants - 1} of seed {seed}, {name})")
            if len(found.findings) > 200:
                break
        for file in sorted(here.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        here.rmdir()
    return found


def main() -> None:
    """Feed the reader that the command line names and print what was found as JSON."""
    from tests import fuzzed_readers

    name, seconds, most, seed, folder = sys.argv[1:]
    reader = fuzzed_readers.READERS[name](Path(folder) / "whole")
    first = Path(folder) / "first"
    for other, content in reader.whole.items():
        (first / other).parent.mkdir(parents=True, exist_ok=True)
        (first / other).write_bytes(content)
    # The files themselves are read well: else nothing is known of their mutants.
    reader.read(first)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_BYTES,) * 2)
    found = fuzzed(reader, Path(folder) / "mutants", seconds=float(seconds), most=int(most), seed=int(seed))
    print(json.dumps({"mutants": found.mutants, "taken": found.taken, "findings": found.findings}))


if __name__ == "__main__":
    main()
