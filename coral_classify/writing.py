"""Files that get their name when they are whole, and never at the cost of somebody else's file.

Bytes collect beside the target under a name that nobody has: made anew (O_EXCL), never through a link (O_NOFOLLOW).
Knows nothing of what is written.
"""
from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Tuple

__all__ = ["MARK", "begun", "created", "named", "sync_folder", "whole"]

MARK = ".coral-classify"        # in the names of files that are not whole yet
_SAFE = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) \
    | getattr(os, "O_NONBLOCK", 0)


def created(target: Path, mode: int = 0o600) -> Tuple[Path, BinaryIO]:
    """A new, empty file beside *target*, open for reading and writing, and its path.

    :raises OSError: if the folder cannot be written
    """
    while True:
        part = target.with_name(".%s%s.%s.part" % (target.name[-100:], MARK, os.urandom(6).hex()))
        try:
            return part, os.fdopen(os.open(str(part), _SAFE | os.O_CREAT | os.O_EXCL, mode), "w+b")
        except FileExistsError:
            continue


def begun(target: Path) -> Tuple[Path, BinaryIO]:
    """The file in which *target* was begun earlier, to go on with it, or a new one.

    What lies at that place and is not a file of this user's alone (a link, a device, one with a second name) is left as
    it is: another name is taken.

    :raises OSError: if the folder cannot be written
    """
    part = named(target)
    try:
        return part, os.fdopen(os.open(str(part), _SAFE | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
    except FileExistsError:
        pass
    try:
        handle = os.open(str(part), _SAFE)
    except OSError:
        return created(target)
    found = os.fstat(handle)
    mine = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and mine:
        return part, os.fdopen(handle, "r+b")
    os.close(handle)
    return created(target)


def named(target: Path) -> Path:
    """Where :func:`begun` begins."""
    return target.with_name(".%s%s.part" % (target.name, MARK))


@contextlib.contextmanager
def whole(target: Path, *, overwrite: bool, like: Optional[str] = None) -> Iterator[BinaryIO]:
    """Write a file, which has its name only after the block: all of it, or nothing.

    :param overwrite: False: not if there is a file of that name by then
    :param like: a file whose times and permissions it gets; None: now, and those of new files
    :raises FileExistsError: if there is one, without *overwrite*
    :raises OSError: if it cannot be written
    """
    part, file = created(target, 0o666)
    try:
        with file:
            yield file
            file.flush()
        if like is not None:
            import shutil

            shutil.copystat(like, str(part))
        named_now = False
        if not overwrite:
            try:
                os.link(str(part), str(target))     # the one way that never replaces
                named_now = True
            except FileExistsError:
                raise
            except OSError:     # a file system without links: FAT, some network drives
                if os.path.lexists(str(target)):
                    raise FileExistsError(17, "is there already", str(target)) from None
        if not named_now:
            os.replace(str(part), str(target))
    finally:
        with contextlib.suppress(OSError):
            os.unlink(str(part))


def sync_folder(folder: Path) -> None:
    """Make new names last through a power cut."""
    with contextlib.suppress(OSError):      # not on Windows, nor on every file system
        handle = os.open(str(folder), os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
