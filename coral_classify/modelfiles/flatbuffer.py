"""The few lines of FlatBuffers that reading a ``.tflite`` needs, with every offset checked.

Format: https://flatbuffers.dev/internals/ (little endian; a table starts with a signed offset back to its
vtable; a vtable holds one 16-bit offset per field, 0 = absent).  Knows no TFLite schema.
"""
from __future__ import annotations

import struct
from typing import Any, Iterator, Optional, Tuple

from ..errors import ModelError

__all__ = ["Table", "root"]

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

    def _field(self, number: int) -> Optional[int]:
        if number >= self._fields:
            return None
        offset = _unpack(self._buffer, "<H", self._vtable + 4 + 2 * number)
        return self._position + offset if offset else None

    @property
    def position(self) -> int:
        """Where the table begins in the buffer."""
        return self._position

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
