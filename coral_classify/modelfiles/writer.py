"""Writes a ``.tflite`` that differs from another in its end: another output, operators behind it, description,
metadata.

The old file is kept whole behind a new head (root, graph, what changed), so weights and compiled operators are carried
along unread, byte for byte.  Field numbers are those of the public schema ``tensorflow/lite/schema/schema.fbs``.  Knows
no mathematics: what the constants of an appended operator are is the caller's matter.
"""
from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import ModelError
from ..types import TensorSpec
from .archive import attach, split
from .flatbuffer import Table, root
from .flatbuilder import Kept, New, Scalar, Vector, build, vector
from .graph import Graph, read_graph
from .modelfile import TYPES
from .schema import OPERATORS

__all__ = ["Constant", "Layer", "rewrite"]

_METADATA = "TFLITE_METADATA"
_LIMIT = (1 << 31) - (1 << 20)      # bytes; offsets of the format are signed 32-bit numbers

# kind -> version of the operator for float32, uint8, int8: the oldest that takes this type (int8: TF 1.14 to 2.0)
_VERSIONS = {"ADD": (1, 1, 2), "CONV_2D": (1, 1, 3), "DEQUANTIZE": (1, 1, 2), "FULLY_CONNECTED": (1, 1, 4),
             "L2_NORMALIZATION": (1, 1, 2), "MUL": (1, 1, 2), "QUANTIZE": (1, 1, 1), "RESHAPE": (1, 1, 1),
             "SOFTMAX": (1, 1, 2)}


class Constant(NamedTuple):
    """What an operator takes beside the tensor before it: weights, biases, a factor, a shape."""

    values: "np.ndarray[Any, Any]"          # as stored; float32, int32, uint8 or int8
    scales: Tuple[float, ...] = ()          # none: not quantized; several: one for each element of the first axis
    zero_points: Tuple[int, ...] = ()       # as many
    name: str = ""


class Layer(NamedTuple):
    """One operator to be put behind an output."""

    kind: str       # ADD, CONV_2D (steps of 1, no padding), DEQUANTIZE, FULLY_CONNECTED, L2_NORMALIZATION, MUL,
    # QUANTIZE, RESHAPE (its constant: the shape, int32) or SOFTMAX; an engine checks its rules when it loads the file
    output: TensorSpec
    constants: Tuple[Constant, ...] = ()
    name: str = ""                          # of its output
    beta: float = 1.0                       # of SOFTMAX


def rewrite(content: bytes, *, output: Optional[int] = None, layers: Sequence[Layer] = (),
            description: Optional[str] = None, metadata: Optional[Mapping[str, bytes]] = None,
            files: Optional[Mapping[str, bytes]] = None) -> bytes:
    """The bytes of a model like *content*, whose own bytes stand unchanged in it, but for its files.

    :param content: a whole ``.tflite``
    :param output: number of the tensor that is the output, or behind which the layers come; operators that it does not
        need are dropped.  None: the output as it is
    :param layers: operators, each behind the one before
    :param description: None: as it is
    :param metadata: buffers by name (``TFLITE_METADATA``, …) to be added, or put in the place of those of that name;
        a ``TFLITE_METADATA`` that speaks of another output is dropped
    :param files: what stands behind the model, in the place of what stood there; None: as it is
    :raises ModelError: if *content* is damaged, or cannot be extended
    """
    body, old_files = split(content)
    if len(body) > _LIMIT:
        raise ModelError("the model is larger than 2 GB, which cannot be extended")
    model = root(body, b"TFL3")
    if any(table.scalar(1, "uint64") > 1 for table in model.tables(4)):
        raise ModelError("the weights stand outside the FlatBuffer, as in models above 2 GB, which cannot be extended")
    graph = read_graph(body)
    if len(graph.outputs) != 1 and output is None:
        raise ModelError("the model has %d outputs; name the one that is meant" % len(graph.outputs))
    changed = bool(layers) or output not in (None,) + (graph.outputs if len(graph.outputs) == 1 else ())
    buffers: List[Any] = [Kept(table.position) for table in model.tables(4)] or [New({})]
    codes: List[Any] = [Kept(table.position) for table in model.tables(1)]
    fields: Dict[int, Any] = {0: Scalar("uint32", model.scalar(0, "uint32", 3))}
    tables = list(model.tables(2))
    fields[2] = [_subgraph(tables[0], graph, graph.outputs[0] if output is None else output, layers, codes, buffers)
                 if changed else Kept(tables[0].position)]
    fields[2] += [Kept(table.position) for table in tables[1:]]
    entries = _entries(model, metadata or {}, changed, buffers)
    fields.update({1: codes, 4: buffers})
    if description is not None or model.place(3) is not None:
        fields[3] = description if description is not None else _kept(model, 3)
    for number in (5, 7) if not changed else (5,):      # signatures name the outputs
        if model.place(number) is not None:
            fields[number] = _kept(model, number)
    if entries:
        fields[6] = entries
    return attach(build(New(fields), b"TFL3", body), old_files if files is None else files)


