"""The few lines of FlatBuffers that reading a ``.tflite`` needs, with every offset checked.

Format: https://flatbuffers.dev/internals/ (little endian; a table starts with a signed offset back to its
vtable; a vtable holds one 16-bit offset per field, 0 = absent).  Knows no TFLite schema.
"""
from __future__ import annotations

import struct
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ..errors import ModelError

__all__ = ["Table", "root", "verify"]

_FORMATS = {"int8": "<b", "uint8": "<B", "uint16": "<H", "int32": "<i", "uint32": "<I", "int64": "<q",
            "uint64": "<Q", "float32": "<f"}


def root(buffer: Any, identifier: bytes = b"") -> "Table":
    """The root table of *buffer* (anything that slices to bytes).

    :raises ModelError: if the buffer is too short or has another file identifier
    """
    if len(buffer) < 8 or (identifier and bytes(buffer[4:8]) != identifier):
        raise ModelError("not a %s FlatBuffer" % (identifier.decode("ascii") or "valid"))
    return Table(buffer, _unpack(buffer, "<I", 0))


def _unpack(buffer: Any, form: str, position: int) -> Any:
    if position < 0 or position + struct.calcsize(form) > len(buffer):
        raise ModelError("offset %d lies outside the file (%d bytes): it is truncated or damaged"
                         % (position, len(buffer)))
    return struct.unpack_from(form, buffer, position)[0]


