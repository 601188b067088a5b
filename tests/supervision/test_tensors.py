"""Input tensors in memory that processes share."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from worker_tools import descriptors

from coral_classify.supervision import tensors
from coral_classify.types import Quantization, TensorSpec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


def spec(dtype="uint8"):
    return TensorSpec((1, 5, 7, 3), np.dtype(dtype), Quantization(0.5, 3))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_tensors_do_not_overlap_and_show_on_the_other_side(dtype):
    mine = tensors.shared_tensors(spec(dtype), 4)
    for number, tensor in enumerate(mine):
        tensor[...] = number
    theirs = tensors.mapped(mine[0].memory.descriptor, spec(dtype), 4)
    for number, (here, there) in enumerate(zip(mine, theirs)):
        assert here.slot == number and here.dtype == there.dtype == np.dtype(dtype)
        assert (here == number).all() and (there == number).all()


def test_memory_goes_with_its_last_tensor():
    gc.collect()    # what earlier tests left
    before = descriptors()
    first, second = tensors.shared_tensors(spec(), 2)
    view = second[0]
    assert descriptors() > before
    del first, second
    gc.collect()
    view[...] = 3   # a view keeps the memory itself, and is no shared tensor
    assert view.memory is None
    del view
    gc.collect()
    assert descriptors() == before


def test_memory_has_no_name():
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    memory = tensors.Memory(spec(), 1)
    after = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    assert not {name for name in after - before if "coral" in name}
    assert os.fstat(memory.descriptor).st_nlink == 0


def test_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    test_memory_has_no_name()
