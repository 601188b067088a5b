"""Input tensors in memory that processes share."""

from __future__ import annotations

import gc
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worker_tools import descriptors

from coral_classify.supervision import tensors
from coral_classify.types import Quantization, TensorSpec

pytestmark = pytest.mark.skipif(os.name != "posix", reason="supervised sessions need POSIX processes")


def spec(dtype="uint8"):
    return TensorSpec((1, 5, 7, 3), np.dtype(dtype), Quantization(0.5, 3))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_tensors_do_not_overlap_and_show_on_the_other_side(dtype):
    mine = tensors.shared_sets([spec(dtype)], 4)
    for number, (tensor,) in enumerate(mine):
        tensor[...] = number
    memory = mine[0][0].memory
    theirs = tensors.mapped(memory.descriptor, memory.layout)
    for number, ((here,), (there,)) in enumerate(zip(mine, theirs)):
        assert here.place == (memory.number, number, 0) and here.dtype == there.dtype == np.dtype(dtype)
        assert (here == number).all() and (there == number).all()


@given(st.lists(st.tuples(st.lists(st.integers(0, 4), max_size=4), st.sampled_from(["bool", "int64", "float16"])),
                min_size=1, max_size=5), st.integers(1, 3))
def test_sets_of_any_shapes_and_dtypes_do_not_overlap(kinds, count):
    specs = [TensorSpec(tuple(shape), np.dtype(dtype), Quantization(0.0, 0)) for shape, dtype in kinds]
    mine = tensors.shared_sets(specs, count)
    written = []
    for number, array in enumerate(array for one in mine for array in one):
        array[...] = number % 7
        written.append(np.array(array))
    memory = mine[0][0].memory
    theirs = [array for one in tensors.mapped(memory.descriptor, memory.layout) for array in one]
    assert len(theirs) == len(written) == count * len(specs)
    for here, there in zip(written, theirs):
        assert here.shape == there.shape and here.dtype == there.dtype and (here == there).all()


def test_memory_goes_with_its_last_tensor():
    gc.collect()    # what earlier tests left
    before = descriptors()
    (first,), (second,) = tensors.shared_sets([spec()], 2)
    view = second[0]
    assert descriptors() > before
    del first, second
    gc.collect()
    view[...] = 3   # a view keeps the memory itself, and is no shared tensor
    assert view.memory is None
    del view
    gc.collect()
    assert descriptors() <= before


def test_memory_has_no_name():
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    memory = tensors.Memory([spec()], 1)
    after = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    assert not {name for name in after - before if "coral" in name}
    assert os.fstat(memory.descriptor).st_nlink == 0


def test_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    test_memory_has_no_name()
