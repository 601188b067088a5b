"""One picture on its way through a stream."""
from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

import numpy as np

from ..pictures import Picture
from ..types import Inferred, Ready, Result, Wanted

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["Asked", "Item"]

_Tell = Callable[[Optional[Result], Optional[Exception]], None]


class Asked(NamedTuple):
    """A picture with wishes of its own among those of a stream.  Whoever asks hears of it as soon as it is done,
    whatever is before it; the stream does not give it out."""

    picture: Picture
    wanted: Wanted
    tell: _Tell     # called once, in a thread of the stream's: the result, and why there is none or only an error


class Item:
    """One picture on its way."""

    __slots__ = ("number", "picture", "wanted", "tell", "size", "tries", "tensor", "ready", "inferred", "by", "failure",
                 "done")

    def __init__(self, number: int, picture: Picture, wanted: Wanted, tell: Optional[_Tell] = None) -> None:
        self.number = number
        self.picture = picture
        self.wanted = wanted
        self.tell = tell
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
