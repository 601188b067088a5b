"""``pycoral.adapters.segment``: the map that a segmentation model drew.  Pure."""
from __future__ import annotations

from typing import Any

import numpy as np

from .common import output_tensor

__all__ = ["get_output"]


def get_output(interpreter: Any) -> "np.ndarray[Any, Any]":
    """The first output without its batch, as uint8: (height, width) class ids, or (height, width, classes) scores."""
    drawn: "np.ndarray[Any, Any]" = output_tensor(interpreter, 0)[0].astype(np.uint8)
    return drawn
