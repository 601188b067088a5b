"""``pycoral.learn.backprop.softmax_regression``: a linear classifier on features, trained by gradient descent here.

Scores = softmax(x · W + b); the loss is cross-entropy, its gradient for the logits is softmax - one-hot.
"""
from __future__ import annotations

import operator
import sys
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..errors import ModelError
from ..modelfiles import Constant, Layer, read_graph, rewrite
from ..types import Quantization, TensorSpec
from .given import real
from .imprinting import read_model_bytes

__all__ = ["SoftmaxRegression"]


class SoftmaxRegression:
    """One layer with softmax.

    :param feature_dim: how many features an example has
    :param num_classes: how many classes there are
    :param weight_scale: standard deviation of the weights at the beginning
    :param reg: share of the weights' squares in the loss that is told; as in PyCoral, it steers nothing
    :raises ValueError: without the two numbers
    """

    def __init__(self, feature_dim: Optional[int] = None, num_classes: Optional[int] = None,
                 weight_scale: float = 0.01, reg: float = 0.0) -> None:
        if feature_dim is None or num_classes is None or min(operator.index(feature_dim),
                                                             operator.index(num_classes)) < 1:
            raise ValueError("feature_dim and num_classes are needed, got %r and %r" % (feature_dim, num_classes))
        self.feature_dim = operator.index(feature_dim)
        self.num_classes = operator.index(num_classes)
        self.reg = real(reg)
        self._weights = np.random.randn(self.feature_dim, self.num_classes) * real(weight_scale)
        self._bias = np.zeros(self.num_classes)
        self._lowest = self._highest = 0.0      # of the logits that were seen

    def _logits(self, features: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        logits: "np.ndarray[Any, Any]" = np.asarray(features, np.float64) @ self._weights + self._bias
        self._lowest = min(self._lowest, float(logits.min()))
        self._highest = max(self._highest, float(logits.max()))
        return logits

    def _loss(self, features: "np.ndarray[Any, Any]",
              labels: "np.ndarray[Any, Any]") -> "Tuple[float, np.ndarray[Any, Any]]":
        """The loss, and its gradient for the logits."""
        logits = self._logits(features)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = -np.log(shares[rows, labels] + 1e-12).mean() + 0.5 * self.reg * float((self._weights ** 2).sum())
        shares[rows, labels] -= 1.0
        return float(loss), shares / len(labels)

    def train_with_sgd(self, data: Dict[str, Any], num_iter: int, learning_rate: float, batch_size: int = 100,
                       print_every: int = 100) -> None:
        """Train by stochastic gradient descent.

        :param data: "data_train" and "data_val": (examples, features); "labels_train" and "labels_val": (examples,)
        :param num_iter: number of steps
        :param batch_size: examples of a step, drawn with replacement
        :param print_every: a line about loss and accuracy each so many steps; 0: none
        """
        features, labels = np.asarray(data["data_train"]), np.asarray(data["labels_train"])
        batch_size, print_every = operator.index(batch_size), operator.index(print_every)
        learning_rate = real(learning_rate)
        for step in range(1, operator.index(num_iter) + 1):
            chosen = np.random.choice(len(features), batch_size)
            loss, gradient = self._loss(features[chosen], labels[chosen])
            self._weights -= learning_rate * (features[chosen].T @ gradient)
            self._bias -= learning_rate * gradient.sum(axis=0)
            if print_every and step % print_every == 0:
                sys.stdout.write("Iteration %d: loss %.4f, accuracy %.4f in training, %.4f in validation\n" % (
                    step, loss, self.get_accuracy(features, labels),
                    self.get_accuracy(data["data_val"], data["labels_val"])))

    def get_accuracy(self, mat_x: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> float:
        """The share of examples (examples, features) that get their own label."""
        best = self._logits(mat_x).argmax(axis=1)
        if np.shape(labels) != best.shape:
            raise ValueError("%d examples have labels of the shape %s" % (len(best), np.shape(labels)))
        return float((best == np.asarray(labels)).mean())

    def serialize_model(self, in_model_path: str) -> bytes:
        """A model that classifies: the one that gives the features, with this layer and a softmax behind it.

        :param in_model_path: compiled or not; with one output of uint8 or int8
        :raises ValueError: if it cannot be read, or has another number of features
        """
        content = read_model_bytes(in_model_path)
        try:
            graph = read_graph(content)
            features = graph.tensors[graph.outputs[0]].spec
            if features.shape[-1] != self.feature_dim or not features.quantization.scale:
                raise ValueError("%s gives %d features of %s; this classifier takes %d, quantized" % (
                    in_model_path, features.shape[-1], features.dtype, self.feature_dim))
            return rewrite(content, layers=self._layers(features))
        except ModelError as exc:
            raise ValueError("%s: %s" % (in_model_path, exc)) from exc

    def _layers(self, features: TensorSpec) -> Any:
        dtype = features.dtype
        limits = np.iinfo(dtype)
        steps = float(limits.max) - float(limits.min)
        low, high = min(0.0, float(self._weights.min())), max(0.0, float(self._weights.max()))
        scale = (high - low) / steps or 1.0
        zero_point = int(np.clip(round(limits.min - low / scale), limits.min, limits.max))
        kernel = np.clip(np.round(self._weights.T / scale) + zero_point, limits.min, limits.max).astype(dtype)
        bias_scale = features.quantization.scale * scale
        bias = np.round(self._bias / bias_scale).astype(np.int32)
        lowest, highest = self._range(features)
        out_scale = (highest - lowest) / steps
        out_zero = int(np.clip(round(limits.min - lowest / out_scale), limits.min, limits.max))
        shape = (1, self.num_classes)
        return [
            Layer("FULLY_CONNECTED", TensorSpec(shape, dtype, Quantization(out_scale, out_zero)), (
                Constant(kernel, (scale,), (zero_point,), "softmax_regression/weights"),
                Constant(bias, (bias_scale,), (0,), "softmax_regression/bias")), "softmax_regression/logits"),
            Layer("SOFTMAX", TensorSpec(shape, dtype, Quantization(1 / 256, int(limits.min))), (),
                  "softmax_regression/scores"),
        ]

    def _range(self, features: TensorSpec) -> Tuple[float, float]:
        """Lowest and highest logit: those that were seen; before any was, those that there can be."""
        if self._highest > self._lowest:
            return self._lowest, self._highest
        limits = np.iinfo(features.dtype)
        largest = features.quantization.scale * (float(limits.max) - features.quantization.zero_point)
        most = float(np.abs(self._weights).sum(axis=0).max()) * abs(largest) or 1.0
        return -most, most
