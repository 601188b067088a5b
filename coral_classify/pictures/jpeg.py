"""The segments of a JPEG stream, walked as its decoder does: how much memory and time it will take.  Decodes nothing.

The marker codes are those of ITU-T T.81, table B.1.
"""
from __future__ import annotations

import io
import re
from typing import BinaryIO, NamedTuple, Optional, Tuple

from . import exif
from .limits import Refused

__all__ = ["Frame", "check_scans", "survey"]

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_ALONE = frozenset([0x01, *range(0xD0, 0xD9)])      # markers without a length
# In coded data FF is followed by 00 or a restart marker.
_MARKER = re.compile(b"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_BLOCK = 1 << 20
# Encoders write up to some twenty scans.  Each goes over every block of the picture again.
_SCANS = 100
_SCANNED_PIXELS = 1 << 30
_SEGMENTS = 4096            # before the pixels; of at most 64 KB each
_HEADER_BYTES = 48 << 20
_JUNK = 1 << 16             # between two segments; Pillow skips it byte by byte
_EXIF_BYTES = 4 << 20       # Pillow copies what it has for each further part


class Frame(NamedTuple):
    """What the header says of the pixels."""

    size: Tuple[int, int]   # (width, height)
    coefficients: int       # bytes that the decoder holds until the last scan; 0 where there is only one


def survey(file: BinaryIO, start: int = 0, end: Optional[int] = None) -> Optional[Frame]:
    """What a JPEG stream will take; None if it has no pixels.

    :raises Refused: if that is too much, whatever its size
    """
    size, coefficients, progressive, components = (0, 0), 0, False, 0
    metadata = bytearray()
    position, segments = start + 2, 0
    end = _length(file) if end is None else min(end, _length(file))
    while position < min(end, start + _HEADER_BYTES) and segments < _SEGMENTS:
        found = _next_marker(file, position, end)
        if found is None:
            return None
        if found[1] - position > _JUNK:
            raise Refused("has %d bytes that are no JPEG before its pixels" % (found[1] - position))
        code, position = found
        if code in _ALONE:
            continue
        if code == _EOI:
            return None
        file.seek(position)
        head = file.read(2)
        length = max(2, int.from_bytes(head, "big"))
        segments += 1
        if code == _SOS:
            in_scan = file.read(1)
            if size == (0, 0):
                return None
            if not progressive and in_scan and in_scan[0] >= components:
                return Frame(size, 0)       # one scan, decoded line by line; nothing behind it is looked at
            check_scans(size, _scans(file, position + length, end))
            return Frame(size, coefficients)
        if code in _FRAMES:
            size, coefficients, components = _frame(file.read(length - 2))
            progressive = code in _PROGRESSIVE
        elif code == 0xE1 and length > 16:
            content = file.read(length - 2)
            if content.startswith(b"Exif\0\0"):
                metadata += content[6:] if metadata else content
                if len(metadata) > _EXIF_BYTES:
                    raise Refused("has more than %d bytes of EXIF; remove it first" % _EXIF_BYTES)
                exif.orientation(bytes(metadata))
        elif code == 0xE2 and length > 16 and file.read(4) == b"MPF\0":
            exif.read_tags(file, position + 6, length - 6)
        position += length
    if position >= end:
        return None
    raise Refused("has more than %d bytes or %d segments before its pixels; remove its metadata first"
                  % (_HEADER_BYTES, _SEGMENTS))


def check_scans(size: Tuple[int, int], scans: int) -> None:
    """
    :raises Refused: if *scans* over a picture of this size take too long
    """
    if scans > _SCANS or scans * size[0] * size[1] > _SCANNED_PIXELS:
        raise Refused("has %s scans of %d x %d pixels, which take too long to decode; save it anew as a baseline JPEG"
                      % ((scans if scans <= _SCANS else "more than %d" % _SCANS,) + size))


def _length(file: BinaryIO) -> int:
    file.seek(0, io.SEEK_END)
    return file.tell()


def _next_marker(file: BinaryIO, position: int, end: int) -> Optional[Tuple[int, int]]:
    """The next marker at or after *position*, and where it ends; None if there is none before the end."""
    size = 64
    while position < end:
        file.seek(position)
        block = file.read(min(size, end - position))
        size = _BLOCK
        found = _MARKER.search(block)
        if found:
            return found.group(1)[0], position + found.end()
        if len(block) < 2:
            return None
        position += len(block) - (1 if block.endswith(b"\xff") else 0)
    return None


def _frame(content: bytes) -> Tuple[Tuple[int, int], int, int]:
    """(width, height), bytes of all coefficients, and the number of components."""
    if len(content) < 6:
        return (0, 0), 0, 0
    height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    sampling = [(code >> 4, code & 15) for code in content[7::3][:content[5]]]
    if not sampling or any(not 1 <= h <= 4 or not 1 <= v <= 4 for h, v in sampling):
        return (width, height), 0, content[5]
    across, down = max(h for h, _ in sampling), max(v for _, v in sampling)
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return (width, height), units * sum(h * v for h, v in sampling) * 64 * 2, content[5]


def _scans(file: BinaryIO, position: int, end: int) -> int:
    """How many scans there are, the first one counted, whose coded data begins at *position*; more than _SCANS are not
    counted to the end."""
    scans, block, start = 1, b"", position
    while scans <= _SCANS:
        found = _MARKER.search(block, max(0, position - start))
        if found is None:
            start = max(position, start + len(block) - (1 if block.endswith(b"\xff") else 0))
            position = start
            file.seek(start)
            block = file.read(min(_BLOCK, end - start)) if start < end else b""
            if len(block) < 2:
                return scans
            continue
        code, position = found.group(1)[0], start + found.end()
        if code == _EOI:
            return scans
        if code in _ALONE:
            continue
        scans += code == _SOS
        file.seek(position)
        position += max(2, int.from_bytes(file.read(2), "big"))
    return scans
