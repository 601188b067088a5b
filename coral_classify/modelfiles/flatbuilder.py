"""The few lines of FlatBuffers that writing a ``.tflite`` needs, where parts of an older file are taken over unread.

Offsets of the format point forward only (but for those from a table to its vtable, which move with both), so a new head
can stand in front of an older buffer that is kept whole behind it: :class:`Kept` is a place in that buffer.  Knows no
TFLite schema.  Format: https://flatbuffers.dev/internals/
"""
from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

__all__ = ["ALIGNMENT", "Kept", "New", "Scalar", "Vector", "build", "vector"]

ALIGNMENT = 16      # of what is kept, and of vectors: TFLite wants weights there
_FORMATS = {"int8": "b", "uint8": "B", "int32": "i", "uint32": "I", "uint64": "Q", "float32": "f"}


class Scalar(NamedTuple):
    kind: str           # "int8", "uint32", …
    value: Any


class Vector(NamedTuple):
    """A vector of numbers."""

    elements: int
    content: bytes      # little endian


class New(NamedTuple):
    """A table to be written."""

    fields: Dict[int, Any]      # field number -> Scalar, str, Vector, New, Kept, or a list of New and Kept


class Kept(NamedTuple):
    """A table, string or vector of the older buffer."""

    position: int


def vector(kind: str, values: Sequence[Any]) -> Vector:
    """:param kind: NumPy name of the elements' type"""
    stored = np.asarray(values, np.dtype(kind).newbyteorder("<"))
    return Vector(stored.size, stored.tobytes())


def build(table: New, identifier: bytes, kept: bytes = b"") -> bytes:
    """A buffer with *table* as its root, and behind it, at a multiple of 16, all of *kept*.

    Front to back: a table, then what it points to.

    :param identifier: the four letters at byte 4
    """
    out = bytearray(b"\0\0\0\0" + identifier)
    waiting: List[Tuple[int, int]] = []     # where an offset stands, and the place in *kept* that it means
    struct.pack_into("<I", out, 0, _write(out, table, waiting))
    _align(out, ALIGNMENT)
    start = len(out)
    for position, target in waiting:
        struct.pack_into("<I", out, position, start + target - position)
    return bytes(out) + kept


def _align(out: bytearray, size: int, extra: int = 0) -> None:
    out += bytes(-(len(out) + extra) % size)


def _write(out: bytearray, table: New, waiting: List[Tuple[int, int]]) -> int:
    """Append a table and all below it.

    :returns: its position
    """
    fields = max(table.fields, default=-1) + 1
    places: Dict[int, int] = {}
    size = 4
    for number, value in sorted(table.fields.items()):
        width = struct.calcsize(_FORMATS[value.kind]) if isinstance(value, Scalar) else 4
        size += -size % width
        places[number] = size
        size += width
    _align(out, 8, extra=4 + 2 * fields)        # so that the table, behind its vtable, lies at a multiple of 8
    vtable = len(out)
    out += struct.pack("<HH", 4 + 2 * fields, size)
    for number in range(fields):
        out += struct.pack("<H", places.get(number, 0))
    start = len(out)
    out += struct.pack("<i", start - vtable) + bytes(size - 4)
    for number, value in sorted(table.fields.items()):
        position = start + places[number]
        if isinstance(value, Scalar):
            struct.pack_into("<" + _FORMATS[value.kind], out, position, value.value)
        else:
            _point(out, position, value, waiting)
    return start


def _point(out: bytearray, position: int, value: Any, waiting: List[Tuple[int, int]]) -> None:
    """Fill in the offset at *position*: to what is written now, or to what is kept."""
    if isinstance(value, Kept):
        waiting.append((position, value.position))
    else:
        start = _child(out, value, waiting)
        struct.pack_into("<I", out, position, start - position)


def _child(out: bytearray, value: Any, waiting: List[Tuple[int, int]]) -> int:
    if isinstance(value, New):
        return _write(out, value, waiting)
    if isinstance(value, str):
        text = value.encode("utf-8")
        _align(out, 4)
        start = len(out)
        out += struct.pack("<I", len(text)) + text + b"\0"
        return start
    if isinstance(value, Vector):
        _align(out, ALIGNMENT, extra=4)
        start = len(out)
        out += struct.pack("<I", value.elements) + value.content
        return start
    _align(out, 4)
    start = len(out)
    out += struct.pack("<I", len(value)) + bytes(4 * len(value))
    for i, item in enumerate(value):
        _point(out, start + 4 + 4 * i, item, waiting)
    return start
