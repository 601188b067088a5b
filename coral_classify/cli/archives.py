"""The pictures in an archive, in its order, as ``archive.zip!folder/picture.jpg``; nothing is written to disk.

Trusts nothing that the archive says of itself: every size is a limit for what is read, and no more.
"""
from __future__ import annotations

import io
import os
import stat
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Callable, Iterator, NamedTuple, Optional, Union

from ..errors import ImageError
from ..pictures import EXTENSIONS, HELD_BYTES
from ..reading import open_regular, why

if TYPE_CHECKING:
    import tarfile
    import zipfile

__all__ = ["named", "pictures_in"]

# What is asked of a decompressor at once: bzip2 and LZMA make some ten thousand times as much of what they are given.
_BLOCK = 1 << 12
_HEADER_BYTES = 1 << 20     # between two members of a tar: long names, owners


class _Member(NamedTuple):
    name: str
    size: int                               # unpacked, as the archive says
    kind: Optional[str]                     # what it is instead of a file: "a link"
    open: Callable[[], Optional[IO[bytes]]]


class _Lies(Exception):
    """A member is not what the archive says."""


def named(name: str, content: bytes) -> BinaryIO:
    """An open picture in memory.

    :param name: what results and messages call it
    """
    picture = io.BytesIO(content)
    picture.name = name
    return picture


def pictures_in(name: str) -> Iterator[Union[BinaryIO, ImageError]]:
    """Each picture, or the reason why there is none."""
    found = False
    try:
        with open_regular(name) as file:
            for member in (_zip_members if name.lower().endswith(".zip") else _tar_members)(file):
                if not member.name.lower().endswith(EXTENSIONS) or os.path.basename(member.name).startswith("."):
                    continue
                found = True
                yield _picture("%s!%s" % (name, member.name), member)
    except OSError as exc:
        yield ImageError("archive %s: %s" % (name, why(exc)))
        return
    except Exception as exc:
        yield ImageError("archive %s: cannot be read: %s" % (name, exc or type(exc).__name__))
        return
    if not found:
        yield ImageError("archive %s: holds no pictures" % name)


def _picture(shown: str, member: _Member) -> Union[BinaryIO, ImageError]:
    if member.kind is not None:
        return ImageError("%s: is %s in the archive, and no picture of its own" % (shown, member.kind))
    if member.size > HELD_BYTES:
        return ImageError("%s: has %d bytes unpacked; at most %d are read" % (shown, member.size, HELD_BYTES))
    try:
        file = member.open()
        if file is None:
            return ImageError("%s: has no content" % shown)
        with file:
            return named(shown, _content(file, member.size))
    except Exception as exc:    # zlib, lzma, zipfile and tarfile each have errors of their own
        return ImageError("%s: cannot be unpacked: %s" % (shown, str(exc) or type(exc).__name__))


def _content(file: IO[bytes], size: int) -> bytes:
    blocks, left = [], size
    while left > 0:
        block = file.read(min(left, _BLOCK))
        if not block:
            raise _Lies("it ends after %d of %d bytes" % (size - left, size))
        blocks.append(block)
        left -= len(block)
    if file.read(1):
        raise _Lies("it has more than the %d bytes that the archive says" % size)
    return b"".join(blocks)


def _zip_members(file: BinaryIO) -> Iterator[_Member]:
    import functools
    import zipfile

    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            link = info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16)   # 3: Unix
            # By the entry and not by its name, which may stand there twice.
            yield _Member(info.filename, info.file_size, "a link" if link else None,
                          functools.partial(_opened, archive, info))


def _opened(archive: "zipfile.ZipFile", info: "zipfile.ZipInfo") -> IO[bytes]:
    file: Any = archive.open(info)
    inner = getattr(file, "_decompressor", None)
    if type(inner).__name__ == "BZ2Decompressor":   # a few hundred bytes make gigabytes at one call of zipfile's
        file._decompressor = _Bounded(inner, info.file_size + 1)
    opened: IO[bytes] = file
    return opened


class _Bounded:
    """A decompressor that gives one byte more than the archive says, and no more."""

    def __init__(self, inner: Any, left: int) -> None:
        self._inner = inner
        self._left = left

    @property
    def eof(self) -> bool:
        return self._left <= 0 or bool(self._inner.eof)

    def decompress(self, data: bytes) -> bytes:
        block: bytes = self._inner.decompress(data, max_length=max(0, self._left))
        self._left -= len(block)
        return block


def _tar_members(file: BinaryIO) -> Iterator[_Member]:
    import functools
    import tarfile

    stream, place = _Metered(_unpacked(file)), 0
    stream.left = _HEADER_BYTES
    with tarfile.TarFile(fileobj=stream) as archive:    # type: ignore[arg-type]
        for info in archive:
            archive.members = []        # type: ignore[attr-defined]    # it keeps them all, and we need none
            if archive.offset <= place:     # a negative size leads back, for ever
                raise _Lies("a header leads back to byte %d" % archive.offset)
            place = archive.offset
            kind = _kind(info)
            stream.left = _HEADER_BYTES
            if info.isdir():
                continue
            stream.left = HELD_BYTES + _HEADER_BYTES
            yield _Member(info.name, info.size, kind, functools.partial(archive.extractfile, info))
            stream.left = _HEADER_BYTES


def _kind(info: "tarfile.TarInfo") -> Optional[str]:
    if info.isfile():
        return None
    if info.islnk():
        return "a second name (hard link) of %s" % info.linkname
    return "a link to %s" % info.linkname if info.issym() else "a device or a pipe"


def _unpacked(file: BinaryIO) -> Any:
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.open(file)
    if head.startswith(b"BZh"):
        import bz2

        return bz2.open(file)
    if head in (b"\xfd7zXZ\0", b"\x5d\0\0\x80\0\xff"):
        import lzma

        return lzma.open(file)
    return file


class _Metered:
    """A stream that gives no more than is due: tarfile reads as much as a header asks for."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.left = 0

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self.left:
            raise _Lies("a header asks for %d bytes" % size)
        block: bytes = self._stream.read(size)
        self.left -= len(block)
        return block

    def seek(self, position: int, whence: int = 0) -> int:
        return int(self._stream.seek(position, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        self._stream.close()
