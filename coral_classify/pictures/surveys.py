"""Each format that is opened, what tells it, and what a look through its file finds, before Pillow reads it: the
memory that decoding takes beyond the picture itself, and all that would take for ever.  Decodes nothing.
"""
from __future__ import annotations

import io
import os
import re
from typing import BinaryIO, Callable, Dict, NamedTuple, Optional

from . import exif, jpeg
from .limits import Limits, Refused

__all__ = ["EXTENSIONS", "FORMATS", "Survey", "format_of", "survey"]


class Survey(NamedTuple):
    """What decoding takes besides the decoded picture."""

    bytes: int = 0          # of memory, whatever is decoded
    per_pixel: int = 0      # bytes of memory for each decoded pixel
    per_row: int = 0        # rows of the picture that are held besides
    orientation: int = 1    # that of TIFF, which Pillow applies while decoding


_Look = Callable[[BinaryIO, int], Survey]   # (file, its length in bytes)
_PNG_CHUNKS = 1 << 17
_PNG_METADATA = 32 << 20            # bytes; Pillow holds all of it
_GIF_METADATA = 1 << 20             # bytes before the first picture; Pillow copies it anew for every 255
_PPM_HEADER_BYTES = 1 << 12
_PPM_TEXT_BYTES = 32 << 20          # more than the largest that is decoded has, if it is not written with a loose hand
_COMMENT = re.compile(rb"#[^\r\n]*[\r\n]")
_AVIF_MARKS = 256
_TIFF_MARK = re.compile(b"|".join(re.escape(mark) for mark in exif.MARKS))


def _jpeg(file: BinaryIO, length: int) -> Survey:
    frame = jpeg.survey(file)
    return Survey(bytes=frame.coefficients if frame else 0)


def _png(file: BinaryIO, length: int) -> Survey:
    position, chunks, metadata = 8, 0, 0
    while position + 8 <= length:
        file.seek(position)
        size, name = int.from_bytes(file.read(4), "big"), file.read(4)
        chunks += 1
        if name not in (b"IDAT", b"fdAT"):
            metadata += min(size, length - position)
        if chunks > _PNG_CHUNKS or metadata > _PNG_METADATA:
            raise Refused("has more than %d chunks, or more than %d bytes beside its pixels; save it anew"
                          % (_PNG_CHUNKS, _PNG_METADATA))
        if name == b"IEND":
            break
        position += 12 + size
    return Survey(per_row=3)        # the one that is unpacked, the one above it, and what was read


def _gif(file: BinaryIO, length: int) -> Survey:
    """The blocks before the first picture."""
    file.seek(0)
    head = file.read(13)
    colours = 3 << ((head[10] & 7) + 1) if len(head) == 13 and head[10] & 0x80 else 0
    start = 13 + colours
    file.seek(start)
    content = file.read(_GIF_METADATA + 1)
    position = 0
    while position < len(content):
        mark = content[position]
        if mark in b",;":
            return Survey()
        position += 1
        if mark == 0x21:
            position += 1
            while position < len(content) and content[position]:
                position += 1 + content[position]
            position += 1
    if start + position >= length:
        return Survey()
    raise Refused("has more than %d bytes before its first picture; save it anew" % _GIF_METADATA)


def _bmp(file: BinaryIO, length: int) -> Survey:
    return Survey()


def _ppm(file: BinaryIO, length: int) -> Survey:
    file.seek(0)
    head = file.read(_PPM_HEADER_BYTES)
    if len(_COMMENT.sub(b"", head).split()) < 4 and length > _PPM_HEADER_BYTES:
        raise Refused("is a PPM whose header is longer than %d bytes" % _PPM_HEADER_BYTES)
    if head[1:2] in b"123" and length > _PPM_TEXT_BYTES:
        raise Refused("is a PPM of %d bytes of text, which take too long to read; save it anew as PNG" % length)
    return Survey()


def _webp(file: BinaryIO, length: int) -> Survey:
    # Measured with Pillow 13: four copies of the picture, and the file.
    return Survey(bytes=length, per_pixel=12)


def _avif(file: BinaryIO, length: int) -> Survey:
    # Pillow reads the EXIF block while it opens the file.  It stands anywhere in it, and begins as a TIFF does.
    file.seek(0)
    content = file.read()
    for number, found in enumerate(_TIFF_MARK.finditer(content)):
        if number >= _AVIF_MARKS:
            raise Refused("is no honest picture: %d places that look like EXIF" % number)
        exif.read_tags(io.BytesIO(content), found.start())
    return Survey(bytes=length, per_pixel=12)


def _tiff(file: BinaryIO, length: int) -> Survey:
    from . import tiff  # few pictures are

    layout = tiff.survey(file)
    # Pillow turns it upright while decoding, which takes the picture once more.
    return Survey(bytes=layout.buffer, per_pixel=0 if layout.orientation == 1 else 4, orientation=layout.orientation)


# The ends of names by which pictures are found in folders and archives; a picture that is named may be called anything.
EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif")


class _Format(NamedTuple):
    marks: "re.Pattern[bytes]"      # what its first bytes are
    look: _Look
    whole: bool = False             # Pillow reads the whole file into memory


# Pillow's name of the format -> what is known of it.  Everything else stays closed, whatever Pillow could make of it:
# for PostScript it starts another program, and nobody has pictures in the formats of old games and faxes classified.
FORMATS: Dict[str, _Format] = {
    "JPEG": _Format(re.compile(rb"\xff\xd8\xff"), _jpeg),
    "PNG": _Format(re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    "GIF": _Format(re.compile(rb"GIF8[79]a"), _gif),
    "BMP": _Format(re.compile(rb"BM"), _bmp),
    "WEBP": _Format(re.compile(rb"RIFF....WEBP", re.DOTALL), _webp, True),
    "TIFF": _Format(re.compile(b"|".join(re.escape(mark) for mark in exif.MARKS)), _tiff),
    "PPM": _Format(re.compile(rb"P[1-6]\s|P[1-6]#|P[fF]\s"), _ppm),
    "AVIF": _Format(re.compile(rb"....ftyp(avif|avis|mif1|msf1)", re.DOTALL), _avif, True),
}


def format_of(file: BinaryIO) -> Optional[str]:
    """Pillow's name of the format, by the first bytes; None if it is none that is read."""
    file.seek(0)
    head = file.read(16)
    return next((name for name, form in FORMATS.items() if form.marks.match(head)), None)


def survey(file: BinaryIO, form: str, limits: Limits) -> Survey:
    """
    :param form: what :func:`format_of` says
    :raises Refused: if it would take too long, or too much to open it
    """
    file.seek(0, os.SEEK_END)
    length = file.tell()
    if FORMATS[form].whole:
        limits.check((0, 0), length)
    found = FORMATS[form].look(file, length)
    file.seek(0)
    return found
