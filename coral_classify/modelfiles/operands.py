"""What an operator may be given: how many tensors, which options, which constants.  What lies outside crashes engines.

Knows the operators of image classifiers; of others, nothing is known here and nothing is checked.  Sources: the
kernels' own checks in TFLite, which not every one of them makes, and runs with damaged files.
"""
from __future__ import annotations

import struct
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import ModelError
from .flatbuffer import Table

__all__ = ["Operand", "check"]

_MOST = 1 << 16             # of a size, a stride or a number of copies
_BROAD = {"ADD": 11, "MUL": 21, "SUB": 28, "DIV": 29, "MAXIMUM": 39, "MINIMUM": 39, "SQUARED_DIFFERENCE": 76,
          "FLOOR_DIV": 65, "FLOOR_MOD": 72, "POW": 56, "GREATER": 44, "GREATER_EQUAL": 45, "LESS": 42,
          "LESS_EQUAL": 46, "EQUAL": 53, "NOT_EQUAL": 54, "LOGICAL_AND": 62, "LOGICAL_OR": 60}
_REDUCE = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")
_UNARY = {"ABS": 78, "EXP": 33, "NEG": 42, "CAST": 37, "DEQUANTIZE": 38, "QUANTIZE": 89, "HARD_SWISH": 91,
          "LEAKY_RELU": 75, "LOG_SOFTMAX": 36, "SOFTMAX": 9, "L2_NORMALIZATION": 12, "SQUARE": 66, "COS": 84,
          "GELU": 116, "LOCAL_RESPONSE_NORMALIZATION": 13, "SPACE_TO_DEPTH": 19, "DEPTH_TO_SPACE": 94, "SQUEEZE": 30,
          "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5, "L2_POOL_2D": 5, "SHAPE": 55, "ZEROS_LIKE": 67, "RANK": 86}
_PLAIN = ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LOGISTIC", "TANH", "ELU", "FLOOR", "CEIL", "ROUND", "SIN",
          "LOG", "SQRT", "RSQRT")


class _Rule(NamedTuple):
    least: int              # inputs
    most: int
    options: int            # the union's number for it; files without options leave it 0


_RULES: Dict[str, _Rule] = {
    "CONV_2D": _Rule(2, 3, 1), "DEPTHWISE_CONV_2D": _Rule(2, 3, 2), "TRANSPOSE_CONV": _Rule(3, 4, 49),
    "FULLY_CONNECTED": _Rule(2, 3, 8), "CONCATENATION": _Rule(1, 1 << 10, 10), "RESHAPE": _Rule(1, 2, 17),
    "RESIZE_BILINEAR": _Rule(2, 2, 15), "RESIZE_NEAREST_NEIGHBOR": _Rule(2, 2, 74), "PAD": _Rule(2, 2, 22),
    "PADV2": _Rule(3, 3, 43), "MIRROR_PAD": _Rule(2, 2, 77), "GATHER": _Rule(2, 2, 23), "TRANSPOSE": _Rule(2, 2, 26),
    "STRIDED_SLICE": _Rule(4, 5, 32), "SLICE": _Rule(3, 3, 48), "SPLIT": _Rule(2, 2, 35), "SPLIT_V": _Rule(3, 3, 79),
    "PACK": _Rule(1, 1 << 10, 59), "UNPACK": _Rule(1, 1, 64), "TILE": _Rule(2, 2, 51), "EXPAND_DIMS": _Rule(2, 2, 52),
    "PRELU": _Rule(2, 2, 0), "ARG_MAX": _Rule(2, 2, 40), "ARG_MIN": _Rule(2, 2, 57), "TOPK_V2": _Rule(2, 2, 34),
    "BATCH_TO_SPACE_ND": _Rule(3, 3, 24), "SPACE_TO_BATCH_ND": _Rule(3, 3, 25), "REVERSE_V2": _Rule(2, 2, 81),
    "BROADCAST_TO": _Rule(2, 2, 104), "FILL": _Rule(2, 2, 68), "BATCH_MATMUL": _Rule(2, 2, 101),
    "SELECT": _Rule(3, 3, 47), "SELECT_V2": _Rule(3, 3, 98), "ONE_HOT": _Rule(4, 4, 61), "CUMSUM": _Rule(2, 2, 102),
}
_RULES.update((name, _Rule(2, 2, options)) for name, options in _BROAD.items())
_RULES.update((name, _Rule(2, 2, 27)) for name in _REDUCE)
_RULES.update((name, _Rule(1, 1, options)) for name, options in _UNARY.items())
_RULES.update((name, _Rule(1, 1, 0)) for name in _PLAIN)

# Options that are sizes, by the union's number: (field, its default).
_SIZES: Dict[int, Tuple[Tuple[int, int], ...]] = {
    1: ((1, 0), (2, 0), (4, 1), (5, 1)), 2: ((1, 0), (2, 0), (5, 1), (6, 1)), 5: ((1, 0), (2, 0), (3, 0), (4, 0)),
    49: ((1, 0), (2, 0)), 19: ((0, 0),), 94: ((0, 0),), 35: ((0, 0),), 79: ((0, 0),), 59: ((0, 0),),
    13: ((0, 0),)}
