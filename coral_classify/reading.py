"""How a file that somebody names is opened, whatever it turns out to be: nothing here waits for a pipe that nobody
holds the other end of, reads a device, or reads without an end.

Knows nothing of what is in the files.
"""
from __future__ import annotations

import errno
import io
import os
import stat
from typing import IO, Any, BinaryIO, Optional, Union

__all__ = ["Unfit", "kind_of", "open_regular", "open_sink", "open_source", "read_all", "read_file", "why"]

_Path = Union[str, "os.PathLike[str]"]
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
          (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)    # Windows has neither
_BINARY = getattr(os, "O_BINARY", 0)


def kind_of(mode: int) -> Optional[str]:
    """What a file is that is no regular one, "a pipe" say; None for a regular one.

    :param mode: ``st_mode`` of its status
    """
    return next((name for is_it, name in _KINDS if is_it(mode)), None)


class Unfit(OSError):
    """A path leads to what cannot be meant; ``strerror`` says what it is, and the next step."""


def _unfit(path: _Path, kind: str, wanted: str = "give a file") -> Unfit:
    return Unfit(errno.EINVAL, "is %s; %s" % (kind, wanted), os.fspath(path))


def open_regular(path: _Path) -> BinaryIO:
    """A file to read, which is a regular one.

    :raises OSError: if it cannot be opened, or is none; its ``strerror`` says what it is
    """
    kind = kind_of(os.stat(path).st_mode)       # before it is opened: that alone makes some devices do something
    if kind is not None:
        raise _unfit(path, kind)
    return _checked(path)


def _checked(path: _Path, pipe: bool = False) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDONLY | _NO_WAIT | _BINARY), "rb", buffering=0 if pipe else -1)
    kind = kind_of(os.fstat(file.fileno()).st_mode)     # it may have been exchanged since it was looked at
    if kind != ("a pipe" if pipe else None):
        file.close()
        raise _unfit(path, kind or "a file", "it was exchanged meanwhile")
    return file


def open_source(path: _Path) -> BinaryIO:
    """A file to read to its end: a regular one, or a pipe that somebody writes to.

    :raises OSError: as :func:`open_regular`; for a pipe that nobody writes to, too
    """
    if not stat.S_ISFIFO(os.stat(path).st_mode):
        return open_regular(path)
    pipe = _checked(path, pipe=True)
    try:
        first = pipe.read(1)
        if first == b"":
            raise _unfit(path, "a pipe that nobody writes to", "start first what writes to it")
        os.set_blocking(pipe.fileno(), True)
    except BaseException:
        pipe.close()
        raise
    return io.BufferedReader(_Begun(first or b"", pipe))


class _Begun(io.RawIOBase):
    """A pipe of which the first byte was read already."""

    def __init__(self, first: bytes, pipe: BinaryIO) -> None:
        self._first = first
        self._pipe = pipe

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> Optional[int]:
        block = self._first or self._pipe.read(len(into)) or b""
        self._first = b""
        into[:len(block)] = block
        return len(block)

    def fileno(self) -> int:
        return self._pipe.fileno()

    def close(self) -> None:
        self._pipe.close()
        super().close()


def why(exc: OSError) -> str:
    """The sentence for a file that cannot be read."""
    return str(exc.strerror) if isinstance(exc, Unfit) else "cannot be read: %s" % (exc.strerror or exc)


def read_all(file: IO[bytes], limit: int) -> bytes:
    """What is left in a file.

    :raises OverflowError: if that is more than *limit* bytes
    """
    blocks, left = [], limit + 1
    while left > 0:
        block = file.read(min(left, 1 << 20))
        if not block:
            break
        blocks.append(block)
        left -= len(block)
    if left <= 0:
        raise OverflowError("has more than %d bytes" % limit)
    return b"".join(blocks)


def read_file(path: _Path, limit: int) -> bytes:
    """The content of a regular file, or of a pipe that somebody writes to.

    :raises OSError: as :func:`open_source`, and if it has more than *limit* bytes
    """
    with open_source(path) as file:
        try:
            return read_all(file, limit)
        except OverflowError as exc:
            raise Unfit(errno.EFBIG, str(exc), os.fspath(path)) from exc


def open_sink(path: _Path, flags: int) -> int:
    """A descriptor to write to; *flags* are those of ``os.open``.

    :raises OSError: if it cannot be written; for a pipe that nobody reads, too
    """
    try:
        handle = os.open(path, os.O_WRONLY | flags | _NO_WAIT | _BINARY, 0o666)
    except OSError as exc:
        if exc.errno == errno.ENXIO:
            raise _unfit(path, "a pipe that nobody reads", "start first what reads it") from exc
        raise
    if _NO_WAIT:
        os.set_blocking(handle, True)
    return handle
