"""The mathematics of a head: features and class numbers in, weights and biases out.  Pure NumPy; no files, no engine.

A head is linear in features of unit length: ``logits = unit(features) @ weights.T + bias``, and their softmax is the
score.  Two ways to get one:

- :func:`cosine`, weight imprinting (Qi, Brown, Lowe: "Low-Shot Learning with Imprinted Weights", 2018): the weights of
  a class are the mean direction of its pictures, times :data:`SHARPNESS`.  Right from the first picture on, and no
  class depends on another.
- :func:`softmax_regression`: the minimum of the cross-entropy plus an L2 penalty on the distance of the weights from
  those of :func:`cosine`, so that few pictures change little.  It is convex: one minimum, which Newton's method with
  conjugate gradients finds, with the same result every time.
"""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

__all__ = ["SHARPNESS", "Head", "cosine", "probabilities", "softmax_regression", "span", "unit"]

SHARPNESS = 10.0        # logit of a picture that looks exactly like its class
_TOLERANCE = 1e-4       # of the gradient's length per picture
_ROUNDS = 50


class Head(NamedTuple):
    """What stands behind the features."""

    weights: "np.ndarray[Any, Any]"     # (classes, features)
    bias: "np.ndarray[Any, Any]"        # (classes,)

    def logits(self, units: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        """:param units: (pictures, features) of unit length

        :returns: (pictures, classes)
        """
        return np.asarray(units @ self.weights.T + self.bias)


def unit(features: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Rows of length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12))


def probabilities(logits: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The softmax of each row."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def cosine(units: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]", number: int) -> Head:
    """The head whose logits are cosines.

    :param units: (pictures, features) of unit length
    :param classes: (pictures,) class of each, 0 to *number* - 1; a class without pictures gets weights of zero
    """
    sums = np.zeros((number, units.shape[1]))
    np.add.at(sums, classes, units)
    return Head(SHARPNESS * unit(sums), np.zeros(number))


def softmax_regression(units: "np.ndarray[Any, Any]", classes: "np.ndarray[Any, Any]", number: int,
                       penalty: float, start: Optional[Head] = None) -> Head:
    """The head of least cross-entropy.  Every class counts the same, however many pictures it has.

    :param units, classes, number: as for :func:`cosine`
    :param penalty: of ``|weights - cosine weights|² / 2``, against the sum of the cross-entropies
    :param start: a head nearby, to begin with
    """
    prior = cosine(units, classes, number)
    targets = np.zeros((len(units), number))
    targets[np.arange(len(units)), classes] = 1
    sizes = np.maximum(1, np.bincount(classes, minlength=number))
    importance = (len(units) / (np.count_nonzero(np.bincount(classes, minlength=number)) * sizes))[classes][:, None]
    # The change of the weights lies in the span of the pictures: with fewer pictures than features it is sought there.
    basis, inner = span(units)
    offset = prior.logits(units)
    change, bias = np.zeros((number, inner.shape[1])), np.zeros(number)
    if start is not None:
        change, bias = (start.weights - prior.weights) @ basis, start.bias.copy()
    problem = _Problem(inner, offset, targets, importance, penalty)
    change, bias = _newton(problem, change, bias)
    return Head(prior.weights + change @ basis.T, bias)


def span(units: "np.ndarray[Any, Any]") -> "Tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """An orthonormal basis (features, r) of the pictures' span, and the pictures in it (pictures, r)."""
    if len(units) >= units.shape[1]:
        return np.eye(units.shape[1]), units
    basis, triangle = np.linalg.qr(units.T)
    return basis, triangle.T


class _Problem(NamedTuple):
    """Cross-entropy with a penalty, as a function of a change of the weights and of the biases."""

    units: "np.ndarray[Any, Any]"       # (pictures, r)
    offset: "np.ndarray[Any, Any]"      # (pictures, classes) logits without change and bias
    targets: "np.ndarray[Any, Any]"
    importance: "np.ndarray[Any, Any]"  # (pictures, 1)
    penalty: float

    def logits(self, change: "np.ndarray[Any, Any]", bias: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        return np.asarray(self.offset + self.units @ change.T + bias)

    def loss(self, change: "np.ndarray[Any, Any]", bias: "np.ndarray[Any, Any]") -> float:
        logits = self.logits(change, bias)
        top = logits.max(axis=1, keepdims=True)
        entropy = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) \
            - (self.targets * logits).sum(axis=1, keepdims=True)
        return float((self.importance * entropy).sum()
                     + 0.5 * self.penalty * ((change * change).sum() + (bias * bias).sum()))


def _newton(problem: _Problem, change: "np.ndarray[Any, Any]",
            bias: "np.ndarray[Any, Any]") -> "Tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
    """Newton's method; each step by conjugate gradients, shortened until the loss falls (Nocedal, Wright: "Numerical
    Optimization", algorithm 7.1)."""
    wide = np.concatenate([problem.units, np.ones((len(problem.units), 1))], axis=1)    # the bias as one more weight
    point = np.concatenate([change, bias[:, None]], axis=1)
    loss = problem.loss(point[:, :-1], point[:, -1])
    first = None
    for _ in range(_ROUNDS):
        scores = probabilities(problem.logits(point[:, :-1], point[:, -1]))
        gradient = (problem.importance * (scores - problem.targets)).T @ wide + problem.penalty * point
        length = float(np.linalg.norm(gradient))
        first = length if first is None else first
        if length <= _TOLERANCE * len(wide):
            break
        step = _conjugate_gradients(wide, scores, problem, gradient, min(0.5, np.sqrt(length / first)) * length)
        slope, stride = float((gradient * step).sum()), 1.0
        while stride > 1e-6:
            new = point + stride * step
            new_loss = problem.loss(new[:, :-1], new[:, -1])
            if new_loss <= loss + 1e-4 * stride * slope:
                break
            stride /= 2
        else:
            break       # as low as these numbers go
        point, loss = new, new_loss
    return point[:, :-1], point[:, -1]


def _conjugate_gradients(wide: "np.ndarray[Any, Any]", scores: "np.ndarray[Any, Any]", problem: _Problem,
                         gradient: "np.ndarray[Any, Any]", enough: float) -> "np.ndarray[Any, Any]":
    """The step to where the quadratic model of the loss has a gradient of length *enough*."""
    step = np.zeros_like(gradient)
    rest = -gradient
    direction, square = rest, float((rest * rest).sum())
    for _ in range(200):
        if np.sqrt(square) <= enough:
            break
        moved = wide @ direction.T
        moved = problem.importance * scores * (moved - (scores * moved).sum(axis=1, keepdims=True))
        curved = moved.T @ wide + problem.penalty * direction
        stride = square / float((direction * curved).sum())
        step = step + stride * direction
        rest = rest - stride * curved
        former, square = square, float((rest * rest).sum())
        direction = rest + square / former * direction
    return step
