"""What an operator may be given: how many tensors, which options, which constants.  What lies outside crashes engines.

Knows the operators of image classifiers; of others, nothing is known here and nothing is checked.  Sources: the
kernels' own checks in TFLite, which not every one of them makes, and runs with damaged files.
"""
from __future__ import annotations

import functools
import operator as operator_module
import struct
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import ModelError
from .flatbuffer import Table

__all__ = ["Operand", "check", "is_known"]

_ELEMENTS = 1 << 27         # of what is resized or repeated
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


# Options that are one of a few: padding, activation; (field, the largest).
_CHOICES: Dict[int, Tuple[Tuple[int, int], ...]] = {
    1: ((0, 1), (3, 5)), 2: ((0, 1), (4, 5)), 5: ((0, 1), (5, 5)), 49: ((0, 1), (3, 5)), 8: ((0, 5), (1, 1)),
    10: ((1, 5),), 11: ((0, 5),), 21: ((0, 5),), 28: ((0, 5),), 29: ((0, 5),), 12: ((0, 5),), 77: ((0, 1),)}
# Operators that compute with the scales of their tensors, and end the process over wild ones.
_ARITHMETIC = {"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV",
               "FULLY_CONNECTED", "SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "TANH", "PRELU", "LEAKY_RELU", "HARD_SWISH",
               "ELU", "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "MEAN", "SUM", "L2_NORMALIZATION", "QUANTIZE",
               "DEQUANTIZE", "BATCH_MATMUL", "CONCATENATION", "MAXIMUM", "MINIMUM", "GELU", "RSQRT"}
_NARROW = (3, 7, 9)         # TensorType: uint8, int16, int8
_HANDLES = (13, 14)         # TensorType: resources and variants, which are pointers
_NO_NUMBERS = (5, 13, 14)   # and texts
# Operators that only move or compare elements, texts as well.
_MOVES = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "GATHER", "SLICE", "STRIDED_SLICE", "CONCATENATION", "PACK", "UNPACK",
          "SPLIT", "SPLIT_V", "TILE", "TRANSPOSE", "REVERSE_V2", "SHAPE", "RANK", "EQUAL", "NOT_EQUAL", "SELECT",
          "SELECT_V2", "BROADCAST_TO", "FILL", "PAD", "PADV2", "CAST"}
_SCALES = (1e-15, 1e9)      # per-channel weights of dead filters have about 1e-12
_RATIO = 1 << 18            # of the scales of sums: engines shift by 20 bits


# Options of operators that slide a window: the fields with the dilations of width and height.
_WINDOWS = {1: (4, 5), 2: (5, 6), 5: (0, 0)}


class Operand(NamedTuple):
    """One tensor, as an operator sees it."""

    shape: Tuple[int, ...]
    kind: int                       # TensorType
    scales: Tuple[float, ...]       # the smallest and the largest; () if it is not quantized
    fixed: bool                     # False: the shape depends on the input's
    content: Optional[bytes]        # of a constant of whole numbers; None: computed, or of another type


def is_known(name: str) -> bool:
    """Whether it is one of the operators of which something is known here: they do nothing but give their outputs."""
    return name in _RULES


