"""What a check found."""
from __future__ import annotations

from typing import NamedTuple

__all__ = ["Check"]


class Check(NamedTuple):
    """One finding."""

    name: str           # "python", "permission"
    status: str         # "ok", "warning" or "problem"
    cause: str          # one line: what is so
    evidence: str = ""  # the facts behind it
    command: str = ""   # what mends it
