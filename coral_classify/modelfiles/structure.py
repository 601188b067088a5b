"""Whether a ``.tflite`` is put together so that an engine can follow it: what crashes engines, told as what it is.

The engines trust a file: of one that is damaged, or made to harm, they may die instead of saying so.  Knows the schema
and what holds between its parts; nothing of what an operator computes.
"""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Set, Tuple

from ..errors import ModelError
from . import operands
from .flatbuffer import Table, verify
from .operands import Operand
from .schema import CUSTOM, LAYOUTS, operator_name

__all__ = ["check"]

# Bits of an element, by TensorType; strings, resources and variants have no fixed size.
_BITS = {0: 32, 1: 16, 2: 32, 3: 8, 4: 64, 6: 8, 7: 16, 8: 64, 9: 8, 10: 64, 11: 128, 12: 64, 15: 32, 16: 16, 17: 4,
         18: 16, 19: 2, 20: 4, 21: 8, 22: 8}
_ELEMENTS = 1 << 31         # of a tensor; the engines count in 32 bits here and there
_NUMBERS = 1 << 20          # bytes of a constant that is looked at: sizes and axes, not weights
_SCALE = 1e20               # no quantization has steps of that size
_GRAPHS = 1000              # no image classifier comes near
# Operators with inputs that may be left out (-1), and from which on.
_OPTIONAL = {"FULLY_CONNECTED": 2, "CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "CONV_3D": 2, "TRANSPOSE_CONV": 3,
             "CONV_3D_TRANSPOSE": 3, "LSTM": 1, "UNIDIRECTIONAL_SEQUENCE_LSTM": 1, "BIDIRECTIONAL_SEQUENCE_LSTM": 1,
             "BIDIRECTIONAL_SEQUENCE_RNN": 1, "SVDF": 3, "RNN": 3, "UNIDIRECTIONAL_SEQUENCE_RNN": 3}
# Operators that run other graphs of the file: (the union of their options, the fields that name them).
_CALLS = {"CALL": (4, (0,)), "IF": (4, (0, 1)), "WHILE": (4, (0, 1)), "CALL_ONCE": (4, (0,)),
          "STABLEHLO_WHILE": (12, (0, 1)), "STABLEHLO_COMPOSITE": (12, (1,))}


class _Tensor(NamedTuple):
    operand: Operand
    constant: bool
    given: bool         # has a value before any operator ran


def check(model: Table, buffer: Any) -> None:
    """Check the whole file.

    :param model: its root
    :raises ModelError: if an engine would leave the file, a tensor, or the order of the operators
    """
    verify(buffer, LAYOUTS, "Model")
    spans = [_span(data, len(buffer)) for data in model.tables(4)]
    codes = [_name(code) for code in model.tables(1)]
    if model.count(2) > _GRAPHS:
        raise ModelError("holds %d graphs; it is damaged" % model.count(2))
    graphs = list(model.tables(2))
    calls: List[Set[int]] = []
    done: Dict[int, Set[int]] = {}
    for graph in graphs:
        if graph.position not in done:
            done[graph.position] = _graph(graph, codes, spans, buffer)
        calls.append(done[graph.position])
    _check_calls(calls)


def _span(data: Table, size: int) -> Tuple[int, int]:
    """(start, length) of a buffer.  It may lie behind the FlatBuffer (files above 2 GB), and must be in the file."""
    start, length = data.scalar(1, "uint64"), data.scalar(2, "uint64")
    if start <= 1:
        start, length = data.span(0)
    if start + length > size:
        raise ModelError("a weight buffer runs past the end of the file (%d bytes): it is truncated" % size)
    return start, length


def _name(code: Table) -> str:
    number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
    if number != CUSTOM:
        return operator_name(number)
    name = code.string(1)
    if name is None:
        raise ModelError("an operator has no name; the file is damaged")
    return name


def _graph(graph: Table, codes: Sequence[str], spans: Sequence[Tuple[int, int]], file: Any) -> Set[int]:
    """Check one graph; the numbers of the graphs that it calls."""
    tensors = [_tensor(number, table, spans, file) for number, table in enumerate(graph.tables(0))]
    inputs, outputs = graph.numbers(1, "int32"), graph.numbers(2, "int32")
    for number in inputs + outputs:
        _check_number(number, tensors, "the graph")
    known = {number for number, tensor in enumerate(tensors) if tensor.given} | set(inputs)
    if any(tensors[number].constant for number in inputs):
        raise ModelError("an input of the graph is a constant; the file is damaged")
    written = set(inputs)
    calls: Set[int] = set()
    for place, operator in enumerate(graph.tables(3)):
        code = operator.scalar(0, "uint32")
        if code >= len(codes):
            raise ModelError("names an operator that it does not hold; it is truncated or damaged")
        who = "operator %d (%s)" % (place, codes[code])
        for position, number in enumerate(operator.numbers(1, "int32")):
            if number == -1 and position >= _OPTIONAL.get(codes[code], 1 if _is_custom(codes[code]) else 1 << 31):
                continue
            _check_number(number, tensors, who)
            if number not in known:
                raise ModelError("%s takes tensor %d before anything gave it a value; the file is damaged"
                                 % (who, number))
        for number in operator.numbers(2, "int32"):
            _check_number(number, tensors, who)
            if number in written or tensors[number].constant:
                raise ModelError("%s writes tensor %d, which is not its own; the file is damaged" % (who, number))
            written.add(number)
            known.add(number)
        for number in operator.numbers(8, "int32"):
            _check_number(number, tensors, who)
        operands.check(who, codes[code], operator,
                       [tensors[n].operand if n >= 0 else None for n in operator.numbers(1, "int32")],
                       [tensors[n].operand for n in operator.numbers(2, "int32")])
        calls |= _called(codes[code], operator)
    for number in outputs:
        if number not in known:
            raise ModelError("nothing gives output tensor %d a value; the file is damaged" % number)
    _check_use(graph, codes, outputs)
    return calls


