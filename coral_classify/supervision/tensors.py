"""Input tensors in memory that worker processes share: filled by one process, read by another, copied by none.

The memory never has a name in a file system, so that no kind of death can leave it behind; it goes with the last
tensor in it.  Knows NumPy and memory, and nothing of sockets, models or devices.
"""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
from typing import Any, List, Optional

import numpy as np

from ..types import TensorSpec

__all__ = ["Memory", "SharedTensor", "mapped", "shared_tensors"]

_ALIGNMENT = 64  # bytes: no two tensors share a cache line
_numbers = itertools.count(1)


class Memory:
    """Anonymous memory for *slots* tensors, as the process holds it that made it.

    :raises OSError: if there is not so much of it
    """

    def __init__(self, spec: TensorSpec, slots: int) -> None:
        self.number = next(_numbers)  # unique in this process
        self.slots = slots
        self.descriptor = _anonymous()
        size = slots * _stride(spec)
        os.ftruncate(self.descriptor, size)
        if hasattr(os, "posix_fallocate"):
            # Else a full /dev/shm would show as SIGBUS at the first picture, not as an error here.
            os.posix_fallocate(self.descriptor, 0, size)

    def __del__(self) -> None:
        descriptor = getattr(self, "descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)


class SharedTensor(np.ndarray):
    """A tensor in a :class:`Memory`; what is derived from it (a view, a sum) is not."""

    memory: Optional[Memory] = None
    slot = -1


def shared_tensors(spec: TensorSpec, count: int) -> "List[np.ndarray[Any, Any]]":
    """*count* tensors in a new memory, which lives as long as they do.

    :raises OSError: if there is not so much memory, or no descriptor left
    """
    memory = Memory(spec, count)
    tensors: "List[np.ndarray[Any, Any]]" = []
    for slot, array in enumerate(mapped(memory.descriptor, spec, count)):
        tensor = array.view(SharedTensor)
        tensor.memory, tensor.slot = memory, slot
        tensors.append(tensor)
    return tensors


def mapped(descriptor: int, spec: TensorSpec, slots: int) -> "List[np.ndarray[Any, Any]]":
    """The tensors in a memory; the descriptor stays the caller's and may be closed."""
    stride = _stride(spec)
    content = mmap.mmap(descriptor, slots * stride)
    return [np.ndarray(spec.shape, spec.dtype, content, slot * stride) for slot in range(slots)]


def _stride(spec: TensorSpec) -> int:
    size = int(spec.dtype.itemsize)
    for extent in spec.shape:
        size *= int(extent)
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _anonymous() -> int:
    """A descriptor of memory without a name."""
    # os.memfd_create came with Python 3.8 and exists on Linux only.  Its pages are not bounded by the size
    # of /dev/shm, which containers keep at 64 MB.
    create = getattr(os, "memfd_create", None)
    if create is not None:
        try:
            return int(create("coral_classify"))
        except OSError:  # a kernel or a seccomp filter without it
            pass
    folder = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(prefix="coral_classify-", dir=folder) as file:  # O_TMPFILE: no name
        return os.dup(file.fileno())
