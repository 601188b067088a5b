"""Pictures out of a binary resource file of Qt (``.rcc``, format versions 1 to 3)."""
from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Iterator, Tuple

_COMPRESSED, _FOLDER = 1, 2     # flags of a node


def resources(file: Path) -> Iterator[Tuple[str, bytes]]:
    """Path inside and content of each resource.  :raises ValueError: if it is not such a file"""
    content = file.read_bytes()
    if content[:4] != b"qres":
        raise ValueError("%s is not a resource file of Qt" % file)
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    size = 14 if version < 2 else 22

    def walk(number: int, folder: str) -> Iterator[Tuple[str, bytes]]:
        name, flags, first, second = struct.unpack_from(">IHII", content, tree + number * size)
        length, = struct.unpack_from(">H", content, names + name)
        path = folder + content[names + name + 6:][:2 * length].decode("utf-16-be") if number else ""
        if flags & _FOLDER:     # first: how many children; second: the first of them
            for child in range(second, second + first):
                yield from walk(child, path + "/" if number else "")
        else:                   # second: where the content is
            length, = struct.unpack_from(">I", content, data + second)
            stored = content[data + second + 4:][:length]
            yield path, zlib.decompress(stored[4:]) if flags & _COMPRESSED else stored

    yield from walk(0, "")
