"""Frames between a process and its worker."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral_classify import errors
from coral_classify.supervision import channel
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
    assert wires[1].receive(1.0) == (channel.RUN, 2**63, b"body", -1)


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


def test_a_descriptor_arrives_with_its_frame(wires):
    ends = os.pipe()
    wires[0].send(channel.RUN, 1)
    wires[0].send(channel.TAKE, 2, b"body", ends[0])
    wires[0].send(channel.RUN, 3)
    frames = [wires[1].receive(1.0) for _ in range(3)]
    assert [frame.number for frame in frames] == [1, 2, 3] and frames[1].payload == b"body"
    assert frames[0].descriptor == frames[2].descriptor == -1
    os.write(ends[1], b"through the other one")
    assert os.read(frames[1].descriptor, 100) == b"through the other one"
    for descriptor in ends + (frames[1].descriptor,):
        os.close(descriptor)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_places_survive_the_wire(memory, slot):
    for places in ([], [(memory, slot, 0)], [(memory, slot, 0), (memory, 7, slot)]):
        assert channel.places_from_payload(channel.places_to_payload(places)) == places


def test_outputs_survive_the_wire_and_those_of_another_size_are_refused():
    specs = [TensorSpec(shape, np.dtype(dtype), Quantization(0.0, 0))
             for shape, dtype in (((3,), "uint8"), ((1, 2), "float32"), ((), "int64"), ((0, 4), "bool"))]
    outputs = [np.array([1, 2, 255], np.uint8), np.array([[1.5, -2.0]], np.float32), np.array(-7, np.int64),
               np.zeros((0, 4), bool)]
    payload = channel.outputs_to_payload(outputs)
    back = channel.outputs_from_payload(payload, specs)
    assert len(back) == len(outputs)
    for output, other in zip(outputs, back):
        assert other.shape == output.shape and other.dtype == output.dtype and (other == output).all()
        assert other.flags.writeable and other.flags.aligned
    for wrong in (payload[:-4], payload + b"1", b""):
        with pytest.raises(EOFError, match="another size"):
            channel.outputs_from_payload(wrong, specs)


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
