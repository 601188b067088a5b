"""Steady answers from flickering ones: scores averaged over time, and a change that has to last.

Pure functions of values and moments: no clock, no camera, no device.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .. import arguments

if TYPE_CHECKING:
    import numpy as np

__all__ = ["STEADY", "Held", "Steadiness", "averaged", "seen"]


class Steadiness(NamedTuple):
    """How answers are held."""

    half_life_s: float = 0.5    # after so long a picture counts half; 0: no average
    in_a_row: int = 3           # so many equal answers make a change; 1: each does

    def check(self) -> "Steadiness":
        """:raises UsageError: if it cannot be meant"""
        if arguments.number("half_life_s", self.half_life_s) < 0:
            raise arguments.wrong("half_life_s", "a number of at least 0", self.half_life_s)
        arguments.whole("in_a_row", self.in_a_row, least=1)
        return self


def averaged(before: "Optional[np.ndarray[Any, Any]]", now: "np.ndarray[Any, Any]", elapsed_s: float,
             half_life_s: float) -> "np.ndarray[Any, Any]":
    """The exponentially weighted average after one more picture.

    What came before weighs ``0.5 ** (elapsed_s / half_life_s)``, so that the result depends on time and not on how many
    pictures a device manages.  Quantized values may be averaged as they are: dequantizing is linear.

    :param before: the average so far, float64; None: this is the first
    :param now: raw output, (1, classes)
    :param elapsed_s: between the two pictures
    :returns: float64, in the shape of *now*

    >>> import numpy as np
    >>> averaged(np.array([[0.0, 100.0]]), np.array([[100, 0]], np.uint8), elapsed_s=1.0, half_life_s=1.0)
    array([[50., 50.]])
    """
    latest: "np.ndarray[Any, Any]" = now.astype("float64")
    if before is None or half_life_s <= 0:
        return latest
    weight = 0.5 ** (max(0.0, elapsed_s) / half_life_s)
    latest *= 1 - weight
    latest += weight * before
    return latest


STEADY = Steadiness()


class Held(NamedTuple):
    """The answer that was published, and the one that may follow it."""

    published: Optional[int] = None     # class id; None: no class reaches the threshold
    candidate: Optional[int] = None
    times: int = 0                      # that the candidate was seen in a row
    begun: bool = False                 # something was published

    def changed_from(self, before: "Held") -> bool:
        return not before.begun or self.published != before.published


def seen(held: Held, class_id: Optional[int], in_a_row: int) -> Held:
    """What follows from one more answer.  The first one is published at once: there is nothing to hold on to.

    >>> held = seen(Held(), 7, in_a_row=2)
    >>> [seen(held, 8, 2).published, seen(seen(held, 8, 2), 8, 2).published]
    [7, 8]
    """
    if not held.begun or class_id == held.published:
        return Held(class_id, class_id, 0, True)
    times = held.times + 1 if class_id == held.candidate and held.times else 1
    if times >= in_a_row:
        return Held(class_id, class_id, 0, True)
    return Held(held.published, class_id, times, True)
