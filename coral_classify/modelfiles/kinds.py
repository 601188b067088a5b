"""What a network is for, as far as its file shows: so that a refusal says what it is, and features are not sold as
classes.  Knows the outputs that tasks have; reads the graph, runs nothing."""
from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..types import TensorSpec
from .flatbuffer import Table
from .schema import CUSTOM, operator_name

__all__ = ["features", "last_operator", "other_task"]

_PASSING = ("RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "CAST", "EXPAND_DIMS")     # change no number's meaning
_PROBABLE = ("SOFTMAX", "LOGISTIC", "LOG_SOFTMAX")
_POOLED = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "REDUCE_MAX", "L2_NORMALIZATION")
_FEW = 64               # networks with fewer outputs give no features worth the name
_NAMED = {"TFLite_Detection_PostProcess": "detects objects", "PosenetDecoderOp": "estimates poses"}


def _steps(model: Table, graph: Table) -> List[Tuple[str, Tuple[int, ...], Tuple[int, ...]]]:
    names = []
    for code in model.tables(1):
        number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
        names.append((code.string(1) or "") if number == CUSTOM else operator_name(number))
    return [(names[step.scalar(0, "uint32")], step.numbers(1, "int32"), step.numbers(2, "int32"))
            for step in graph.tables(3)]


def last_operator(model: Table, graph: Table) -> Optional[str]:
    """The operator that gives the output its meaning; None if nothing gives it."""
    by = {output: (name, inputs) for name, inputs, outputs in _steps(model, graph) for output in outputs}
    wanted = graph.numbers(2, "int32")[0] if graph.count(2) else -1
    name: Optional[str] = None
    while wanted in by:     # ends: structure.check allows no circles
        name, inputs = by[wanted]
        if name not in _PASSING or not inputs:
            break
        wanted = inputs[0]
    return name


def other_task(model: Table, graph: Table) -> Optional[str]:
    """What the network does instead of classifying pictures ("segments pictures …"); None if that is not seen."""
    steps = _steps(model, graph)
    for name, _, _ in steps:
        if name in _NAMED:
            return _NAMED[name]
    tensors = list(graph.tables(0))
    shapes = [tensors[n].numbers(0, "int32") for n in graph.numbers(2, "int32") if 0 <= n < len(tensors)]
    taken = [tensors[n].numbers(0, "int32") for n in graph.numbers(1, "int32") if 0 <= n < len(tensors)]
    if any(len(shape) in (2, 3) and shape[-1] == 4 and shape[-2] > 1 for shape in shapes) and len(shapes) > 1:
        return "detects objects"
    if [shape[-2:] for shape in shapes] in ([(17, 3)], [(17, 2)]):
        return "estimates poses"
    if len(shapes) == 1 and taken and len(taken[0]) == 4:
        return _of_pixels(shapes[0], taken[0])
    return None


def _of_pixels(shape: Sequence[int], picture: Sequence[int]) -> Optional[str]:
    sides = shape[1:3]
    if len(shape) not in (3, 4) or min(sides) < 2:
        return None
    if len(shape) == 4 and shape[3] == 3 and min(sides) >= min(picture[1:3]):
        return "makes pictures of pictures"
    if len(shape) == 3 and not _alike(sides, picture[1:3]):
        return None         # a table, of boxes or words
    if len(shape) == 3 or shape[3] <= 256:
        return "segments pictures: a class for each of %d x %d places" % (sides[1], sides[0])
    return "gives feature maps of %d x %d x %d" % tuple(shape[1:])


def _alike(sides: Sequence[int], picture: Sequence[int]) -> bool:
    return abs(sides[0] / sides[1] - picture[0] / max(1, picture[1])) < 0.05


def features(output: TensorSpec, last: Optional[str]) -> Optional[str]:
    """Why the output looks like features for other networks, if nobody names its classes; None if it does not.

    :param output: (1, n)
    :param last: :func:`last_operator`
    """
    count = output.shape[-1]
    if count < _FEW or last in _PROBABLE:
        return None
    reach = ""
    if output.quantization.scale and output.dtype.kind in "iu":
        highest = output.quantization.scale * (np.iinfo(output.dtype).max - output.quantization.zero_point)
        if highest <= 1.01 and last != "L2_NORMALIZATION":
            return None
        reach = " up to %.3g" % highest
    elif last not in _POOLED:
        return None
    return "%d numbers%s, no softmax, no names of classes" % (count, reach)