def check(who: str, name: str, operator: Table, inputs: Sequence[Optional[Operand]],
          outputs: Sequence[Operand]) -> None:
    """Check one operator.

    :param who: how errors call it
    :param name: of its kind, as in the schema
    :param inputs: None for one that is left out
    :raises ModelError: if it is given what it cannot take
    """
    rule = _RULES.get(name)
    if rule is None:
        return
    if not rule.least <= len(inputs) <= rule.most or not outputs:
        raise ModelError("%s has %d inputs and %d outputs; the file is damaged" % (who, len(inputs), len(outputs)))
    if any(operand and operand.kind in (_HANDLES if name in _MOVES else _NO_NUMBERS)
           for operand in list(inputs) + list(outputs)):
        raise ModelError("%s takes or gives what are no numbers; the file is damaged" % who)
    if name in _ARITHMETIC:
        _check_scales(who, [operand for operand in list(inputs) + list(outputs) if operand and operand.kind in _NARROW])
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
        for field, most in _CHOICES.get(rule.options, ()):
            if not 0 <= options.scalar(field, "int8") <= most:
                raise ModelError("%s has the impossible option %d; the file is damaged"
                                 % (who, options.scalar(field, "int8")))
    _check_part(who, name, inputs, outputs[0], options)
    if options is not None and rule.options in _WINDOWS:
        _check_window(who, rule.options, options, inputs, outputs[0])
    for place, role in _CONSTANTS.get(name, ()):
        operand = inputs[place] if place < len(inputs) else None
        if operand is not None and operand.content is not None:
            axis = options.scalar(0, "int32") if options is not None and role == "places" else 0
            _check_values(who, role, _numbers(operand), subject.shape, rank + (name == "EXPAND_DIMS"), axis,
                          subject.fixed)
    _check_result(who, name, inputs, outputs[0])


