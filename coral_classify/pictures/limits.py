"""How large a picture may be: in pixels, and in the memory that decoding it takes.  One clear line for what is larger.

Knows the sizes of Pillow's modes; knows no file format.
"""
from __future__ import annotations

import os
from typing import NamedTuple, Optional, Tuple

from .. import arguments

__all__ = ["DEFAULT", "HELD_BYTES", "Limits", "Refused", "bytes_of", "limits"]

# A board with 1 GB keeps about 700 MB for us.  What these allow takes half of that; photographs of up to 200 megapixels
# stay below, because a JPEG is scaled while it is decoded.
_PIXELS = 64 << 20
_BYTES = 384 << 20
_PIXELS_VARIABLE, _BYTES_VARIABLE = "CORAL_CLASSIFY_MAX_PIXELS", "CORAL_CLASSIFY_MAX_PICTURE_BYTES"
# An encoded picture that cannot be read where it lies (in an archive, from a pipe), and is held in memory.
HELD_BYTES = 128 << 20
_ONE_BYTE, _TWO_BYTES = ("1", "L", "P"), "I;16"     # of a pixel; Pillow takes four for all other modes


class Refused(Exception):
    """A picture that would take too much memory or time.  The message says what of, and the next step."""


class Limits(NamedTuple):
    """What a picture may take.  Anything beyond is refused before it is decoded."""

    pixels: int = _PIXELS       # width x height, as decoded: a JPEG may have up to 64 times as many
    bytes: int = _BYTES         # of memory while it is decoded

    def check(self, size: Tuple[int, int], needed: int) -> None:
        """
        :param size: (width, height) as decoded
        :param needed: bytes
        :raises Refused: if that is too much
        """
        if size[0] * size[1] > self.pixels:
            raise Refused("has %d x %d pixels, and at most %d are decoded; scale it down first, or allow more with "
                          "--max-pixels (max_pixels=, %s)" % (size + (self.pixels, _PIXELS_VARIABLE)))
        if needed > self.bytes:
            raise Refused("takes %d MB of memory to decode (%d x %d pixels), and at most %d MB are taken; scale it "
                          "down first, or allow more with %s=%d"
                          % ((needed >> 20,) + size + (self.bytes >> 20, _BYTES_VARIABLE, needed)))


DEFAULT = Limits()


def bytes_of(mode: str, size: Tuple[int, int]) -> int:
    """What a picture takes in Pillow's memory, with the pointers to its rows."""
    pixel = 1 if mode in _ONE_BYTE else 2 if mode.startswith(_TWO_BYTES) else 4
    return size[1] * (size[0] * pixel + 8)


def limits(pixels: Optional[int] = None, memory: Optional[int] = None) -> Limits:
    """The limits that hold: those given, else those of the environment, else the library's own.

    :raises UsageError: for a number that cannot be meant
    """
    return Limits(_number("max_pixels", pixels, _PIXELS_VARIABLE, _PIXELS),
                  _number("max_picture_bytes", memory, _BYTES_VARIABLE, _BYTES))


def _number(name: str, given: Optional[int], variable: str, default: int) -> int:
    value: object = given
    if value is None:
        name, value = variable, os.environ.get(variable) or default
    if isinstance(value, str) and value.strip().isdecimal() and given is None and len(value) < 30:
        value = int(value)
    return arguments.whole(name, value, least=1)
