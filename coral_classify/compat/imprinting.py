"""``pycoral.learn.imprinting.engine``: new classes from a few pictures each, by weight imprinting.

Qi, Brown, Lowe: Low-Shot Learning with Imprinted Weights, 2018.  The model gives features of unit length
(L2_NORMALIZATION), and its tail compares them with a weight vector for each class: CONV_2D, MUL by a constant factor,
RESHAPE, SOFTMAX.  The weights of a class are the sum of its pictures' features, at unit length.  Their lengths before
that go into the model's description, a line "class length" each, so that training can be taken up again.
"""
from __future__ import annotations

import operator
import os
from typing import Any, Dict, List, Tuple, Union

import numpy as np

from ..errors import ModelError
from ..modelfiles import (
    Constant,
    Graph,
    Layer,
    Operator,
    Tensor,
    constant,
    description_of,
    read_graph,
    rewrite,
)
from ..types import Quantization, TensorSpec

__all__ = ["ImprintingEngine", "read_model_bytes"]

_NO_L2 = "Unsupported model architecture. Input model must have an L2Norm layer."
_TAIL = ("CONV_2D", "MUL", "RESHAPE", "SOFTMAX")


def read_model_bytes(path: Union[str, "os.PathLike[str]"]) -> bytes:
    """:raises ValueError: if there is no such file, as PyCoral has it"""
    try:
        with open(os.fspath(path), "rb") as file:
            return file.read()
    except OSError as exc:
        raise ValueError("Failed to open file: %s" % path) from exc


class ImprintingEngine:
    """Trains the tail of one model.

    :param model_path: of a model as described above, compiled or not
    :param keep_classes: the classes that it has stay; those that were imprinted may be trained further
    :raises ValueError: if the file cannot be read, or is no such model
    """

    def __init__(self, model_path: str, keep_classes: bool = False) -> None:
        self._content = read_model_bytes(model_path)
        try:
            graph = read_graph(self._content)
            self._features, self._tail = _parts(graph)
            self._tensors = graph.tensors
            self._start = self._tail[0].inputs[0]
            self._kernel = graph.tensors[self._tail[0].inputs[1]]
            self._classes: List[Tuple[float, "np.ndarray[Any, Any]"]] = []     # length (0: base class), unit vector
            if keep_classes:
                self._classes = self._kept()
        except ModelError as exc:
            raise ValueError(str(exc)) from exc

    def _kept(self) -> "List[Tuple[float, np.ndarray[Any, Any]]]":
        scale, zero_point = self._kernel.spec.quantization
        stored = constant(self._content, self._kernel).astype(np.float64)
        weights = ((stored - zero_point) * scale).reshape(self._kernel.shape[0], -1)
        lengths: Dict[int, float] = {}
        for line in description_of(self._content).splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isdigit():
                lengths[int(words[0])] = float(words[1])
        return [(lengths.get(number, 0.0), weights[number]) for number in range(len(weights))]

    @property
    def embedding_dim(self) -> int:
        """How many features a picture has."""
        return int(self._tensors[self._features].shape[-1])

    @property
    def num_classes(self) -> int:
        return len(self._classes)

    def serialize_extractor_model(self) -> bytes:
        """The model whose output are the features."""
        return rewrite(self._content, output=self._features)

    def train(self, embedding: "np.ndarray[Any, Any]", class_id: int) -> None:
        """Add a picture to a class.

        :param embedding: real values: (features,)
        :param class_id: one that was imprinted, or the number of classes for a new one
        :raises RuntimeError: for another class, or another number of features
        """
        features = np.asarray(embedding, np.float64)
        if features.shape != (self.embedding_dim,):
            raise RuntimeError("Invalid weights array shape.")
        class_id = operator.index(class_id)
        if class_id > len(self._classes):
            raise RuntimeError("The class index of a new category is too large!")
        if class_id < 0 or (class_id < len(self._classes) and not self._classes[class_id][0]):
            raise RuntimeError("Cannot change the base model classes not trained with imprinting method!")
        total = features
        if class_id < len(self._classes):
            length, unit = self._classes.pop(class_id)
            total = length * unit + features
        length = float(np.linalg.norm(total)) or 1.0
        self._classes.insert(class_id, (length, total / length))

    def serialize_model(self) -> bytes:
        """The model with the trained classes.

        :raises RuntimeError: if there are none
        """
        if not self._classes:
            raise RuntimeError("Model is not trained.")
        kernel = self._kernel
        scale, zero_point = kernel.spec.quantization
        weights = np.array([unit for _, unit in self._classes])
        if scale:
            limits = np.iinfo(kernel.dtype)
            stored = np.clip(np.round(weights / scale) + zero_point, limits.min, limits.max).astype(kernel.dtype)
        else:
            stored = weights.astype(np.float32)
        count = len(weights)
        shape = (count, 1, 1, self.embedding_dim)
        description = "".join("%d %f\n" % (number, length)
                              for number, (length, _) in enumerate(self._classes) if length)
        bias = np.zeros(count, np.int32 if scale else np.float32)
        bias_scale = self._tensors[self._start].spec.quantization.scale * scale
        conv, mul, reshape, softmax = (self._tensors[one.outputs[0]] for one in self._tail)
        factor_number = next(number for number in self._tail[1].inputs if number != self._tail[0].outputs[0])
        factor = self._tensors[factor_number]
        return rewrite(self._content, output=self._start, description=description, layers=[
            Layer("CONV_2D", _with_classes(conv, (1, 1, 1, count)), (
                Constant(stored.reshape(shape), (scale,) if scale else (), (zero_point,) if scale else (), kernel.name),
                Constant(bias, (bias_scale,) if scale else (), (0,) if scale else (), "imprinting/bias")), conv.name),
            Layer("MUL", _with_classes(mul, (1, 1, 1, count)), (
                Constant(constant(self._content, factor), factor.scales, factor.zero_points, factor.name),), mul.name),
            Layer("RESHAPE", _with_classes(reshape, (1, count)), (
                Constant(np.array([1, count], np.int32), name="imprinting/shape"),), reshape.name),
            Layer("SOFTMAX", _with_classes(softmax, (1, count)), (), softmax.name),
        ])


def _parts(graph: Graph) -> Tuple[int, List[Operator]]:
    """The tensor of the features, and the operators of the tail.

    :raises ModelError: if the model has not got them
    """
    places = [number for number, one in enumerate(graph.operators) if one.kind == "L2_NORMALIZATION"]
    if len(places) != 1:
        raise ModelError(_NO_L2)
    behind = [one for one in graph.operators[places[0] + 1:] if one.kind != "QUANTIZE"]
    if tuple(one.kind for one in behind) != _TAIL:
        raise ModelError("Unsupported model architecture. Behind the L2Norm layer stand %s, expected %s."
                         % (", ".join(one.kind for one in behind) or "no operators", ", ".join(_TAIL)))
    return graph.operators[places[0]].outputs[0], behind


def _with_classes(tensor: Tensor, shape: Tuple[int, ...]) -> TensorSpec:
    spec = tensor.spec
    return TensorSpec(shape, spec.dtype, Quantization(*spec.quantization))
