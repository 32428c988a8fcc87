"""ExecuTorch programs (.pte), read as flatbuffers by the standard library alone: on the host, and on a device.

Places of fields are those of program.fbs and scalar_type.fbs in the executorch distribution (exir/_serialize), of the
identifier ET12; the extended header behind it is that of runtime/schema/extended_header.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any

#: What stands behind the first four bytes.
IDENTIFIER = b"ET12"
#: The method that is measured.
METHOD = "forward"
#: The constant method in which edgeward's own recipe leaves what the format has no room for, as JSON.
NOTE = "edgeward"

_TYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    15: "bfloat16", 27: "uint16", 28: "uint32", 29: "uint64",
}  # fmt: skip
_TENSOR, _STRING = 5, 6
_KERNEL, _DELEGATE = 1, 2
#: Where the extended header begins, its mark, and what it holds behind that: its length, the length of the program,
#: where the segments begin, and their length.
_HEADER_AT, _HEADER = 8, b"eh00"
_HEADER_FIELDS = struct.Struct("<IQQQ")


class Damaged(ValueError):
    """The bytes are no ExecuTorch program, or not all of one."""


@dataclass(frozen=True)
class Value:
    """One input or output; `shape` is None where it may vary, `contiguous` whether its last axis lies closest."""

    type: str
    shape: tuple[int, ...] | None
    contiguous: bool = True
    maker: str = ""


@dataclass(frozen=True)
class Program:
    """What a program says of its method `forward`.

    Attributes:
        methods: names of all.
        inputs, outputs: in their order; their names are not in the file.
        kernels: name of an operator -> how often it is called.
        delegates: name of a backend -> how many parts of the model it was given.
        note: what edgeward's recipe left, "" for nothing.
        version: of the program's schema.
    """

    methods: tuple[str, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    kernels: dict[str, int]
    delegates: dict[str, int]
    note: str
    version: int


def read(raw: bytes) -> Program:
    """Return what a program says.

    Raises:
        Damaged: it is none, a part of one, or one without the method `forward`.
    """
    if raw[4:8] != IDENTIFIER:
        raise Damaged(f"{IDENTIFIER.decode()} is not in its first bytes")
    if raw[_HEADER_AT : _HEADER_AT + 4] == _HEADER and len(raw) >= _HEADER_AT + 4 + _HEADER_FIELDS.size:
        length, program, base, segments = _HEADER_FIELDS.unpack_from(raw, _HEADER_AT + 4)
        # A shorter header, of older programs, does not say how long the segments are.
        whole = max(program, base + (segments if length >= 4 + _HEADER_FIELDS.size else 0))
        if len(raw) < whole:
            raise Damaged(f"it is {len(raw)} bytes long, and {whole} by its own header")
    try:
        return _program(_Table(raw, _u32(raw, 0)))
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise Damaged(f"an offset leads out of it ({error})") from error


def _program(root: _Table) -> Program:
    plans = {plan.text(0): plan for plan in root.tables(1)}
    if METHOD not in plans:
        raise Damaged(f"it has no method {METHOD!r}, only {', '.join(sorted(plans)) or 'none'}")
    plan = plans[METHOD]
    values, operators, delegates = plan.tables(2), plan.tables(6), plan.tables(7)
    kernels: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    makers: dict[int, str] = {}
    for instruction in (one for chain in plan.tables(5) for one in chain.tables(2)):
        kind, call = instruction.number(0, "B"), instruction.table(1)
        if call is None or kind not in (_KERNEL, _DELEGATE):
            continue
        place = call.number(0, "i")
        name = operators[place].text(0) if kind == _KERNEL else delegates[place].text(0)
        (kernels if kind == _KERNEL else parts)[name] += 1
        makers.update((int(index), name) for index in call.numbers(1, "i"))
    note = plans.get(NOTE)
    return Program(
        methods=tuple(plans),
        inputs=tuple(_value(values[index], "") for index in plan.numbers(3, "i")),
        outputs=tuple(_value(values[index], makers.get(index, "")) for index in plan.numbers(4, "i")),
        kernels=dict(kernels),
        delegates=dict(parts),
        note=_constant(note) if note is not None else "",
        version=root.number(0, "I"),
    )


def _value(value: _Table, maker: str) -> Value:
    held = value.table(1)
    if value.number(0, "B") != _TENSOR or held is None:
        return Value("no tensor", None, maker=maker)
    type_ = held.number(0, "b")
    order = held.numbers(3, "B")
    # Where a shape may vary the sizes are upper bounds, and which of them varies is not said.
    shape = None if held.number(8, "b") else tuple(held.numbers(2, "i"))
    return Value(_TYPES.get(type_, f"type {type_}"), shape, order == sorted(order), maker)


def _constant(plan: _Table) -> str:
    """Return the text that a constant method gives, "" where it gives none."""
    outputs, values = plan.numbers(4, "i"), plan.tables(2)
    if len(outputs) != 1 or values[outputs[0]].number(0, "B") != _STRING:
        return ""
    held = values[outputs[0]].table(1)
    return held.text(0) if held is not None else ""


def _u32(raw: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", raw, at)[0])


class _Table:
    """One table of a flatbuffer; fields are known by their places in its schema."""

    def __init__(self, raw: bytes, at: int) -> None:
        self._raw, self._at = raw, at
        self._vtable = at - int(struct.unpack_from("<i", raw, at)[0])
        if self._vtable < 0:
            raise IndexError("a table before the file")
        self._size = int(struct.unpack_from("<H", raw, self._vtable)[0])

    def _field(self, place: int) -> int:
        """Return where a field lies, 0 for one that is left out."""
        entry = 4 + 2 * place
        offset = int(struct.unpack_from("<H", self._raw, self._vtable + entry)[0]) if entry < self._size else 0
        return self._at + offset if offset else 0

    def number(self, place: int, kind: str) -> int:
        """Return a number of a kind as `struct` names it; 0, the default of every field here, where it is left out."""
        at = self._field(place)
        return int(struct.unpack_from("<" + kind, self._raw, at)[0]) if at else 0

    def table(self, place: int) -> _Table | None:
        """Return a table, None for one that is left out."""
        at = self._field(place)
        return _Table(self._raw, at + _u32(self._raw, at)) if at else None

    def text(self, place: int) -> str:
        """Return a text, "" for one that is left out."""
        at = self._field(place)
        if not at:
            return ""
        start = at + _u32(self._raw, at)
        end = start + 4 + _u32(self._raw, start)
        if end > len(self._raw):
            raise IndexError("a text behind the end")
        return self._raw[start + 4 : end].decode("utf-8")

    def _list(self, place: int) -> tuple[int, int]:
        """Return where a list's first item lies, and how many there are."""
        at = self._field(place)
        if not at:
            return 0, 0
        start = at + _u32(self._raw, at)
        count = _u32(self._raw, start)
        if start + 4 + count > len(self._raw):
            raise IndexError("a list behind the end")
        return start + 4, count

    def numbers(self, place: int, kind: str) -> list[int]:
        """Return the numbers of a list."""
        start, count = self._list(place)
        found: Any = struct.unpack_from(f"<{count}{kind}", self._raw, start) if count else ()
        return list(found)

    def tables(self, place: int) -> list[_Table]:
        """Return the tables of a list."""
        start, count = self._list(place)
        places = (start + 4 * number for number in range(count))
        return [_Table(self._raw, at + _u32(self._raw, at)) for at in places]
