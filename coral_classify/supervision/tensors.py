"""Tensors in memory that worker processes share: filled by one process, read by another, copied by none.

The memory never has a name in a file system, so that no kind of death can leave it behind; it goes with the last
tensor in it.  Knows NumPy and memory, and nothing of sockets, models or devices.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import mmap
import os
import tempfile
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..types import TensorSpec

__all__ = ["SEALS", "Layout", "Memory", "Place", "SharedTensor", "mapped", "shared_if_possible", "shared_sets",
           "size_of"]

_logger = logging.getLogger("coral_classify.supervised")

Place = Tuple[int, int, int]  # of a tensor: number of its memory, slot in it, position in the slot's set

SEALS = 1 | 2 | 4  # F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW (linux/fcntl.h)
_F_ADD_SEALS = 1033
_MFD_CLOEXEC, _MFD_ALLOW_SEALING = 1, 2  # linux/memfd.h
_ALIGNMENT = 64  # bytes: no two tensors share a cache line
_numbers = itertools.count(1)


class Memory:
    """Anonymous memory for *slots* sets of tensors, as the process holds it that made it.

    :param specs: of the tensors of one set; only shapes and dtypes matter
    :raises OSError: if there is not so much of it
    """

    def __init__(self, specs: Sequence[TensorSpec], slots: int) -> None:
        self.number = next(_numbers)  # unique in this process
        self.layout = Layout(tuple(specs), slots)
        self.descriptor = _anonymous()
        size = self.layout.size
        os.ftruncate(self.descriptor, size)
        if hasattr(os, "posix_fallocate"):
            # Else a full /dev/shm would show as SIGBUS at the first picture, not as an error here.
            os.posix_fallocate(self.descriptor, 0, size)
        try:
            # Whoever else maps it need not fear that it shrinks: a touch beyond its end is SIGBUS.
            import fcntl

            fcntl.fcntl(self.descriptor, _F_ADD_SEALS, SEALS)
        except (OSError, ImportError):  # a file, where there is no memfd
            pass

    @classmethod
    def adopted(cls, descriptor: int, layout: "Layout") -> "Memory":
        """Memory that another process made; the descriptor is ours from now on."""
        memory = cls.__new__(cls)
        memory.number, memory.layout, memory.descriptor = next(_numbers), layout, descriptor
        return memory

    def __del__(self) -> None:
        descriptor = getattr(self, "descriptor", -1)
        if descriptor >= 0:
            os.close(descriptor)


class Layout(NamedTuple):
    """How a memory is divided: *slots* sets, one after the other, each of a tensor for each of *specs*."""

    specs: Tuple[TensorSpec, ...]
    slots: int

    @property
    def size(self) -> int:
        """Bytes; never 0, for which there is no memory."""
        return max(_ALIGNMENT, self.slots * sum(_stride(spec) for spec in self.specs))


class SharedTensor(np.ndarray):
    """A tensor in a :class:`Memory`; what is derived from it (a view, a sum) is not."""

    memory: Optional[Memory] = None
    place: Place = (-1, -1, -1)


def shared_sets(specs: Sequence[TensorSpec], count: int) -> "List[Tuple[np.ndarray[Any, Any], ...]]":
    """*count* sets of tensors in a new memory, which lives as long as they do.

    :raises OSError: if there is not so much memory, or no descriptor left
    """
    memory = Memory(specs, count)
    sets: "List[Tuple[np.ndarray[Any, Any], ...]]" = []
    for slot, arrays in enumerate(mapped(memory.descriptor, memory.layout)):
        tensors = []
        for position, array in enumerate(arrays):
            tensor = array.view(SharedTensor)
            tensor.memory, tensor.place = memory, (memory.number, slot, position)
            tensors.append(tensor)
        sets.append(tuple(tensors))
    return sets


def shared_if_possible(specs: Sequence[TensorSpec], count: int) -> "List[Tuple[np.ndarray[Any, Any], ...]]":
    """:func:`shared_sets`; none where there is no such memory: tensors are copied then."""
    try:
        return shared_sets(specs, count)
    except OSError as exc:
        _logger.debug("no memory for %d shared tensors (%s): they are copied", count, exc)
        return []


def mapped(descriptor: int, layout: Layout) -> "List[Tuple[np.ndarray[Any, Any], ...]]":
    """The sets of tensors in a memory; the descriptor stays the caller's and may be closed."""
    content = mmap.mmap(descriptor, layout.size)
    begin = 0
    sets: "List[Tuple[np.ndarray[Any, Any], ...]]" = []
    for _ in range(layout.slots):
        tensors = []
        for spec in layout.specs:
            tensors.append(np.ndarray(spec.shape, spec.dtype, content, begin))
            begin += _stride(spec)
        sets.append(tuple(tensors))
    return sets


def _stride(spec: TensorSpec) -> int:
    return -(-size_of(spec) // _ALIGNMENT) * _ALIGNMENT


def size_of(spec: TensorSpec) -> int:
    """Bytes of one tensor."""
    size = int(spec.dtype.itemsize)
    for extent in spec.shape:
        size *= int(extent)
    return size


def _anonymous() -> int:
    """A descriptor of memory without a name."""
    # On Linux only.  Its pages are not bounded by the size of /dev/shm, which containers keep at 64 MB.  Python has
    # os.memfd_create since 3.8; the C library has had it for longer.
    create = getattr(os, "memfd_create", None)
    try:
        if create is not None:
            return int(create("coral_classify", _MFD_CLOEXEC | _MFD_ALLOW_SEALING))
        descriptor = int(ctypes.CDLL(None).memfd_create(b"coral_classify", _MFD_CLOEXEC | _MFD_ALLOW_SEALING))
        if descriptor >= 0:
            return descriptor
    except (OSError, AttributeError):  # a kernel, a seccomp filter or a C library without it
        pass
    folder = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryFile(prefix="coral_classify-", dir=folder) as file:  # O_TMPFILE: no name
        return os.dup(file.fileno())
