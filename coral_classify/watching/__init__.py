"""A camera through a device: the newest picture only, or all of them; steady answers; a camera that drops out and
comes back.

Knows threads, clocks and pauses.  What a camera is, and what is done to a picture, comes as an argument.
May use: doors, errors, arguments, types, events, cameras, streaming, supervision (when to try again).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from .steady import STEADY, Steadiness

if TYPE_CHECKING:
    from .watching import watch

__all__ = ["STEADY", "Steadiness", "watch"]

# Whoever classifies single pictures needs no cameras.
__getattr__ = on_first_use(__name__, {"watch": "watching"})
