"""A page that shows a camera and its answers while they are made, and teaches: hold a button to show a class.

Knows results, their pictures and the Teacher.  Knows nothing of cameras and devices: whoever watches tells it each
result.
May use: doors, errors, types, web, pictures, edgetpu, learn.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .page import Page
    from .scene import View

__all__ = ["Page", "View"]

__getattr__ = on_first_use(__name__, {"Page": "page", "View": "scene"})