def _check_use(graph: Table, codes: Sequence[str], outputs: Sequence[int]) -> None:
    """An operator works for another, or for the graph: converters leave no idle one, and XNNPACK in tflite-runtime 2.11
    crashes over it."""
    taken = set(outputs).union(*(operator.numbers(1, "int32") for operator in graph.tables(3)))
    for place, operator in enumerate(graph.tables(3)):
        name = codes[operator.scalar(0, "uint32")]
        if operands.is_known(name) and not taken.intersection(operator.numbers(2, "int32")):
            raise ModelError("nothing takes what operator %d (%s) gives; the file is damaged" % (place, name))


def _is_custom(name: str) -> bool:
    return not name.isupper()


def _tensor(number: int, table: Table, spans: Sequence[Tuple[int, int]], file: Any) -> _Tensor:
    place = table.scalar(2, "uint32")
    if place and place >= len(spans):       # 0 is the empty one, whether the file holds it or not
        raise ModelError("tensor %d names a buffer that the file does not hold; it is truncated or damaged" % number)
    shape, kind = table.numbers(0, "int32"), table.scalar(1, "int8")
    elements = 1
    for n in shape:
        if n < 0:
            raise ModelError("tensor %d has the impossible shape %s" % (number, shape))
        elements = min(elements * n, _ELEMENTS)
    if not elements and len(shape) > 1:
        raise ModelError("tensor %d has the empty shape %s; the file is damaged" % (number, shape))
    if elements >= _ELEMENTS:
        raise ModelError("tensor %d has the shape %s, which no device can hold" % (number, shape))
    if table.table(6) is not None:
        raise ModelError("tensor %d is sparse, which is not supported; convert the model without sparsity" % number)
    signature = table.numbers(7, "int32")
    if signature and len(signature) != len(shape):
        raise ModelError("tensor %d has two shapes, %s and %s; the file is damaged" % (number, shape, signature))
    start, size = spans[place] if place else (0, 0)
    bits = _BITS.get(kind)
    if size and bits and (elements * bits + 7) // 8 != size:
        raise ModelError("tensor %d has the shape %s, but %d bytes; the file is damaged" % (number, shape, size))
    scales = _scales(number, table, shape)
    whole = bytes(file[start:start + size]) if size and kind in (2, 4) and size <= _NUMBERS else None
    return _Tensor(Operand(shape, kind, scales, -1 not in signature, whole), bool(size),
                   bool(size) or not elements or bool(table.scalar(5, "uint8")))


def _scales(number: int, table: Table, shape: Sequence[int]) -> Tuple[float, ...]:
    """The smallest and the largest scale; () without quantization, or with one of another kind."""
    quantization = table.table(4)
    if quantization is None or quantization.scalar(4, "uint8"):
        return ()
    scales, zero_points = quantization.numbers(2, "float32"), quantization.count(3)
    channel = quantization.scalar(6, "int32")
    if not scales:
        return ()
    if zero_points not in (0, 1, len(scales)):
        raise ModelError("tensor %d has %d scales and %d zero points; the file is damaged"
                         % (number, len(scales), zero_points))
    if len(scales) > 1 and (not 0 <= channel < len(shape) or shape[channel] != len(scales)):
        raise ModelError("tensor %d has %d scales for the shape %s; the file is damaged"
                         % (number, len(scales), shape))
    if not all(0.0 <= scale < _SCALE for scale in scales):
        raise ModelError("tensor %d has an impossible scale; the file is damaged" % number)
    return min(scales), max(scales)


def _check_number(number: int, tensors: Sequence[_Tensor], who: str) -> None:
    if not 0 <= number < len(tensors):
        raise ModelError("%s names tensor %d of %d; the file is truncated or damaged" % (who, number, len(tensors)))


def _called(name: str, operator: Table) -> Set[int]:
    if name not in _CALLS:
        return set()
    union, fields = _CALLS[name]
    options = operator.table(union)
    return {options.scalar(field, "int32") for field in fields} if options else set()


def _check_calls(calls: Sequence[Set[int]]) -> None:
    """:raises ModelError: if a graph calls one that is not there, or itself over whatever detours"""
    finished: Set[int] = set()
    waiting = set(range(len(calls)))
    if any(number not in waiting for called in calls for number in called):
        raise ModelError("calls a graph that it does not hold; it is truncated or damaged")
    while waiting:
        ready = {number for number in waiting if calls[number] <= finished}
        if not ready:
            raise ModelError("its graphs call each other in a circle; it is damaged")
        finished |= ready
        waiting -= ready