def _kept(table: Table, number: int) -> Kept:
    position = table.place(number)
    assert position is not None
    return Kept(position)


def _subgraph(table: Table, graph: Graph, output: int, layers: Sequence[Layer], codes: List[Any],
              buffers: List[Any]) -> New:
    if not 0 <= output < len(graph.tensors):
        raise ModelError("tensor %d is not in the model" % output)
    needed = graph.needed((output,))
    used = set(graph.inputs + (output,))
    for number in needed:
        used.update(graph.operators[number].inputs + graph.operators[number].outputs)
    tensors: List[Any] = [Kept(old.position) if number in used else _forgotten(old)
                          for number, old in enumerate(table.tables(0))]
    old_operators = list(table.tables(3))
    operators: List[Any] = [Kept(old_operators[number].position) for number in needed]
    kind = graph.tensors[output].dtype
    for layer in layers:
        inputs = [output]
        for constant in layer.constants:
            buffers.append(_buffer(constant.values.astype(constant.values.dtype.newbyteorder("<")).tobytes()))
            inputs.append(len(tensors))
            tensors.append(_tensor(constant.name, constant.values.shape, constant.values.dtype, constant.scales,
                                   constant.zero_points, len(buffers) - 1))
        output = len(tensors)
        scale, zero_point = layer.output.quantization
        tensors.append(_tensor(layer.name, layer.output.shape, layer.output.dtype, (scale,) if scale else (),
                               (zero_point,) if scale else (), 0))
        codes.append(_code(layer.kind, kind))
        operators.append(_operator(layer, len(codes) - 1, inputs, output))
        kind = str(layer.output.dtype)
    fields: Dict[int, Any] = {0: tensors, 1: vector("int32", graph.inputs), 2: vector("int32", [output]), 3: operators}
    if table.place(4) is not None:
        fields[4] = _kept(table, 4)
    return New(fields)


def _buffer(content: bytes) -> New:
    return New({0: Vector(len(content), content)})


def _forgotten(table: Table) -> New:
    """A tensor that no operator uses any more: its number stays taken, its weights are let go."""
    fields: Dict[int, Any] = {1: Scalar("int8", table.scalar(1, "int8"))}
    fields.update((number, _kept(table, number)) for number in (0, 3) if table.place(number) is not None)
    return New(fields)


def _tensor(name: str, shape: Sequence[int], dtype: "np.dtype[Any]", scales: Sequence[float],
            zero_points: Sequence[int], buffer: int) -> New:
    kinds = {numpy_name: kind for kind, numpy_name in TYPES.items()}
    fields: Dict[int, Any] = {0: vector("int32", shape), 1: Scalar("int8", kinds[str(dtype)]),
                              2: Scalar("uint32", buffer), 3: name}
    if scales:
        fields[4] = New({2: vector("float32", scales), 3: vector("int64", zero_points)})
    return New(fields)


def _code(kind: str, dtype: str) -> New:
    if kind not in _VERSIONS or dtype not in ("float32", "uint8", "int8"):
        raise ModelError("%s on %s cannot be written; the kinds are %s" % (kind, dtype, ", ".join(sorted(_VERSIONS))))
    number = OPERATORS.index(kind)
    version = _VERSIONS[kind][("float32", "uint8", "int8").index(dtype)]
    # The number stands twice: runtimes before TF 2.4 look at the first place only.
    return New({0: Scalar("int8", min(number, 127)), 2: Scalar("int32", version), 3: Scalar("int32", number)})


def _operator(layer: Layer, code: int, inputs: Sequence[int], output: int) -> New:
    fields: Dict[int, Any] = {0: Scalar("uint32", code), 1: vector("int32", inputs), 2: vector("int32", [output])}
    one = Scalar("int32", 1)
    # kind -> (number in the union BuiltinOptions, its fields); the others have none, or only their defaults
    options: Dict[str, Tuple[int, Dict[int, Any]]] = {
        "CONV_2D": (1, {0: Scalar("int8", 1), 1: one, 2: one}), "FULLY_CONNECTED": (8, {}), "ADD": (11, {}),
        "SOFTMAX": (9, {0: Scalar("float32", layer.beta)}), "L2_NORMALIZATION": (12, {}), "MUL": (21, {}),
        "RESHAPE": (17, {0: vector("int32", layer.output.shape)})}
    if layer.kind in options:
        fields[3], fields[4] = Scalar("uint8", options[layer.kind][0]), New(options[layer.kind][1])
    return New(fields)


def _entries(model: Table, metadata: Mapping[str, bytes], changed: bool, buffers: List[Any]) -> List[Any]:
    """The entries of the model's metadata; what is new gets buffers of its own."""
    gone = set(metadata) | ({_METADATA} if changed else set())
    entries: List[Any] = [Kept(table.position) for table in model.tables(6) if table.string(0) not in gone]
    for name, content in metadata.items():
        buffers.append(_buffer(content))
        entries.append(New({0: name, 1: Scalar("uint32", len(buffers) - 1)}))
    return entries