def _numbers(operand: Operand) -> Tuple[int, ...]:
    content, width = operand.content or b"", 8 if operand.kind == 4 else 4
    return struct.unpack("<%d%s" % (len(content) // width, "q" if width == 8 else "i"), content)


def _check_scales(who: str, operands: Sequence[Operand]) -> None:
    if any(not operand.scales for operand in operands):
        raise ModelError("%s takes or gives 8 bits without a scale; the file is damaged" % who)
    scales = [scale for operand in operands for scale in operand.scales]
    if not all(_SCALES[0] <= scale <= _SCALES[1] for scale in scales):
        raise ModelError("%s has an impossible scale; the file is damaged" % who)
    if "(ADD)" in who or "(SUB)" in who or "(SQUARED" in who:
        if scales and max(scales) / min(scales) > _RATIO:
            raise ModelError("%s has scales that differ too much; the file is damaged" % who)


def _check_window(who: str, kind: int, options: Table, inputs: Sequence[Optional[Operand]], output: Operand) -> None:
    """What slides over a picture: it must fit in, and give as many places as the file says."""
    subject = inputs[0]
    if not subject or not subject.fixed or not output.fixed:
        return
    window = inputs[1].shape if kind != 5 and inputs[1] else (
        1, options.scalar(4, "int32"), options.scalar(3, "int32"), 1)
    if len(subject.shape) != 4 or len(window) != 4 or len(output.shape) != 4:
        raise ModelError("%s is given %s and gives %s; the file is damaged" % (who, subject.shape, output.shape))
    expected = []
    for axis, stride, dilation in ((1, 2, _WINDOWS[kind][1]), (2, 1, _WINDOWS[kind][0])):
        step = options.scalar(stride, "int32")
        reach = (window[axis] - 1) * (options.scalar(dilation, "int32", 1) if dilation else 1) + 1
        free = subject.shape[axis] - 1 if options.scalar(0, "int8") == 0 else subject.shape[axis] - reach
        expected.append(free // step + 1)
    if tuple(expected) != output.shape[1:3]:
        raise ModelError("%s gives %d x %d places where the file says %s; it is damaged"
                         % (who, expected[1], expected[0], output.shape))


def _check_part(who: str, name: str, inputs: Sequence[Optional[Operand]], output: Operand,
                options: Optional[Table]) -> None:
    """SLICE and STRIDED_SLICE, where all is constant: what is left must be there, and be what the file says."""
    contents = [operand.content if operand else None for operand in inputs]
    if name not in ("SLICE", "STRIDED_SLICE") or any(content is None for content in contents[1:]) or not inputs[0]:
        return
    if not inputs[0].fixed or not output.fixed:
        return
    shape = inputs[0].shape
    numbers = [_numbers(operand) for operand in inputs[1:] if operand]
    if any(len(values) != (len(shape) if name == "SLICE" else len(numbers[0])) or len(values) > len(shape)
           for values in numbers):
        raise ModelError("%s has another number of places than dimensions; the file is damaged" % who)
    begin_mask, end_mask, ellipsis, new, shrink = [
        options.scalar(field, "int32") if options is not None and name == "STRIDED_SLICE" else 0 for field in range(5)]
    if ellipsis or new:     # the places are then of other dimensions
        return
    expected: List[int] = []
    for axis, n in enumerate(shape[:len(numbers[0])]):
        first, last = numbers[0][axis], numbers[1][axis]
        if name == "SLICE":
            left = n - first if last == -1 else last
            left = left if first >= 0 and first + max(1, last) <= n else 0
            expected.append(left)
        else:
            step, bit = numbers[2][axis] or 1, 1 << axis
            if shrink & bit:
                left = int(-n <= first < n)
            else:
                left = len(range(*slice(None if begin_mask & bit else first, None if end_mask & bit else last,
                                        step).indices(n)))
                expected.append(left)
        if left < 1:
            raise ModelError("%s leaves nothing of dimension %d, or more than there is; the file is damaged"
                             % (who, axis))
    expected += shape[len(numbers[0]):]
    if tuple(expected) != output.shape:
        raise ModelError("%s gives %s where the file says %s; it is damaged" % (who, tuple(expected), output.shape))


def _check_result(who: str, name: str, inputs: Sequence[Optional[Operand]], output: Operand) -> None:
    """Where constants say what comes out, the file must say the same: what follows was made for that."""
    first, sizes = inputs[0], inputs[-1]
    if not first or not sizes or not first.fixed or not output.fixed:
        return
    if sizes.content is None and name != "TRANSPOSE_CONV":
        return
    numbers = _numbers(sizes)
    expected: Optional[Sequence[int]] = None
    if name == "TRANSPOSE_CONV" and first.content is not None:
        expected = _numbers(first)
    if name.startswith("RESIZE") and len(first.shape) == 4:
        expected = first.shape[:1] + numbers + first.shape[3:]
    elif name == "PAD" and len(numbers) == 2 * len(first.shape):
        expected = [n + numbers[2 * axis] + numbers[2 * axis + 1] for axis, n in enumerate(first.shape)]
    elif name == "TILE" and len(numbers) == len(first.shape):
        expected = [n * times for n, times in zip(first.shape, numbers)]
    elif name == "TRANSPOSE":
        expected = [first.shape[axis] for axis in numbers]
    if expected is not None and tuple(expected) != output.shape:
        raise ModelError("%s gives %s where the file says %s; it is damaged" % (who, tuple(expected), output.shape))


def _check_size(who: str, what: str, number: int, least: int = 1) -> None:
    if not least <= number <= _MOST:
        raise ModelError("%s has the impossible %s %d; the file is damaged" % (who, what, number))


def _check_values(who: str, role: str, values: Sequence[int], shape: Sequence[int], rank: int, axis: int,
                  fixed: bool = True) -> None:
    bad: List[Any] = []
    if role == "axes":
        bad = [n for n in values if not -max(1, rank) <= n < max(1, rank)]
    elif role == "permutation":
        bad = [] if sorted(n % rank if rank and -rank <= n < rank else n for n in values) == list(range(rank)) \
            else list(values)
    elif role == "places":
        bad = [n for n in values if not shape or not 0 <= n < (shape[axis] if fixed else _ELEMENTS)]
    elif role == "strides":
        bad = [n for n in values if not 1 <= abs(n) <= _MOST]
    else:
        least = {"sizes": 1, "margins": 0, "rest": -1}[role]
        bad = [n for n in values if not least <= n <= (1 << 24)]
        if role == "sizes" and functools.reduce(operator_module.mul, values, 1) > _ELEMENTS:
            bad = list(values)
    if bad:
        raise ModelError("%s has the impossible %s %s; the file is damaged" % (who, role, bad[0]))
