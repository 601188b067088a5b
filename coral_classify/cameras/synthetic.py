"""A moving picture that ships: a disc that wanders over stripes and changes its colour, drawn with NumPy.

Each frame carries its number in its pixels, so that whoever measures knows which one was answered.
"""
from __future__ import annotations

import functools
import math
import threading
import time
from typing import Any, Iterator, Optional, Tuple

import numpy as np

from .. import arguments
from .contract import Camera, Frame

__all__ = ["Synthetic", "drawn", "stamp"]

_BITS = 24
_COLOURS = ((220, 40, 40), (40, 200, 60), (50, 80, 230), (230, 200, 40))
_STAY_S = 3.0           # how long the disc keeps a colour
_ROUND_S = 8.0          # how long it takes around


class Synthetic(Camera):
    """The camera ``test``.

    :param size: width and height in pixels
    :param rate: frames per second; 0: as fast as they are taken
    :param count: so many, then it ends; None: endless
    :raises UsageError: for what cannot be meant
    """

    def __init__(self, size: Tuple[int, int] = (640, 480), rate: float = 30.0, count: Optional[int] = None) -> None:
        super().__init__("test")
        self._size = arguments.size("size", size, least=(_BITS, 8))
        self._rate = arguments.number("rate", rate)
        if self._rate < 0:
            raise arguments.wrong("rate", "a number of at least 0", rate)
        self._count = None if count is None else arguments.whole("count", count, least=0)
        self.live = self._rate > 0

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        began = time.monotonic()
        number = 0
        while (self._count is None or number < self._count) and not over.is_set():
            number += 1
            due = began + number / self._rate if self._rate else time.monotonic()
            if over.wait(max(0.0, due - time.monotonic())):
                return
            if self._rate and time.monotonic() - due > 1.0:     # the machine slept: go on from here
                began = time.monotonic() - number / self._rate
            at_s = number / (self._rate or 30.0)
            yield Frame(self.name, time.monotonic(), at_s, functools.partial(drawn, self._size, at_s, number))


def drawn(size: Tuple[int, int], at_s: float, number: int) -> "np.ndarray[Any, Any]":
    """The picture at a moment.

    :returns: (height, width, 3) uint8, RGB

    >>> stamp(drawn((64, 48), 1.5, 12345))
    12345
    """
    width, height = size
    radius = min(size) / 4
    angle = 2 * math.pi * at_s / _ROUND_S
    x = width / 2 + (width / 2 - radius) * math.cos(angle)
    y = height / 2 + (height / 2 - radius) * math.sin(angle)
    stripes = ((np.arange(width) + int(at_s * 30)) // 16 % 2 * 24 + 100).astype(np.uint8)
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = stripes[None, :, None]
    rows, columns = np.ogrid[:height, :width]
    pixels[(columns - x) ** 2 + (rows - y) ** 2 < radius ** 2] = _COLOURS[int(at_s / _STAY_S) % len(_COLOURS)]
    side = max(1, width // _BITS)
    bits = (number >> np.arange(_BITS)) & 1
    pixels[:4, :side * _BITS] = np.repeat(bits * 255, side).astype(np.uint8)[None, :, None]
    return pixels


def stamp(pixels: "np.ndarray[Any, Any]") -> int:
    """The number that a drawn picture carries.

    :param pixels: (height, width, 3) uint8, as drawn
    """
    side = max(1, pixels.shape[1] // _BITS)
    bits = pixels[1, side // 2:side * _BITS:side, 0] > 127
    return int((bits.astype(np.int64) << np.arange(_BITS)).sum())
