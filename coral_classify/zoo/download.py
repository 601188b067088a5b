"""One file from an address or a folder to its place: resumed, verified, renamed; never wrong bytes under a good name.

The bytes collect in ``.NAME.part`` beside the target, under a lock on the folder.  A transfer that breaks off leaves
that file, and the next one goes on from there if the server allows; since the content is verified as a whole, a part
that belongs to other bytes costs one more transfer and nothing else.
"""
from __future__ import annotations

import contextlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterator, Optional, Union
from urllib.parse import urlsplit

from ..errors import ZooError

__all__ = ["Progress", "bring", "locked"]

# Called with the bytes so far and their expected number (None: unknown).
Progress = Callable[[int, Optional[int]], None]

_BLOCK = 1 << 16
_SIZE_LIMIT = 256 << 20     # bytes; the largest published file has 43 MB
_TIMEOUT = 30               # seconds without a byte
_BY_HAND = "or copy the file into a folder by hand and name that: --from FOLDER"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time changes *folder*; the lock goes with the process, however that ends.

    :raises OSError: if the folder cannot be made or written
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(str(folder / ".lock"), "a+b") as file:
        try:
            import fcntl
        except ImportError:     # Windows
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)    # type: ignore[attr-defined]
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bring(target: Path, source: Union[str, Path], verify: Callable[[BinaryIO], None],
          progress: Optional[Progress] = None) -> None:
    """Bring one file to *target*.  Call it under :func:`locked`.

    :param source: path of a file, or a URL
    :param verify: raises ZooError if the open file has not the right content
    :raises ZooError: unreachable, cut short, wrong bytes, no space, …
    """
    part = target.with_name(".%s.part" % target.name)
    try:
        resumed = _transfer(source, part, progress)
        try:
            _check(part, verify)
        except ZooError:
            part.unlink()
            if not resumed:
                raise
            # The old part belonged to other bytes: once more, from the beginning.
            _transfer(source, part, progress)
            _check(part, verify, discard=True)
        os.chmod(str(part), 0o644)
        os.replace(str(part), str(target))
        _sync_folder(target.parent)
    # urllib's errors are OSErrors; a bad address is a ValueError; what is no HTTP, an error of http.client's.
    except (OSError, ValueError, http.client.HTTPException) as exc:
        if getattr(exc, "errno", None) is not None or isinstance(source, Path):
            # A full disk, say: what was written only takes more room.
            with contextlib.suppress(OSError):
                part.unlink()
        raise ZooError("%s could not be brought from %s: %s; %s"
                       % (target.name, source, _reason(exc), _BY_HAND)) from exc


def _check(part: Path, verify: Callable[[BinaryIO], None], discard: bool = False) -> None:
    try:
        with open(str(part), "rb") as file:
            verify(file)
    except ZooError:
        if discard:
            part.unlink()
        raise


def _transfer(source: Union[str, Path], part: Path, progress: Optional[Progress]) -> bool:
    """Fill *part*; whether it went on from what was there."""
    begun = part.stat().st_size if part.exists() and not isinstance(source, Path) else 0
    with _reading(source, begun) as (stream, start, total):
        with open(str(part), "r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            done = start
            for block in iter(lambda: stream.read(_BLOCK), b""):
                done += len(block)
                if done > _SIZE_LIMIT:
                    raise ValueError("more than %d bytes come; that is not the published file" % _SIZE_LIMIT)
                file.write(block)
                if progress is not None:
                    progress(done, total)
            file.flush()
            os.fsync(file.fileno())
    if total is not None and done < total:
        raise ValueError("it ended after %d of %d bytes; say the same again to go on from there" % (done, total))
    return bool(start)


@contextlib.contextmanager
def _reading(source: Union[str, Path], begun: int) -> "Iterator[Any]":
    """(stream, its first byte's position, the whole length or None)"""
    if isinstance(source, Path):
        with open(str(source), "rb") as file:
            yield file, 0, os.fstat(file.fileno()).st_size
        return
    request = urllib.request.Request(source)
    if begun:
        request.add_header("Range", "bytes=%d-" % begun)
    opener = urllib.request.build_opener(_SameSafety)
    try:
        response = opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as exc:
        if exc.code != 416 or not begun:    # 416: nothing lies beyond what is here
            raise
        response = opener.open(urllib.request.Request(source), timeout=_TIMEOUT)
    with response:
        start = begun if response.status == 206 and _range_start(response) == begun else 0
        if response.status == 206 and not start:
            raise ValueError("the server sent another part than the one asked for")
        length = response.headers.get("Content-Length", "")
        yield response, start, start + int(length) if length.isdigit() else None


def _range_start(response: Any) -> int:
    """The first position of "Content-Range: bytes 100-199/200"; -1 if there is none."""
    digits = response.headers.get("Content-Range", "").partition(" ")[2].partition("-")[0]
    return int(digits) if digits.isdigit() else -1


def _reason(exc: Exception) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return "HTTP %d %s" % (exc.code, exc.reason)
    return str(getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc) or type(exc).__name__


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut."""
    with contextlib.suppress(OSError):      # not on Windows, nor on every file system
        handle = os.open(str(folder), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _SameSafety(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to something weaker."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("it redirects to %s, which is not https" % newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
