"""A client of shared accelerators, as the owner sees it: its frames, read with mistrust.

Nothing that a client sends makes more than an :class:`EOFError`.  Its tensors lie in memory that it made: they are
mapped only if the memory cannot shrink any more, for whoever reads beyond its end dies of SIGBUS.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..types import TensorSpec
from . import channel
from .tensors import SEALS, Layout, Memory, Place, SharedTensor, mapped

__all__ = ["Guest", "Request"]

_F_GET_SEALS = 1034  # linux/fcntl.h
_MOST_MEMORIES = 16  # each is a descriptor here
_MOST_BYTES = 256 << 20  # that one client may have mapped
_MOST_SLOTS = 4096
Tensors = Tuple["np.ndarray[Any, Any]", ...]


class Request(NamedTuple):
    """What a client wants: an inference, or an answer to something else."""

    number: int
    inputs: Tensors = ()
    into: Optional[Tensors] = None  # places for the outputs; None: they go into the answer
    verb: Optional[str] = None  # None: an inference
    plain: Dict[str, Any] = {}


class Guest:
    """
    :param room: told how many bytes it wants to share, and how many it gives back (negative); whether it may
    :raises EOFError: from every method, when the client is gone or sends what cannot be meant
    """

    def __init__(self, end: socket.socket, room: Callable[[int], bool]) -> None:
        self._wire = channel.Wire(end)
        self._room = room
        self.inputs: Tuple[TensorSpec, ...] = ()
        self.outputs: Tuple[TensorSpec, ...] = ()
        self._memories: Dict[int, Tuple[int, List[Tensors]]] = {}

    def order(self, timeout_s: float) -> Dict[str, Any]:
        """What it wants to have opened."""
        try:
            frame = self._received(timeout_s)
            order = json.loads(frame.payload.decode("ascii"))
            if frame.kind != channel.OPEN or not isinstance(order["description"], dict):
                raise ValueError
        except (socket.timeout, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise EOFError("no order") from exc
        return dict(order)

    def ready(self, device: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        told = {"device": device, "inputs": [channel.spec_to_json(spec) for spec in inputs],
                "outputs": [channel.spec_to_json(spec) for spec in outputs]}
        self._wire.send(channel.READY, 0, json.dumps(told).encode("ascii"))

    def next(self) -> Optional[Request]:
        """Its next request; None: it leaves."""
        while True:
            frame = self._received(None)
            try:
                if frame.kind == channel.QUIT:
                    return None
                if frame.kind == channel.TAKE:
                    self._take(frame)
                elif frame.kind == channel.DROP:
                    self._room(-self._memories.pop(frame.number)[0])
                elif frame.kind == channel.RUN:
                    places = channel.places_from_payload(frame.payload)
                    count = len(self.inputs)
                    inputs = self._tensors(places[:count], self.inputs)
                    into = self._tensors(places[count:], self.outputs) if len(places) > count else None
                    return Request(frame.number, inputs, into)
                elif frame.kind == channel.CALL:
                    asked = json.loads(frame.payload.decode("ascii"))
                    return Request(frame.number, verb=str(asked["verb"]), plain=dict(asked["plain"]))
                else:
                    raise ValueError("unknown frame")
            except (ValueError, KeyError, TypeError, IndexError, OSError, OverflowError, RecursionError,
                    AttributeError, MemoryError, struct.error) as exc:
                raise EOFError("nonsense") from exc

    def done(self, request: Request, answer: Any) -> None:
        """:param answer: outputs, or what the verb gave in plain types"""
        if request.verb is not None:
            payload = json.dumps(answer).encode("ascii")
        else:
            payload = b"" if request.into is not None else channel.outputs_to_payload(answer)
        self._wire.send(channel.DONE, request.number, payload)

    def failed(self, number: int, exc: BaseException) -> None:
        self._wire.send(channel.FAILED, number, channel.error_to_json(exc))

    def close(self) -> None:
        self._wire.close()
        self._memories.clear()  # what it had reserved goes with its connection

    def _received(self, timeout_s: Optional[float]) -> channel.Frame:
        return self._wire.receive(timeout_s)

    def _take(self, frame: channel.Frame) -> None:
        try:
            layout = channel.layout_from_payload(frame.payload)
            specs = tuple((spec.shape, spec.dtype) for spec in layout.specs)
            mine = [tuple((spec.shape, spec.dtype) for spec in each) for each in (self.inputs, self.outputs)]
            if specs not in mine or not 1 <= layout.slots <= _MOST_SLOTS or len(self._memories) >= _MOST_MEMORIES:
                raise ValueError("tensors that the model has not")
            if frame.number in self._memories:
                raise ValueError("the same memory twice")
            if sum(size for size, _ in self._memories.values()) + layout.size > _MOST_BYTES:
                raise ValueError("too much memory")
            if fcntl.fcntl(frame.descriptor, _F_GET_SEALS) & SEALS != SEALS:
                raise ValueError("memory that may shrink")
            if os.fstat(frame.descriptor).st_size < layout.size:
                raise ValueError("memory that is too small")
            if not self._room(layout.size):
                raise ValueError("too much memory for one user")
            memory = Memory.adopted(os.dup(frame.descriptor), layout)
        finally:
            os.close(frame.descriptor)
        self._memories[frame.number] = (layout.size, _shared(memory, layout))

    def _tensors(self, places: Sequence[Place], specs: Sequence[TensorSpec]) -> Tensors:
        if len(places) != len(specs):
            raise ValueError("too few tensors")
        tensors = tuple(self._memories[number][1][slot][position] for number, slot, position in places)
        for tensor, spec in zip(tensors, specs):
            if tensor.shape != spec.shape or tensor.dtype != spec.dtype:
                raise ValueError("tensors that do not fit")
        return tensors


def _shared(memory: Memory, layout: Layout) -> List[Tensors]:
    sets: List[Tensors] = []
    for slot, arrays in enumerate(mapped(memory.descriptor, layout)):
        tensors = []
        for position, array in enumerate(arrays):
            tensor = array.view(SharedTensor)
            tensor.memory, tensor.place = memory, (memory.number, slot, position)
            tensors.append(tensor)
        sets.append(tuple(tensors))
    return sets
