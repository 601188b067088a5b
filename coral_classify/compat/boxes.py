"""``BBox`` of ``pycoral.adapters.detect``: the arithmetic of rectangles.  Pure."""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

__all__ = ["BBox"]


class BBox(NamedTuple):
    """A rectangle; numbers of whatever kind.

    >>> BBox.iou(BBox(0, 0, 200, 200), BBox(100, 100, 300, 300))
    0.14285714285714285
    """

    xmin: Any
    ymin: Any
    xmax: Any
    ymax: Any

    @property
    def width(self) -> Any:
        return self.xmax - self.xmin

    @property
    def height(self) -> Any:
        return self.ymax - self.ymin

    @property
    def area(self) -> Any:
        return self.width * self.height

    @property
    def valid(self) -> bool:
        """Whether no side is negative."""
        return bool(self.width >= 0 and self.height >= 0)

    def scale(self, sx: float, sy: float) -> "BBox":
        return BBox(sx * self.xmin, sy * self.ymin, sx * self.xmax, sy * self.ymax)

    def translate(self, dx: float, dy: float) -> "BBox":
        return BBox(dx + self.xmin, dy + self.ymin, dx + self.xmax, dy + self.ymax)

    def map(self, f: Callable[[Any], Any]) -> "BBox":
        """*f* applied to each of the four numbers."""
        return BBox(*(f(number) for number in self))

    @staticmethod
    def intersect(a: "BBox", b: "BBox") -> "BBox":
        """What both cover; not ``valid`` where they do not meet."""
        return BBox(max(a.xmin, b.xmin), max(a.ymin, b.ymin), min(a.xmax, b.xmax), min(a.ymax, b.ymax))

    @staticmethod
    def union(a: "BBox", b: "BBox") -> "BBox":
        """The smallest rectangle around both."""
        return BBox(min(a.xmin, b.xmin), min(a.ymin, b.ymin), max(a.xmax, b.xmax), max(a.ymax, b.ymax))

    @staticmethod
    def iou(a: "BBox", b: "BBox") -> float:
        """Intersection over union: 1.0 where they are the same, 0.0 where they do not meet."""
        common = BBox.intersect(a, b)
        if not common.valid:
            return 0.0
        share: float = common.area / (a.area + b.area - common.area)
        return share
