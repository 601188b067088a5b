"""Where moving pictures come from: cameras of this machine and of the network, video files, stills, and a drawn one.

Knows how each kind of source is opened, and says in one line why one does not open.  Knows nothing of models, of
answers, or of what is done when a camera drops out: it raises :class:`CameraError` then, and may be opened again.
May use: doors, errors, arguments, pictures (what a picture that can be had smaller is).
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use
from .contract import Camera, Frame

if TYPE_CHECKING:
    from .listing import Found, listed
    from .opening import camera
    from .synthetic import Synthetic

__all__ = ["Camera", "Found", "Frame", "Synthetic", "camera", "listed"]

__getattr__ = on_first_use(__name__, {
    "Found": "listing", "listed": "listing", "camera": "opening", "Synthetic": "synthetic"})
