"""``pycoral.adapters.classify``: scores and best classes of an interpreter that has run.

Pure; ranks as PyCoral does, by score alone.  The ranking of this package's own results is another one
(:mod:`coral_classify.answers`): there equal scores go by class id.
"""
from __future__ import annotations

import operator
from typing import Any, List, NamedTuple

import numpy as np

__all__ = ["Class", "get_classes", "get_classes_from_scores", "get_scores", "num_classes"]


class Class(NamedTuple):
    """A class and its score; ``id`` is a NumPy integer, as PyCoral has it."""

    id: int
    score: float


def num_classes(interpreter: Any) -> int:
    """How many classes the first output has: the product of its shape."""
    return int(np.prod(interpreter.get_output_details()[0]["shape"]))


def get_scores(interpreter: Any) -> "np.ndarray[Any, Any]":
    """All scores of the first output: (classes,), real values; a copy."""
    details = interpreter.get_output_details()[0]
    raw: "np.ndarray[Any, Any]" = interpreter.tensor(details["index"])().flatten()  # a copy
    if not np.issubdtype(details["dtype"], np.integer):
        return raw
    scale, zero_point = details["quantization"]
    # In int64: an unsigned difference would wrap around below the zero point.
    scores: "np.ndarray[Any, Any]" = scale * (raw.astype(np.int64) - zero_point)
    return scores


def get_classes_from_scores(scores: "np.ndarray[Any, Any]", top_k: float = float("inf"),
                            score_threshold: float = -float("inf")) -> List[Class]:
    """The *top_k* best classes that reach the threshold, best first.

    >>> [int(best.id) for best in get_classes_from_scores(np.array([0.1, 0.7, 0.2]), top_k=2)]
    [1, 2]
    """
    count = len(scores) if top_k >= len(scores) else operator.index(top_k)      # type: ignore[arg-type]
    best = np.argpartition(scores, -count)[-count:]
    return sorted((Class(i, scores[i]) for i in best if scores[i] >= score_threshold),
                  key=lambda one: one.score, reverse=True)


def get_classes(interpreter: Any, top_k: float = float("inf"),
                score_threshold: float = -float("inf")) -> List[Class]:
    """The *top_k* best classes of the latest inference."""
    return get_classes_from_scores(get_scores(interpreter), top_k, score_threshold)