_NEEDED = (1, 2, 5, 49, 19, 94, 35, 79, 59, 64, 10)     # operators that cannot do without theirs
_AXES = {10: 0, 59: 1, 64: 1, 23: 0, 61: 0}             # options that name a dimension: the field
# Inputs that are constants of int32 or int64, and what each may hold.
_CONSTANTS: Dict[str, Tuple[Tuple[int, str], ...]] = {
    "TRANSPOSE_CONV": ((0, "sizes"),), "RESIZE_BILINEAR": ((1, "sizes"),), "RESIZE_NEAREST_NEIGHBOR": ((1, "sizes"),),
    "PAD": ((1, "margins"),), "PADV2": ((1, "margins"),), "MIRROR_PAD": ((1, "margins"),),
    "GATHER": ((1, "places"),), "TRANSPOSE": ((1, "permutation"),), "STRIDED_SLICE": ((3, "strides"),),
    "SLICE": ((1, "margins"), (2, "rest")), "SPLIT": ((0, "axes"),), "SPLIT_V": ((1, "rest"), (2, "axes")),
    "TILE": ((1, "sizes"),), "EXPAND_DIMS": ((1, "axes"),), "ARG_MAX": ((1, "axes"),), "ARG_MIN": ((1, "axes"),),
    "TOPK_V2": ((1, "sizes"),), "BATCH_TO_SPACE_ND": ((1, "sizes"), (2, "margins")),
    "SPACE_TO_BATCH_ND": ((1, "sizes"), (2, "margins")), "REVERSE_V2": ((1, "axes"),), "RESHAPE": ((1, "rest"),),
    "BROADCAST_TO": ((1, "sizes"),), "FILL": ((0, "sizes"),), "ONE_HOT": ((1, "sizes"),), "CUMSUM": ((1, "axes"),)}
_CONSTANTS.update((name, ((1, "axes"),)) for name in _REDUCE)
_SUBJECT = {"TRANSPOSE_CONV": 2, "SPLIT": 1}            # the input that the constants speak of, if not the first


class Operand(NamedTuple):
    """One tensor, as an operator sees it."""

    shape: Tuple[int, ...]
    kind: int                       # TensorType
    content: Optional[bytes]        # of a constant of whole numbers; None: computed, or of another type


def check(who: str, name: str, operator: Table, inputs: Sequence[Optional[Operand]]) -> None:
    """Check one operator.

    :param who: how errors call it
    :param name: of its kind, as in the schema
    :param inputs: None for one that is left out
    :raises ModelError: if it is given what it cannot take
    """
    rule = _RULES.get(name)
    if rule is None:
        return
    if not rule.least <= len(inputs) <= rule.most or not operator.count(2):
        raise ModelError("%s has %d inputs and %d outputs; the file is damaged"
                         % (who, len(inputs), operator.count(2)))
    kind = operator.scalar(3, "uint8")
    options = operator.table(4) if kind else None
    if kind not in (0, rule.options):
        raise ModelError("%s has the options of another operator; the file is damaged" % who)
    if options is None and rule.options in _NEEDED:
        raise ModelError("%s has no options; the file is damaged" % who)
    subject = inputs[_SUBJECT.get(name, 0)]
    if subject is None:
        raise ModelError("%s lacks an input; the file is damaged" % who)
    rank = len(subject.shape)
    if options is not None:
        for field, default in _SIZES.get(rule.options, ()):
            _check_size(who, "option", options.scalar(field, "int32", default))
        if rule.options in _AXES:
            _check_values(who, "axes", (options.scalar(_AXES[rule.options], "int32"),), subject.shape,
                          rank + (name in ("PACK", "ONE_HOT")), 0)
    for place, role in _CONSTANTS.get(name, ()):
        operand = inputs[place] if place < len(inputs) else None
        if operand is not None and operand.content is not None:
            axis = options.scalar(0, "int32") if options is not None and role == "places" else 0
            _check_values(who, role, _numbers(operand), subject.shape, rank + (name == "EXPAND_DIMS"), axis)


def _numbers(operand: Operand) -> Tuple[int, ...]:
    content, width = operand.content or b"", 8 if operand.kind == 4 else 4
    return struct.unpack("<%d%s" % (len(content) // width, "q" if width == 8 else "i"), content)


def _check_size(who: str, what: str, number: int, least: int = 1) -> None:
    if not least <= number <= _MOST:
        raise ModelError("%s has the impossible %s %d; the file is damaged" % (who, what, number))


def _check_values(who: str, role: str, values: Sequence[int], shape: Sequence[int], rank: int, axis: int) -> None:
    bad: List[Any] = []
    if role == "axes":
        bad = [n for n in values if not -max(1, rank) <= n < max(1, rank)]
    elif role == "permutation":
        bad = [] if sorted(n % rank if rank and -rank <= n < rank else n for n in values) == list(range(rank)) \
            else list(values)
    elif role == "places":
        bad = [n for n in values if not shape or not 0 <= n < shape[axis]]
    elif role == "strides":
        bad = [n for n in values if not 1 <= abs(n) <= _MOST]
    else:
        least = {"sizes": 1, "margins": 0, "rest": -1}[role]
        bad = [n for n in values if not least <= n <= (1 << 24)]
    if bad:
        raise ModelError("%s has the impossible %s %s; the file is damaged" % (who, role, bad[0]))
