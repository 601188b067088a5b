"""A picture that its owner can give smaller, cheaper than whole: a frame of a camera before it is made RGB."""
from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, Tuple

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Scalable"]


class Scalable(abc.ABC):
    """What :func:`coral_classify.pictures.prepare` takes as a picture, asking for no more pixels than it needs.

    :param size: (width, height) of the whole picture
    """

    def __init__(self, size: Tuple[int, int]) -> None:
        self.size = size

    @abc.abstractmethod
    def at(self, size: Tuple[int, int]) -> "np.ndarray[Any, Any]":
        """The whole picture at this size, averaged where it is smaller than it was.

        :param size: (width, height), at most the picture's own
        :returns: (height, width, 3) uint8, RGB
        """
