"""Other views of a picture, made from its input tensor: what is really there is seen in them, too.

Knows shapes only; nothing of pixels' types, of networks or of scores.
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

__all__ = ["VIEWS", "view_of"]

VIEWS = ("mirror", "middle")
_MIDDLE = 0.8       # of both sides


def view_of(tensor: "np.ndarray[Any, Any]", view: str) -> "np.ndarray[Any, Any]":
    """Another view in a tensor of the same shape and type, as a copy.

    :param tensor: (1, height, width, channels)
    :param view: "mirror": left and right exchanged; "middle": the middle 80 % of both sides, enlarged by repeating
        pixels
    :raises ValueError: for another name
    """
    if view == "mirror":
        return tensor[:, :, ::-1].copy()
    if view == "middle":
        rows, columns = (_middle(size) for size in tensor.shape[1:3])
        enlarged: "np.ndarray[Any, Any]" = tensor[:, rows][:, :, columns]
        return enlarged
    raise ValueError("there is no view %r; there are %s" % (view, ", ".join(VIEWS)))


def _middle(size: int) -> "np.ndarray[Any, Any]":
    """Which row each row of the enlarged middle shows."""
    import numpy as np

    return np.rint((np.arange(size) + 0.5 - size / 2) * _MIDDLE + size / 2 - 0.5).astype(int)
