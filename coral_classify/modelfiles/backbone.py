"""Where the features of a network are: the tensor before its last fully connected layer or 1 x 1 convolution.

Reads the graph; needs no engine.
"""
from __future__ import annotations

from ..errors import ModelError
from .graph import Graph, read_graph
from .modelfile import EDGETPU_OP
from .writer import rewrite

__all__ = ["extractor", "features_tensor"]

# What stands behind the last layer: it changes form or scale, and no class into another.
_BEHIND = ("QUANTIZE", "DEQUANTIZE", "SOFTMAX", "LOG_SOFTMAX", "LOGISTIC", "RESHAPE", "SQUEEZE", "MUL")
_ENDS = ("AVERAGE_POOL_2D", "MEAN", "L2_NORMALIZATION")     # of a network that gives features


def features_tensor(content: bytes, embedding: bool = False) -> int:
    """The number of the tensor that holds the features.

    :param content: a whole ``.tflite``
    :param embedding: the model is known to give features, whatever its last layer is
    :raises ModelError: if there is none, or if it is hidden in a compiled operator
    """
    graph = read_graph(content)
    if len(graph.outputs) != 1:
        raise ModelError("has %d outputs; one is needed" % len(graph.outputs))
    tensor = graph.outputs[0]
    if embedding:
        return _flat(graph, tensor)
    classes = False
    while True:
        operator = graph.producer(tensor)
        kind = operator.kind if operator else "its input"
        if operator and kind in _BEHIND:
            classes = classes or kind in ("SOFTMAX", "LOG_SOFTMAX", "LOGISTIC")
            tensor = operator.inputs[0]
        elif operator and (kind == "FULLY_CONNECTED" or kind == "CONV_2D" and _is_pointwise(graph, operator.inputs[1])):
            return _flat(graph, operator.inputs[0])
        elif kind in _ENDS and not classes:
            return _flat(graph, graph.outputs[0])
        elif kind == EDGETPU_OP and not classes and not _is_softmax(graph, tensor):
            return _flat(graph, graph.outputs[0])
        elif kind == EDGETPU_OP:
            raise ModelError("is compiled as a whole, last layer and all; its features can only be had from a feature "
                             "extractor that was compiled as such")
        else:
            raise ModelError("its last layer cannot be found: before the scores stands %s, and no fully connected "
                             "layer or 1 x 1 convolution of a single pixel" % kind)


def extractor(content: bytes, embedding: bool = False) -> bytes:
    """The same network with its features as its output; *content* itself where they are.

    :raises ModelError: as :func:`features_tensor`
    """
    tensor = features_tensor(content, embedding)
    return content if (tensor,) == read_graph(content).outputs else rewrite(content, output=tensor, files={})


def _is_pointwise(graph: Graph, weights: int) -> bool:
    return graph.tensors[weights].shape[1:3] == (1, 1)


def _is_softmax(graph: Graph, tensor: int) -> bool:
    """Whether the numbers are quantized as the scores of a softmax are: 1/256, all of it above zero."""
    spec = graph.tensors[tensor].spec
    return abs(spec.quantization.scale - 1 / 256) < 1e-6 and spec.quantization.zero_point in (0, -128)


def _flat(graph: Graph, tensor: int) -> int:
    shape = graph.tensors[tensor].shape
    if [n for n in shape[:-1] if n != 1] or len(shape) not in (2, 4):
        raise ModelError("its features have the shape %s; one row of numbers is needed" % (shape,))
    return tensor
