"""Frames and shared memory between a process and its worker."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral_classify import channel, errors
from coral_classify.types import Quantization, TensorSpec


@pytest.fixture
def wires():
    ends = socket.socketpair()
    wires = [channel.Wire(end) for end in ends]
    yield wires
    for wire in wires:
        wire.close()


def test_a_frame_arrives_as_it_was_sent(wires):
    wires[0].send(channel.RUN, 2**63, b"body")
    assert wires[1].receive(1.0) == (channel.RUN, 2**63, b"body")


def test_frames_keep_their_borders(wires):
    for i in range(5):
        wires[0].send(channel.DONE, i, b"x" * i)
    assert [len(wires[1].receive(1.0).payload) for _ in range(5)] == [0, 1, 2, 3, 4]


def test_the_end_of_the_other_side_is_an_eof(wires):
    wires[0].close()
    with pytest.raises(EOFError):
        wires[1].receive(1.0)
    with pytest.raises(EOFError):
        wires[1].send(channel.RUN)


def test_nothing_in_time_is_a_timeout(wires):
    with pytest.raises(socket.timeout):
        wires[1].receive(0.01)


@given(st.binary(min_size=16, max_size=64))
def test_noise_is_never_taken_for_a_long_frame(noise):
    mine, theirs = socket.socketpair()
    try:
        mine.sendall(noise)
        mine.close()
        try:
            frame = channel.Wire(theirs).receive(1.0)
        except EOFError:
            return
        assert channel.OPEN <= frame.kind <= channel.QUIT
        assert len(frame.payload) <= len(noise)
    finally:
        mine.close()
        theirs.close()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_tensors_do_not_overlap_in_shared_memory(dtype):
    descriptor = channel.make_memory()
    try:
        input = TensorSpec((1, 5, 7, 3), np.dtype(dtype), Quantization(0.5, 3))
        output = TensorSpec((1, 1001), np.dtype(dtype), Quantization(0.5, 3))
        theirs = channel.Area(descriptor, input, output, create=True)
        mine = channel.Area(descriptor, input, output, create=False)
        mine.input[...] = 1
        theirs.output[...] = 2
        assert (theirs.input == 1).all() and (mine.output == 2).all() and (mine.input == 1).all()
        mine.close()
        theirs.close()
    finally:
        os.close(descriptor)


def test_memory_has_no_name():
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    descriptor = channel.make_memory()
    after = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    assert not {name for name in after - before if "coral" in name}
    assert os.fstat(descriptor).st_nlink == 0
    os.close(descriptor)


def test_memory_without_memfd(monkeypatch):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    test_memory_has_no_name()


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50))
def test_a_device_error_keeps_its_facts(message, cause, evidence):
    exc = errors.DeviceError(message or "x", cause=cause, evidence=evidence)
    back = channel.error_from_json(channel.error_to_json(exc))
    assert type(back) is errors.DeviceError
    assert (str(back), back.cause, back.evidence) == (str(exc), cause, evidence)


def test_every_error_of_the_package_keeps_its_type():
    for name in errors.__all__:
        exc = getattr(errors, name)("what failed")
        back = channel.error_from_json(channel.error_to_json(exc))
        assert type(back) is type(exc) and str(back) == "what failed"


def test_a_foreign_error_is_named():
    back = channel.error_from_json(channel.error_to_json(ZeroDivisionError("by zero")))
    assert type(back) is errors.EngineError
    assert str(back) == "the worker process reports ZeroDivisionError: by zero"


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.sampled_from(["uint8", "int8", "float32"]),
    st.floats(0, 10),
    st.integers(-128, 255),
)
def test_specs_survive_the_wire(shape, dtype, scale, zero_point):
    spec = TensorSpec(tuple(shape), np.dtype(dtype), Quantization(scale, zero_point))
    assert channel.spec_from_json(channel.spec_to_json(spec)) == spec
