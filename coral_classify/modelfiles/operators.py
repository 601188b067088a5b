"""The names and numbers of TFLite's operators and types, from the public schema ``tensorflow/lite/schema/schema.fbs``.

Knows no file.
"""
from __future__ import annotations

from .flatbuffer import Table

__all__ = ["CUSTOM", "OPERATORS", "TYPES", "operator_name"]

CUSTOM = 32
OPERATORS = {
    0: "ADD", 1: "AVERAGE_POOL_2D", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 5: "DEPTH_TO_SPACE",
    6: "DEQUANTIZE", 9: "FULLY_CONNECTED", 11: "L2_NORMALIZATION", 14: "LOGISTIC", 16: "LSTM", 17: "MAX_POOL_2D",
    18: "MUL", 19: "RELU", 20: "RELU_N1_TO_1", 21: "RELU6", 22: "RESHAPE", 23: "RESIZE_BILINEAR", 25: "SOFTMAX",
    26: "SPACE_TO_DEPTH", 28: "TANH", 34: "PAD", 36: "GATHER", 39: "TRANSPOSE", 40: "MEAN", 41: "SUB", 42: "DIV",
    43: "SQUEEZE", 45: "STRIDED_SLICE", 47: "EXP", 49: "SPLIT", 53: "CAST", 54: "PRELU", 55: "MAXIMUM", 56: "ARG_MAX",
    57: "MINIMUM", 65: "SLICE", 67: "TRANSPOSE_CONV", 70: "EXPAND_DIMS", 74: "SUM", 76: "RSQRT", 82: "REDUCE_MAX",
    83: "PACK", 89: "REDUCE_MIN", 97: "RESIZE_NEAREST_NEIGHBOR", 99: "SQUARED_DIFFERENCE", 114: "QUANTIZE",
    117: "HARD_SWISH",
}
# TensorType -> NumPy name; other types are no numbers, or none that NumPy has.
TYPES = {0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8",
         10: "float64"}


def operator_name(code: Table) -> str:
    """:param code: an ``OperatorCode``"""
    # Newer files keep the number in another field, where it may be larger than 127.
    number = max(code.scalar(0, "int8"), code.scalar(3, "int32"))
    if number == CUSTOM:
        return code.string(1) or "custom"
    return OPERATORS.get(number, "operator %d" % number)
