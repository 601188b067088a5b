"""The public schema of ``.tflite`` files as data: names of operators, and what the fields of each table hold.

Source: ``tensorflow/lite/schema/schema.fbs``, as of LiteRT 2.3 (its newest operator is number 209).  Only facts; what
follows from them is the business of :mod:`structure` and :mod:`inspector`.
"""
from __future__ import annotations

from typing import Dict, Tuple

__all__ = ["CUSTOM", "LAYOUTS", "OPERATORS", "operator_name"]

CUSTOM = 32

# By number; no number was ever given twice.
OPERATORS: Tuple[str, ...] = tuple("""
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE EMBEDDING_LOOKUP FLOOR
FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM
MAX_POOL_2D MUL RELU RELU_N1_TO_1 RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER BATCH_TO_SPACE_ND
SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN
EXP TOPK_V2 SPLIT LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG PADV2
GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE EXPAND_DIMS EQUAL NOT_EQUAL LOG
SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT
UNPACK REDUCE_MIN FLOOR_DIV REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE RANK ELU REVERSE_SEQUENCE
MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5
SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO
RFFT2D CONV_3D IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS RANDOM_STANDARD_NORMAL BUCKETIZE
RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX
UNSORTED_SEGMENT_SUM ATAN2 UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP STABLEHLO_CONCATENATE
STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS
STABLEHLO_AND STABLEHLO_COSINE STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT STABLEHLO_SUBTRACT STABLEHLO_TANH
STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE
STABLEHLO_PAD STABLEHLO_IOTA STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW STABLEHLO_COMPOSITE
STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT STABLEHLO_CASE
""".split())


def operator_name(number: int) -> str:
    """The schema's name of a built-in operator.

    >>> operator_name(69), operator_name(44)
    ('TILE', 'UNIDIRECTIONAL_SEQUENCE_LSTM')
    >>> operator_name(1000)
    'operator 1000'
    """
    return OPERATORS[number] if 0 <= number < len(OPERATORS) else "operator %d" % number


# The fields of a table, by number.  A letter is a number of 1 (b), 2 (h), 4 (i) or 8 (q) bytes; a capital one, a vector
# of such numbers; s is a string, S a vector of them; a word is a table, [word] a vector of tables; "?word" is a union:
# the table "word N", where N is the field before.  What a newer schema adds counts as a number of 1 byte.
LAYOUTS: Dict[str, Tuple[str, ...]] = {
    "Model": ("i", "[OperatorCode]", "[SubGraph]", "s", "[Buffer]", "I", "[Metadata]", "[SignatureDef]",
              "[ExternalBufferGroup]", "[ExternalBuffer]"),
    "OperatorCode": ("b", "s", "i", "i"),
    "SubGraph": ("[Tensor]", "I", "I", "[Operator]", "s", "i"),
    "Tensor": ("I", "b", "i", "s", "QuantizationParameters", "b", "SparsityParameters", "I", "b", "[VariantSubType]",
               "i"),
    "QuantizationParameters": ("I", "I", "I", "Q", "b", "?Details", "i"),
    "Details 1": ("B",),
    "Details 2": ("i", "i", "i", "I"),
    "SparsityParameters": ("I", "I", "[DimensionMetadata]"),
    "DimensionMetadata": ("b", "i", "b", "?Indices", "b", "?Indices"),
    "Indices 1": ("I",),
    "Indices 2": ("H",),
    "Indices 3": ("B",),
    "VariantSubType": ("I", "b", "b"),
    "Operator": ("i", "I", "I", "b", "?Options", "B", "b", "B", "I", "q", "q", "b", "?Options2", "i"),
    "Buffer": ("B", "q", "q"),
    "Metadata": ("s", "i"),
    "SignatureDef": ("[TensorMap]", "[TensorMap]", "s", "b", "i"),
    "TensorMap": ("s", "i"),
    "ExternalBufferGroup": ("s",),
    "ExternalBuffer": ("i", "i", "q", "q", "s"),
}
# BuiltinOptions and BuiltinOptions2; those without a field are left out.
_OPTIONS = {
    1: "biibiib", 2: "biiibii", 3: "iII", 4: "b", 5: "biiiib", 6: "ibb", 7: "bb", 8: "bbbbbB", 9: "i", 10: "ib",
    11: "bb", 12: "b", 13: "iiii", 14: "biibb", 15: "bbbb", 16: "i", 17: "I", 18: "iib", 19: "i", 20: "b", 21:
    "b", 23: "ii", 27: "b", 28: "bb", 29: "b", 30: "I", 31: "bbb", 32: "iiiiib", 35: "i", 37: "bb", 40: "b", 49:
    "biibb", 50: "b", 55: "b", 57: "b", 58: "iiib", 59: "ii", 61: "i", 64: "ii", 69: "biibbb", 70: "bbbb", 71:
    "biibbb", 74: "bb", 75: "i", 77: "b", 79: "i", 80: "b", 87: "ii", 92: "ii", 93: "ii", 94: "i", 101: "bbb",
    102: "bb", 103: "i", 106: "biiibiii", 107: "ibb", 111: "ss", 114: "qq", 115: "I", 116: "b"
}
_OPTIONS_2 = {
    1: "q", 2: "Q", 3: "QQQ", 4: "QQQQBqqQqqQqqQqqI", 5: "sbsiIB", 6: "Qi", 7: "bQQQqbi", 8: "ii", 9: "Q", 10:
    "QQQ", 11: "q", 12: "QQQQI", 13: "QQQQQi", 14: "qbi", 15: "ii", 16: "QQQqQb", 17: "Q", 19: "b", 20: "i", 21:
    "siBbi", 23: "I"
}
LAYOUTS.update(("Options %d" % number, tuple(fields)) for number, fields in _OPTIONS.items())
LAYOUTS.update(("Options2 %d" % number, tuple(fields)) for number, fields in _OPTIONS_2.items())
