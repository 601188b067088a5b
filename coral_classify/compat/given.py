"""Numbers that programs give, taken as the native modules of those APIs take them: a text is none."""
from __future__ import annotations

from typing import Any

__all__ = ["real"]


def real(value: Any) -> float:
    """A real number, of Python's or NumPy's.

    :raises TypeError: for anything else
    """
    if isinstance(value, (str, bytes, bytearray)):      # float() would read them
        raise TypeError("a real number is needed, got %s" % type(value).__name__)
    return float(value)
