"""Pictures that are worth keeping, in a folder that never takes more than its budget.

Named by time and label; the oldest go first.  What lies in the folder and has no name of ours is left alone.
"""
from __future__ import annotations

import errno
import io
import os
import re
import shutil
import time
from collections import deque
from pathlib import Path
from typing import Any, Deque, Optional, Tuple

from ..errors import CoralClassifyError
from ..writing import whole

__all__ = ["Kept", "bytes_of"]

_OURS = re.compile(r"\d{8}-\d{6}\.\d{3} .*\.jpg$")
_NAME_LIMIT = 60                # characters of a label in a file's name
_SPARE_BYTES = 64 << 20         # that the disk keeps free, whatever the budget says
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def bytes_of(text: str) -> int:
    """A number of bytes as people write it.

    :raises ValueError: if it is none

    >>> bytes_of("500M"), bytes_of("2g")
    (524288000, 2147483648)
    """
    found = re.match(r"(\d+)\s*([KMG]?)B?$", text.strip(), re.IGNORECASE)
    if not found:
        raise ValueError("%r is no number of bytes like 500M" % text)
    return int(found.group(1)) * _UNITS[found.group(2).upper()]


class Kept:
    """A folder of pictures.

    :param budget: bytes that its pictures may take together
    :raises CoralClassifyError: if the folder cannot be made
    """

    def __init__(self, folder: str, budget: int) -> None:
        self.number = 0         # kept so far
        self._folder = folder
        self._budget = budget
        self._files: Deque[Tuple[str, int]] = deque()   # name and bytes, oldest first
        try:
            os.makedirs(folder, exist_ok=True)
            for name in sorted(os.listdir(folder)):     # the names begin with the time
                path = os.path.join(folder, name)
                if _OURS.match(name) and os.path.isfile(path) and not os.path.islink(path):
                    self._files.append((name, os.path.getsize(path)))
        except OSError as exc:
            raise CoralClassifyError("%s: cannot be used: %s" % (folder, exc.strerror or exc)) from exc
        self._bytes = sum(size for _, size in self._files)

    def put(self, picture: Any, label: str, at: float) -> None:
        """Keep one picture, whole or not at all.

        :param picture: (height, width, 3) uint8, or the path of a file
        :param at: seconds since the epoch
        :raises CoralClassifyError: if there is no room for it, or it cannot be written
        """
        stem = "%s.%03d %s" % (time.strftime("%Y%m%d-%H%M%S", time.localtime(at)), int(at * 1000) % 1000,
                               _fit_for_a_name(label))
        try:
            content = _encoded(picture)
            self._make_room(len(content))
            while True:
                try:
                    self._write(stem + ".jpg", content)
                    return
                except OSError as exc:
                    if exc.errno not in (errno.ENOSPC, errno.EDQUOT) or not self._files:
                        raise
                    self._drop_oldest()
        except FileExistsError:
            pass    # one of this millisecond and label is there
        except (OSError, ValueError, SyntaxError) as exc:      # Pillow raises all of them for a torn file
            raise CoralClassifyError("%s: a picture could not be kept: %s"
                                     % (self._folder, getattr(exc, "strerror", None) or exc)) from exc

    def _write(self, name: str, content: bytes) -> None:
        with whole(Path(self._folder) / name, overwrite=False) as file:
            file.write(content)
        self._files.append((name, len(content)))
        self._bytes += len(content)
        self.number += 1

    def _make_room(self, size: int) -> None:
        """:raises OSError: if there is not enough"""
        while self._files and (self._bytes + size > self._budget
                               or shutil.disk_usage(self._folder).free - size < _SPARE_BYTES):
            self._drop_oldest()
        if size > self._budget:
            raise OSError(errno.EFBIG, "one picture takes %d bytes, more than --keep-bytes" % size)
        if shutil.disk_usage(self._folder).free - size < _SPARE_BYTES:
            raise OSError(errno.ENOSPC, "the disk has less than %d MiB left" % (_SPARE_BYTES >> 20))

    def _drop_oldest(self) -> None:
        name, size = self._files.popleft()
        self._bytes -= size
        try:
            os.unlink(os.path.join(self._folder, name))
        except FileNotFoundError:
            pass    # somebody else took it


def _encoded(picture: Any) -> bytes:
    from PIL import Image

    if isinstance(picture, str):
        opened = Image.open(picture).convert("RGB")
    else:
        opened = Image.fromarray(picture)
    file = io.BytesIO()
    opened.save(file, "JPEG", quality=90)
    return file.getvalue()


def _fit_for_a_name(label: Optional[str]) -> str:
    """A label as part of a file's name: no separators, no control characters."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]', "_", label or "").strip(" .")[:_NAME_LIMIT] or "nothing"