class Table:
    """One table; fields are asked for by their number in the schema."""

    __slots__ = ("_buffer", "_position", "_vtable", "_fields")

    def __init__(self, buffer: Any, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - _unpack(buffer, "<i", position)
        self._fields = (_unpack(buffer, "<H", self._vtable) - 4) // 2

    @property
    def position(self) -> int:
        """Where it lies: two that lie at one place are one."""
        return self._position

    def _field(self, number: int) -> Optional[int]:
        if number >= self._fields:
            return None
        offset = _unpack(self._buffer, "<H", self._vtable + 4 + 2 * number)
        return self._position + offset if offset else None

    def place(self, number: int) -> Optional[int]:
        """Where the string, vector or table of a field begins in the buffer; None if it is absent."""
        position = self._field(number)
        return None if position is None else self._follow(position)

    def scalar(self, number: int, kind: str, default: Any = 0) -> Any:
        """A number of *kind* ("int32", "uint8", "float32", …)."""
        position = self._field(number)
        return default if position is None else _unpack(self._buffer, _FORMATS[kind], position)

    def table(self, number: int) -> Optional["Table"]:
        """A sub-table, or None."""
        position = self._field(number)
        return None if position is None else Table(self._buffer, self._follow(position))

    def string(self, number: int) -> Optional[str]:
        """A string, or None; bytes that are not UTF-8 are replaced."""
        start, length = self._vector(number, 1)
        if start < 0:
            return None
        return bytes(self._buffer[start:start + length]).decode("utf-8", "replace")

    def numbers(self, number: int, kind: str) -> Tuple[Any, ...]:
        """A vector of numbers; absent means empty."""
        form = _FORMATS[kind]
        start, length = self._vector(number, struct.calcsize(form))
        return struct.unpack_from("<%d%s" % (length, form[1]), self._buffer, start) if length else ()

    def span(self, number: int) -> Tuple[int, int]:
        """(start, length) of a byte vector in the buffer; (-1, 0) if absent."""
        return self._vector(number, 1)

    def tables(self, number: int) -> Iterator["Table"]:
        """The tables of a vector; absent means none."""
        start, length = self._vector(number, 4)
        for i in range(length):
            yield Table(self._buffer, self._follow(start + 4 * i))

    def count(self, number: int) -> int:
        """How many elements the vector has."""
        return self._vector(number, 1)[1]

    def _follow(self, position: int) -> int:
        return position + int(_unpack(self._buffer, "<I", position))

    def _vector(self, number: int, size: int) -> Tuple[int, int]:
        position = self._field(number)
        if position is None:
            return -1, 0
        position = self._follow(position)
        length = int(_unpack(self._buffer, "<I", position))
        if position + 4 + length * size > len(self._buffer):
            raise ModelError("a vector of %d elements runs past the end of the file (%d bytes): "
                             "it is truncated or damaged" % (length, len(self._buffer)))
        return position + 4, length


_WIDTHS = {"b": 1, "h": 2, "i": 4, "q": 8}


def verify(buffer: Any, layouts: Mapping[str, Sequence[str]], kind: str) -> None:
    """Check that every table, vector and string that can be reached lies inside *buffer*, whole and aligned.

    Readers that do not check (those of most engines) may then follow every offset.

    :param layouts: what the fields of each table hold, in the letters of ``schema.LAYOUTS``
    :param kind: the name of the root table
    :raises ModelError: where one does not
    """
    _Verifier(buffer, layouts).run(kind)


class _Verifier:
    """The tables still to be looked at; each is, once, however many point to it."""

    def __init__(self, buffer: Any, layouts: Mapping[str, Sequence[str]]) -> None:
        self._buffer = buffer
        self._size = len(buffer)
        self._layouts = layouts
        self._met: Set[Tuple[int, str]] = set()
        self._waiting: List[Tuple[int, str]] = []

    def run(self, kind: str) -> None:
        self._meet(self._follow(0), kind)
        while self._waiting:
            self._table(*self._waiting.pop())

    def _meet(self, position: int, kind: str) -> None:
        if (position, kind) not in self._met:
            self._met.add((position, kind))
            self._waiting.append((position, kind))

    def _table(self, position: int, kind: str) -> None:
        vtable = position - int(_unpack(self._buffer, "<i", self._inside(position, 4, 4)))
        size, inline = struct.unpack_from("<HH", self._buffer, self._inside(vtable, 4, 2))
        if size < 4 or size % 2 or inline < 4:
            raise ModelError("a table of the file has an impossible size; it is damaged")
        self._inside(vtable, size, 2)
        self._inside(position, inline, 4)
        fields = self._layouts.get(kind, ())
        offsets = struct.unpack_from("<%dH" % (size // 2 - 2), self._buffer, vtable + 4)
        for number, offset in enumerate(offsets):
            if not offset:
                continue
            holds = fields[number] if number < len(fields) else "b"
            width = _WIDTHS.get(holds, 4)
            if offset < 4 or offset + width > inline:
                raise ModelError("a field of the file lies outside its table; it is damaged")
            self._inside(position + offset, width, width)
            if holds not in _WIDTHS:
                if holds[0] == "?":
                    before = offsets[number - 1]
                    holds = "%s %d" % (holds[1:], self._buffer[position + before] if before else 0)
                self._child(self._follow(position + offset), holds)

    def _child(self, position: int, holds: str) -> None:
        if holds.lower() in _WIDTHS:
            self._vector(position, _WIDTHS[holds.lower()])
        elif holds == "s":
            length = self._vector(position, 1)
            if self._buffer[self._inside(position + 4 + length, 1, 1)]:
                raise ModelError("a string of the file has no end; it is damaged")
        elif holds == "S" or holds[0] == "[":
            if (position, holds) in self._met:
                return
            self._met.add((position, holds))
            for place in range(position + 4, position + 4 + 4 * self._vector(position, 4), 4):
                if holds == "S":
                    self._child(self._follow(place), "s")
                else:
                    self._meet(self._follow(place), holds[1:-1])
        else:
            self._meet(position, holds)

    def _vector(self, position: int, width: int) -> int:
        """Its length."""
        length = int(_unpack(self._buffer, "<I", self._inside(position, 4, 4)))
        self._inside(position + 4, length * width, width)
        return length

    def _follow(self, position: int) -> int:
        return position + int(_unpack(self._buffer, "<I", position))

    def _inside(self, position: int, length: int, width: int) -> int:
        if position < 0 or position + length > self._size:
            raise ModelError("offset %d lies outside the file (%d bytes): it is truncated or damaged"
                             % (position + length, self._size))
        if length and position % width:
            raise ModelError("offset %d of the file is not aligned; it is damaged" % position)
        return position
