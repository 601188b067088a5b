"""What a ``.tflite`` computes: its tensors with their constants, its operators, and which gives what to which.

Reads bytes; needs no engine.  Only the first subgraph, which is the whole model of every image classifier.
"""
from __future__ import annotations

from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np

from ..errors import ModelError
from ..types import Quantization, TensorSpec
from .flatbuffer import Table, root
from .modelfile import TYPES
from .schema import CUSTOM, operator_name

__all__ = ["Graph", "Operator", "Tensor", "constant", "description_of", "read_graph"]


class Tensor(NamedTuple):
    """One tensor of the graph."""

    name: str
    shape: Tuple[int, ...]
    dtype: str                      # NumPy name, or "type N"
    scales: Tuple[float, ...]       # none: not quantized; several: one per channel
    zero_points: Tuple[int, ...]
    buffer: int                     # number of the buffer that holds its constant; 0: computed

    @property
    def spec(self) -> TensorSpec:
        """:raises ModelError: if NumPy has no such type"""
        if self.dtype not in TYPES.values():
            raise ModelError("tensor %s has TFLite %s, which is no number" % (self.name, self.dtype))
        return TensorSpec(self.shape, np.dtype(self.dtype), Quantization(
            self.scales[0] if self.scales else 0.0, self.zero_points[0] if self.zero_points else 0))


class Operator(NamedTuple):
    """One step of the computation."""

    kind: str                       # "CONV_2D", …, or the name of a custom operator
    inputs: Tuple[int, ...]         # numbers of tensors; -1: left out
    outputs: Tuple[int, ...]


class Graph(NamedTuple):
    """The computation, in its order."""

    tensors: Tuple[Tensor, ...]
    operators: Tuple[Operator, ...]
    inputs: Tuple[int, ...]         # numbers of tensors
    outputs: Tuple[int, ...]

    def producer(self, tensor: int) -> Optional[Operator]:
        """The operator that computes a tensor; None for an input or a constant."""
        return next((operator for operator in self.operators if tensor in operator.outputs), None)

    def needed(self, outputs: Tuple[int, ...]) -> Tuple[int, ...]:
        """The numbers of the operators without which *outputs* (tensors) cannot be computed, in their order."""
        wanted, kept = set(outputs), []
        for number in range(len(self.operators) - 1, -1, -1):
            if wanted.intersection(self.operators[number].outputs):
                wanted.update(self.operators[number].inputs)
                kept.append(number)
        return tuple(reversed(kept))


def read_graph(content: bytes) -> Graph:
    """:param content: a whole file

    :raises ModelError: if it is damaged, or no ``.tflite``
    """
    model = root(content, b"TFL3")
    graphs = list(model.tables(2))
    if not graphs:
        raise ModelError("holds no graph; it is truncated or damaged")
    names = [_kind(code) for code in model.tables(1)]
    tensors = tuple(_tensor(table) for table in graphs[0].tables(0))
    operators = []
    for table in graphs[0].tables(3):
        code = table.scalar(0, "uint32")
        inputs, outputs = (tuple(table.numbers(number, "int32")) for number in (1, 2))
        if code >= len(names) or max(inputs + outputs, default=0) >= len(tensors):
            raise ModelError("names an operator or a tensor that it does not hold; it is truncated or damaged")
        operators.append(Operator(names[code], inputs, outputs))
    ends = [tuple(graphs[0].numbers(number, "int32")) for number in (1, 2)]
    if any(not 0 <= number < len(tensors) for number in ends[0] + ends[1]):
        raise ModelError("names a tensor that it does not hold; it is truncated or damaged")
    return Graph(tensors, tuple(operators), ends[0], ends[1])


def _kind(code: Table) -> str:
    # Newer files keep the number in another field, where it may be larger than 127.
    number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
    return (code.string(1) or "custom") if number == CUSTOM else operator_name(number)


def _tensor(table: Table) -> Tensor:
    kind = table.scalar(1, "int8")
    quantization = table.table(4)
    return Tensor(
        name=table.string(3) or "", shape=tuple(table.numbers(0, "int32")), dtype=TYPES.get(kind, "type %d" % kind),
        scales=tuple(quantization.numbers(2, "float32")) if quantization else (),
        zero_points=tuple(quantization.numbers(3, "int64")) if quantization else (),
        buffer=table.scalar(2, "uint32"))


def constant(content: bytes, tensor: Tensor) -> "np.ndarray[Any, Any]":
    """The stored values of a constant tensor, in its shape.

    :raises ModelError: if the file holds none for it, or fewer than its shape says
    """
    buffers: List[Table] = list(root(content, b"TFL3").tables(4))
    start, length = buffers[tensor.buffer].span(0) if tensor.buffer < len(buffers) else (-1, 0)
    dtype = tensor.spec.dtype.newbyteorder("<")
    elements = int(np.prod(tensor.shape, dtype=np.int64))
    if start < 0 or length != elements * dtype.itemsize:
        raise ModelError("tensor %s is no constant of %d elements" % (tensor.name, elements))
    return np.frombuffer(content, dtype, elements, start).reshape(tensor.shape)


def description_of(content: bytes) -> str:
    """The text that a model says of itself; empty where it says none.

    :raises ModelError: if it is damaged, or no ``.tflite``
    """
    return root(content, b"TFL3").string(3) or ""
