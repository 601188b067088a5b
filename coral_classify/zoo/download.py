"""One file from an address or a folder to its place: resumed, verified, renamed; never wrong bytes under a good name.

The bytes collect in a file beside the target, under a lock on the folder.  A transfer that breaks off leaves that file
if the server said how long it is, and the next one goes on from there if the server allows; since the content is
verified as a whole, a part that belongs to other bytes costs one more transfer and nothing else.
"""
from __future__ import annotations

import contextlib
import errno
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Optional, Union

from ..errors import ZooError
from ..writing import begun, created, named, sync_folder
from .addresses import parted, secrets_of, shown
from .requests import answered

__all__ = ["Progress", "bring"]

# Called with the bytes so far and their expected number (None: unknown).
Progress = Callable[[int, Optional[int]], None]

_BLOCK = 1 << 16
_SIZE_LIMIT = 128 << 20     # bytes; the largest published file has 43 MB
_TIMEOUT = 30               # seconds without a byte
_OPENING = 60               # seconds until the answer begins
_LEAST_RATE = 1000          # bytes a second, …
_WINDOW = 30                # … looked at every so many seconds
_LONGEST = 3600             # seconds for one file
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_BY_HAND = "or copy the file into a folder by hand and name that: --from FOLDER"


def bring(target: Path, source: Union[str, Path], verify: Callable[[BinaryIO], None],
          progress: Optional[Progress] = None) -> None:
    """Bring one file to *target*.  Call it under :func:`zoo.locks.locked`.

    :param source: path of a file, or a URL, which may hold a name and a password
    :param verify: raises ZooError if the open file has not the right content
    :raises ZooError: unreachable, too slow, cut short, wrong bytes, no space, …
    """
    part, file = None, None
    try:
        part, file = begun(target) if isinstance(source, str) else created(target)
        with file:
            resumed = _transfer(source, file, progress)
            try:
                _check(file, verify)
            except ZooError:
                if not resumed:
                    raise
                # The old part belonged to other bytes: once more, from the beginning.
                file.truncate(0)
                _transfer(source, file, progress)
                _check(file, verify)
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o644)
        os.replace(str(part), str(target))
        sync_folder(target.parent)
    except _Broken as exc:
        if part is not None and part != named(target):
            _remove(part)       # nobody would find it again
        raise _failed(target, source, exc) from exc
    except ZooError:
        _remove(part)
        raise
    # urllib's errors are OSErrors; a bad address is a ValueError; what is no HTTP, an error of http.client's.
    except (OSError, ValueError, http.client.HTTPException) as exc:
        _remove(part)
        raise _failed(target, source, exc) from exc
    except BaseException:
        if part is not None and part != named(target):
            _remove(part)
        raise


class _Broken(Exception):
    """A transfer that ended too early, and can be gone on with."""


def _remove(part: Optional[Path]) -> None:
    if part is not None:
        with contextlib.suppress(OSError):
            part.unlink()


def _failed(target: Path, source: Union[str, Path], exc: Exception) -> ZooError:
    text = "%s could not be brought from %s: %s; %s" % (target.name, shown(source), _reason(exc), _BY_HAND)
    for secret in secrets_of(source) if isinstance(source, str) else ():
        text = text.replace(secret, "***")
    return ZooError(text)


def _check(file: BinaryIO, verify: Callable[[BinaryIO], None]) -> None:
    file.seek(0)
    verify(file)


def _transfer(source: Union[str, Path], file: BinaryIO, progress: Optional[Progress]) -> bool:
    """Fill *file*; whether it went on from what was there.

    :raises _Broken: if it ended too early, and the next one can go on
    """
    there = file.seek(0, os.SEEK_END) if not isinstance(source, Path) else 0
    with _reading(source, there) as (stream, start, total):
        if total is not None and total > _SIZE_LIMIT:
            raise ValueError("more than %d bytes come (%d); that is not the published file" % (_SIZE_LIMIT, total))
        file.seek(start)
        file.truncate()
        done = start
        pace = _Pace()
        try:
            # As much as is there, and not all of a block: a slow server is to be noticed.
            for block in iter(lambda: stream.read1(_BLOCK), b""):
                done += len(block)
                if done > _SIZE_LIMIT:
                    raise ValueError("more than %d bytes come; that is not the published file" % _SIZE_LIMIT)
                file.write(block)
                if progress is not None:
                    progress(done, total)
                if isinstance(source, str):
                    pace.passed(len(block))
        except (OSError, http.client.HTTPException) as exc:
            if total is None or getattr(exc, "errno", None) in _NO_ROOM:
                raise
            raise _Broken("%s after %d of %d bytes; say the same again to go on from there"
                          % (_reason(exc), done, total)) from exc
        finally:
            file.flush()
        os.fsync(file.fileno())
    if total is not None and done < total:
        raise _Broken("it ended after %d of %d bytes; say the same again to go on from there" % (done, total))
    return bool(start)


class _Pace:
    """Whether a transfer is worth waiting for."""

    def __init__(self) -> None:
        self._began = self._since = time.monotonic()
        self._bytes = 0

    def passed(self, count: int) -> None:
        """:raises OSError: if too little came in a while, or the whole takes too long"""
        now = time.monotonic()
        self._bytes += count
        if now - self._began > _LONGEST:
            raise OSError("it takes more than %d s" % _LONGEST)
        if now - self._since > _WINDOW:
            if self._bytes < _LEAST_RATE * _WINDOW:
                raise OSError("it is too slow (%d bytes in %.0f s)" % (self._bytes, now - self._since))
            self._since, self._bytes = now, 0


@contextlib.contextmanager
def _reading(source: Union[str, Path], begun: int) -> "Iterator[Any]":
    """(stream, its first byte's position, the whole length or None)"""
    if isinstance(source, Path):
        with open(str(source), "rb") as file:
            yield file, 0, os.fstat(file.fileno()).st_size
        return
    address, authorization = parted(source)

    def asked(position: int) -> Any:
        request = urllib.request.Request(address)
        if authorization:
            request.add_unredirected_header("Authorization", authorization)     # for no other server's eyes
        if position:
            request.add_header("Range", "bytes=%d-" % position)
        return answered(request, _TIMEOUT, _OPENING)

    try:
        response = asked(begun)
    except urllib.error.HTTPError as exc:
        if exc.code != 416 or not begun:    # 416: nothing lies beyond what is here
            raise
        response = asked(0)
    with response:
        status = getattr(response, "status", None) or 200
        start = begun if status == 206 and _range_start(response) == begun else 0
        if status == 206 and not start:
            raise ValueError("the server sent another part than the one asked for")
        length = response.headers.get("Content-Length", "")
        yield response, start, start + int(length) if length.isdigit() and len(length) < 20 else None


def _range_start(response: Any) -> int:
    """The first position of "Content-Range: bytes 100-199/200"; -1 if there is none."""
    digits = response.headers.get("Content-Range", "").partition(" ")[2].partition("-")[0]
    return int(digits) if digits.isdigit() else -1


def _reason(exc: Exception) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return "HTTP %d %s" % (exc.code, exc.reason)
    return str(getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc) or type(exc).__name__
