"""Raw output tensor -> ranked classes.  Pure NumPy: no files, no engine."""
from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from ..errors import UsageError
from ..types import Quantization

__all__ = ["top_k", "dequantize", "ranked", "real_features"]


def top_k(scores: "np.ndarray[Any, Any]", k: int) -> List[Tuple[int, Any]]:
    """The *k* best classes, best first; equal scores keep id order.

    :param scores: (classes,) raw integers or float32
    :raises UsageError: if k < 1 (a ValueError)

    >>> [(i, int(s)) for i, s in top_k(np.array([1, 7, 2]), k=2)]
    [(1, 7), (2, 2)]
    """
    if k < 1:
        raise UsageError("top_k must be at least 1, got %r" % (k,))
    # The ones' complement turns the order round without overflow; the stable sort of small integers is a
    # radix sort: 1001 classes take about 10 microseconds.
    descending = -scores if scores.dtype.kind == "f" else ~scores
    order = np.argsort(descending, kind="stable")[:k]
    return [(int(i), scores[i]) for i in order]


def dequantize(stored: Any, quantization: Quantization) -> float:
    """``scale * (stored - zero_point)`` for an integer; a float32 as it is."""
    if quantization.scale == 0.0:
        return float(stored)
    return quantization.scale * (int(stored) - quantization.zero_point)


def ranked(
    output: "np.ndarray[Any, Any]",
    quantization: Quantization,
    *,
    k: int,
    threshold: Optional[float] = None,
    among: Optional[Sequence[int]] = None,
) -> List[Tuple[int, float]]:
    """The *k* best classes with their real scores.  Ranked on the stored values; only those kept are dequantized.

    :param output: (1, classes), uint8, int8 or float32
    :param threshold: real score below which a class is left out
    :param among: the only class ids to consider, ascending; None for all
    :raises UsageError: if k < 1

    >>> ranked(np.array([[0, 200, 40]], np.uint8), Quantization(1 / 256, 0), k=2, threshold=0.5)
    [(1, 0.78125)]
    """
    scores = output.reshape(-1)
    if output.dtype.kind == "f":
        quantization = Quantization(0.0, 0)
    if among is None:
        best = top_k(scores, k)
    else:
        ids = np.asarray(among, dtype=np.intp)
        best = [(int(ids[i]), score) for i, score in top_k(scores[ids], k)]
    real = [(i, dequantize(score, quantization)) for i, score in best]
    return real if threshold is None else [(i, score) for i, score in real if score >= threshold]


def real_features(output: "np.ndarray[Any, Any]", quantization: Quantization,
                  unit: bool = True) -> "np.ndarray[Any, Any]":
    """The real values of an output that holds features.

    :param output: of any shape, uint8, int8 or float32
    :param unit: divided by their length

    >>> real_features(np.array([[0, 6, 8]], np.uint8), Quantization(0.5, 0)).tolist()
    [0.0, 0.6000000238418579, 0.800000011920929]
    """
    features = output.reshape(-1).astype(np.float32)
    if output.dtype.kind != "f" and quantization.scale:
        features = np.float32(quantization.scale) * (features - quantization.zero_point)
    length = float(np.linalg.norm(features)) if unit else 1.0
    return np.asarray(features / np.float32(length or 1.0))
