"""TIFF: what its first directory says of the pixels, and what decoding them will take.  Decodes nothing.

Field numbers and compressions are those of TIFF 6.0 and its supplements.
"""
from __future__ import annotations

from typing import BinaryIO, NamedTuple

from . import jpeg
from .exif import ORIENTATION, Tags, read_tags
from .limits import Refused

__all__ = ["Layout", "survey"]

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _STRIPS, _SAMPLES, _ROWS, _STRIP_BYTES, _PLANES = (
    256, 257, 258, 259, 273, 277, 278, 279, 284)
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_UNCOMPRESSED, _JPEG = 1, 7
# None, CCITT, LZW, JPEG, Deflate, PackBits.  Others are rare, and missing in most builds of Pillow.
_COMPRESSIONS = (1, 2, 3, 4, 5, 7, 8, 32773, 32946)


class Layout(NamedTuple):
    """How the pixels are stored."""

    orientation: int    # 1 to 8, as in EXIF
    buffer: int         # bytes that one strip or tile takes while it is unpacked


def survey(file: BinaryIO) -> Layout:
    """
    :raises Refused: if it would take too long, or more than it says
    """
    tags = read_tags(file)
    if tags is None:
        return Layout(1, 0)
    code = tags.number(ORIENTATION, 1)
    width, height = tags.number(_WIDTH, 0), tags.number(_HEIGHT, 0)
    compression = tags.number(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise Refused("is a TIFF of compression %d, which is not read; save it anew as PNG" % compression)
    tiled = tags.count(_TILES) > 0
    samples = max(1, tags.number(_SAMPLES, 1))
    planes = samples if tags.number(_PLANES, 1) == 2 else 1
    if tiled:
        across, down = max(1, tags.number(_TILE_WIDTH, width)), max(1, tags.number(_TILE_HEIGHT, height))
        parts = -(-width // across) * -(-height // down)
    else:
        across, down = width, max(1, min(tags.number(_ROWS, height), height))
        parts = -(-height // down)
    given = tags.count(_TILES if tiled else _STRIPS)
    if given > max(1, parts * planes):
        raise Refused("is no honest picture: %d strips or tiles, where its size asks for %d" % (given, parts * planes))
    bits = max((1,) + tags.numbers(_BITS))
    if compression == _JPEG:
        _check_jpeg(file, tags, tiled)
    buffer = 0 if compression == _UNCOMPRESSED else across * down * bits * (samples if planes == 1 else 1) // 8
    return Layout(code if 1 <= code <= 8 else 1, buffer)


def _check_jpeg(file: BinaryIO, tags: Tags, tiled: bool) -> None:
    """Each strip or tile is a JPEG stream of its own."""
    starts = tags.numbers(_TILES if tiled else _STRIPS)
    lengths = tags.numbers(_TILE_BYTES if tiled else _STRIP_BYTES)
    for number, start in enumerate(starts):
        # libtiff takes the length of a strip from the file's where it is missing.
        jpeg.survey(file, start, start + lengths[number] if number < len(lengths) and lengths[number] else None)
