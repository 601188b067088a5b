"""Directories of tags as TIFF lays them out, which EXIF uses too: the few numbers that matter here, read without
trusting any of them.

Pillow reads every tag that it finds, and a directory may point with thousands of them at the same megabyte.  So it is
looked through here first: the tags of an honest one claim no more bytes than there are.  Field numbers and types are
those of TIFF 6.0 and of BigTIFF.
"""
from __future__ import annotations

import io
import struct
from typing import BinaryIO, Dict, NamedTuple, Optional, Tuple

from .limits import Refused

__all__ = ["MARKS", "Tags", "orientation", "read_tags"]

MARKS = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")    # the last two: BigTIFF
ORIENTATION = 0x0112
_PREFIX = b"Exif\0\0"
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_FORMATS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}       # of types that numbers are read of
_FURTHER = (0x8769, 0x8825, 0xA005)     # directories that Pillow reads after the first: EXIF, GPS, interoperability
_TAGS = 4096                            # of a directory; the standards know some hundred
_NUMBERS = 1 << 19                      # unpacked numbers: Python takes 40 bytes for each


class Tag(NamedTuple):
    """Where the values of a tag stand."""

    kind: int
    values: int     # how many
    offset: int     # in the file


class Tags:
    """One directory."""

    def __init__(self, file: BinaryIO, order: str, tags: Dict[int, Tag]) -> None:
        self._file = file
        self._order = order
        self._tags = tags

    def count(self, tag: int) -> int:
        return self._tags[tag].values if tag in self._tags else 0

    def numbers(self, tag: int) -> Tuple[int, ...]:
        """The values of a tag of whole numbers; none if it is missing, or of another type."""
        found = self._tags.get(tag)
        if found is None or found.kind not in _FORMATS or found.values > _NUMBERS:
            return ()
        size = _SIZES[found.kind] * found.values
        self._file.seek(found.offset)
        content = self._file.read(size)
        return struct.unpack("%s%d%s" % (self._order, found.values, _FORMATS[found.kind]), content) \
            if len(content) == size else ()

    def number(self, tag: int, default: int) -> int:
        values = self.numbers(tag)
        return values[0] if values else default


def read_tags(file: BinaryIO, start: int = 0, length: Optional[int] = None) -> Optional[Tags]:
    """The first directory; None where there is none.

    :param start: where the header of TIFF stands in the file, from which offsets count
    :param length: of what may be read from there; None: all the rest
    :raises Refused: if the tags claim more than there is
    """
    file.seek(0, io.SEEK_END)
    length = file.tell() - start if length is None else length
    file.seek(start)
    header = file.read(16)
    if header[:4] not in MARKS:
        return None
    order, big = "<" if header.startswith(b"II") else ">", b"+" in header[2:4]
    if len(header) < (16 if big else 8):
        return None
    first, = struct.unpack(order + "Q", header[8:16]) if big else struct.unpack(order + "I", header[4:8])
    claimed = [0, 0]
    tags = _directory(file, start, length, first, order, big, claimed)
    for further in _FURTHER:
        at = tags.number(further, 0)
        if at:
            _directory(file, start, length, at, order, big, claimed)
    return tags


def _directory(file: BinaryIO, start: int, length: int, at: int, order: str, big: bool, claimed: "list[int]") -> Tags:
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    found: Dict[int, Tag] = {}
    if 0 <= at < length:
        file.seek(start + at)
        number = file.read(8 if big else 2)
        count = struct.unpack(order + ("Q" if big else "H"), number)[0] if len(number) == (8 if big else 2) else 0
        here = start + at + len(number)
        content = file.read(entry.size * min(count, _TAGS + 1))
        if len(content) // entry.size > _TAGS:
            raise Refused("is no honest picture: a directory of %d tags; at most %d are read" % (count, _TAGS))
        for place in range(0, len(content) - entry.size + 1, entry.size):
            tag, kind, values, inside = entry.unpack_from(content, place)
            if kind not in _SIZES or tag in found:
                continue
            size = values * _SIZES[kind]
            if size <= len(inside):
                found[tag] = Tag(kind, values, here + place + entry.size - len(inside))
                continue
            offset, = struct.unpack(order + ("Q" if big else "I"), inside)
            claimed[0] += min(size, max(0, length - offset))
            claimed[1] += values if _SIZES[kind] > 1 else 0
            if claimed[0] > length or (claimed[1] > _NUMBERS and size <= length):
                raise Refused("is no honest picture: its tags claim more than the file can hold, or %d numbers"
                              % _NUMBERS)
            if offset + size <= length:
                found[tag] = Tag(kind, values, start + offset)
    return Tags(file, order, found)


def orientation(content: bytes) -> int:
    """How a picture was held, 1 to 8, of an EXIF block; 1 where that says nothing, or is damaged.

    :raises Refused: if the block is not an honest one
    """
    while content.startswith(_PREFIX):
        content = content[len(_PREFIX):]
    tags = read_tags(io.BytesIO(content))
    code = tags.number(ORIENTATION, 1) if tags else 1
    return code if 1 <= code <= 8 else 1
