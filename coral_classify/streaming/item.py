"""One picture on its way through a stream."""
from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Optional

import numpy as np

from ..pictures import Picture
from ..types import Inferred, Ready

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["Item"]


class Item:
    """One picture on its way."""

    __slots__ = ("number", "picture", "size", "tries", "tensor", "ready", "inferred", "by", "failure", "done")

    def __init__(self, number: int, picture: Picture) -> None:
        self.number = number
        self.picture = picture
        self.size = _bytes_of(picture)
        self.tries = 0
        self.tensor: "Optional[np.ndarray[Any, Any]]" = None    # lent from decoding to the end
        self.ready: Optional[Ready] = None
        self.inferred: Optional[Inferred] = None
        self.by: "Optional[Steps]" = None      # who inferred
        self.failure: Optional[Exception] = None
        self.done = False

    def __lt__(self, other: "Item") -> bool:
        return self.number < other.number


def _bytes_of(picture: Picture) -> int:
    """What a picture takes in memory before it is decoded; 0 for a file."""
    if isinstance(picture, bytes):
        return len(picture)
    if isinstance(picture, np.ndarray):
        return int(picture.nbytes)
    if isinstance(picture, io.BytesIO):
        return picture.getbuffer().nbytes
    return 0
