"""How far a share that was counted can be from the true one.  Pure Python."""
from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Share", "share"]

_Z = 1.959964       # 95 %


class Share(NamedTuple):
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    of: int             # how many were counted

    def __str__(self) -> str:
        return "%.0f %% (%.0f to %.0f)" % (100 * self.value, 100 * self.low, 100 * self.high)


def share(hits: float, of: int) -> Share:
    """Wilson's score interval (1927), which is honest with few and with all.

    >>> str(share(8, 8)), str(share(95, 100))
    ('100 % (68 to 100)', '95 % (89 to 98)')
    """
    if of == 0:
        return Share(0.0, 0.0, 1.0, 0)
    hits = float(hits)
    value = hits / of
    middle = (value + _Z * _Z / (2 * of)) / (1 + _Z * _Z / of)
    half = _Z / (1 + _Z * _Z / of) * math.sqrt(value * (1 - value) / of + _Z * _Z / (4 * of * of))
    return Share(value, max(0.0, middle - half), min(1.0, middle + half), of)
