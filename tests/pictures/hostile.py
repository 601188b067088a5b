"""Pictures that mean harm, small ones: what each would take is told by its name."""
from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

CHUNK = struct.Struct(">I4s")


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def chunk(name, content):
    return CHUNK.pack(len(content), name) + content + struct.pack(">I", zlib.crc32(name + content))


def png(size, depth=8, kind=0, before=b"", rows=None):
    """A PNG of nothing but zeros: some hundred kilobytes for a hundred megapixels.

    :param kind: of colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA
    :param before: chunks before the pixels
    """
    width, height = size
    line = 1 + -(-width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] // 8)
    packer, packed = zlib.compressobj(9), []
    zeros = b"\0" * min(line * height, 1 << 24)
    left = line * (height if rows is None else rows)
    while left > 0:
        packed.append(packer.compress(zeros[:left]))
        left -= len(zeros)
    palette = chunk(b"PLTE", bytes(range(256)) * 3) if kind == 3 else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)) + before
            + palette + chunk(b"IDAT", b"".join(packed) + packer.flush()) + chunk(b"IEND", b""))


def progressive_jpeg(scans, size=(64, 64)):
    """Its last scan once more, and once more."""
    content = encoded(Image.new("RGB", size, (9, 99, 199)), "JPEG", progressive=True, quality=90)
    last = content.rindex(b"\xff\xda")
    tail = content[last:-2]
    return content[:-2] + tail * scans + b"\xff\xd9"


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def greedy_directory(tags, size, order="<"):
    """A directory of TIFF whose tags all claim the same *size* bytes."""
    head = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, tags)
    entries = b"".join(struct.pack(order + "HHII", 40000 + number, 7, size, 8) for number in range(tags))
    return head + entries + struct.pack(order + "I", 0)


def tiff(tags, data=b""):
    """:param tags: number -> (kind, values); ``data`` stands at byte 8"""
    formats = {3: "H", 4: "I"}
    extra, entries, place = b"", [], 8 + len(data)
    for number, (kind, values) in sorted(tags.items()):
        content = struct.pack("<%d%s" % (len(values), formats[kind]), *values)
        if len(content) > 4:
            entries.append(struct.pack("<HHII", number, kind, len(values), place + len(extra)))
            extra += content
        else:
            entries.append(struct.pack("<HHI", number, kind, len(values)) + content.ljust(4, b"\0"))
    return (struct.pack("<2sHI", b"II", 42, place + len(extra)) + data + extra + struct.pack("<H", len(entries))
            + b"".join(entries) + b"\0\0\0\0")
