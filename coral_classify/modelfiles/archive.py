"""The files that a ``.tflite`` carries behind its FlatBuffer, as TFLite metadata does it: an uncompressed zip.

Knows nothing of what the files mean.
"""
from __future__ import annotations

import io
import zipfile
from typing import Dict, Mapping, Tuple

from ..reading import read_all

__all__ = ["attach", "split"]

_LIMIT = 1 << 28        # bytes of all files together, against zip bombs
_DATE = (1980, 1, 1, 0, 0, 0)       # the same content gives the same bytes


def split(content: bytes) -> Tuple[bytes, Dict[str, bytes]]:
    """The model without its files, and the files by name; a damaged zip counts as part of the model."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if not entries or sum(entry.file_size for entry in entries) > _LIMIT:
                return content, {}
            start = min(entry.header_offset for entry in entries)
            return content[:start], {entry.filename: _content(archive, entry) for entry in entries}
    except Exception:       # zipfile's, zlib's and struct's errors, EOFError and more
        return content, {}


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:       # piece by piece: what it says of its size need not be true
        return read_all(file, entry.file_size)


def attach(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """*content* (without files) with these behind it."""
    if not files:
        return content
    together = io.BytesIO(content)
    with zipfile.ZipFile(together, "a", zipfile.ZIP_STORED) as archive:
        for name, file in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), file)
    return together.getvalue()
