"""A client's model, copied: a worker that dies opens it again, and the client's file may have changed by then.

It comes as an open descriptor, so that the owner reads what the client may read and nothing else.
"""
from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..modelfiles import read_network

__all__ = ["Copy", "copied"]

_LARGEST = 256 << 20  # bytes of a model
_BLOCK = 1 << 20


class Copy:
    """A model in a file without a name, so that an owner that is killed leaves none; it goes with this object."""

    def __init__(self, file: Any, digest: str, size: int) -> None:
        self._file = file
        self.digest = digest  # SHA-256 of the content, in hexadecimal
        self.size = size  # bytes
        self.path = "/proc/%d/fd/%d" % (os.getpid(), file.fileno())

    @property
    def compiled(self) -> bool:
        """Whether it is made for the Edge TPU; False for what is no model."""
        try:
            return read_network(Path(self.path)).compiled
        except ModelError:
            return False


def copied(descriptor: int) -> Copy:
    """A copy of what lies in a client's file, made in blocks: a large one takes no memory here.

    :raises ModelError: if it is no regular file, or empty, or too large, or there is no room for a copy
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= _LARGEST:
        raise ModelError("the model must be a file of 1 byte to %d MB" % (_LARGEST >> 20))
    digest, begin = hashlib.sha256(), 0
    try:
        file = tempfile.TemporaryFile(prefix="coral-classify-")
        while begin < status.st_size:
            block = os.pread(descriptor, min(_BLOCK, status.st_size - begin), begin)
            if not block:
                break
            digest.update(block)
            file.write(block)
            begin += len(block)
        file.flush()
    except OSError as exc:
        raise ModelError("the model could not be copied: %s" % (exc.strerror or exc)) from exc
    return Copy(file, digest.hexdigest(), begin)
