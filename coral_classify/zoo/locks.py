"""Only one process at a time changes a folder; who waits says for whom, and does not wait for the dead."""
from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator

__all__ = ["locked"]

_log = logging.getLogger("coral_classify")

_LOOK_S = 0.1       # how often a waiting process looks
_DEAD_S = 1.0       # how long a lock may outlive its process: it goes with it, unless a child has inherited it
_QUIET_S = 0.5      # a wait shorter than this is not told


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process at a time changes *folder*; the lock goes with the process, however that ends.

    :raises OSError: if the folder cannot be made or written
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    began, told, dead_since = time.monotonic(), False, 0.0
    while True:
        file = os.fdopen(os.open(str(path), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b")
        try:
            if _taken(file):
                if not _is(file, path):     # somebody put another file in its place
                    continue
                _sign(file)
                yield
                return
            now = time.monotonic()
            holder = _holder(path)
            if not told and now - began > _QUIET_S:
                told = True
                _log.warning("waiting for %s, which changes %s; if it never ends, end it", _named(holder), folder)
            if not _is_dead(holder):
                dead_since = 0.0
            elif not dead_since:
                dead_since = now
            elif now - dead_since > _DEAD_S and _is(file, path):
                _log.warning("%s has ended without giving up %s; going on", _named(holder), folder)
                path.unlink()
                dead_since = 0.0
                continue
        finally:
            file.close()
        time.sleep(_LOOK_S)


def _taken(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:     # Windows
        import msvcrt

        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)   # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(str(path)))
    except FileNotFoundError:
        return False


def _sign(file: BinaryIO) -> None:
    """Write who has it; not on Windows, where the lock forbids reading it."""
    if os.name == "nt":
        return
    said = {"process": os.getpid(), "world": _world(), "program": os.path.basename(sys.argv[0] or "") or "python"}
    with contextlib.suppress(OSError):      # a full disk: nobody is told, and that is all
        file.seek(0)
        file.truncate()
        file.write(json.dumps(said).encode("ascii"))
        file.flush()


def _holder(path: Path) -> Dict[str, Any]:
    """Who says to have it; {} if that cannot be read."""
    try:
        with open(str(path), "rb") as file:
            said = json.loads(file.read(1000).decode("ascii"))
        return said if isinstance(said, dict) and type(said.get("process")) is int else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _named(holder: Dict[str, Any]) -> str:
    return "process %d (%s)" % (holder["process"], holder.get("program")) if holder else "another process"


def _is_dead(holder: Dict[str, Any]) -> bool:
    """Whether it is known to have ended.  Of one in another container nothing is known."""
    if not holder or holder.get("world") != _world() or holder["process"] <= 0:
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _world() -> str:
    """Where process numbers mean the same: this machine, since it was started, and this container."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return "%s %s" % (file.read().strip(), os.readlink("/proc/self/ns/pid"))
    except OSError:
        import platform

        return platform.node()
