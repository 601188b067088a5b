"""Picture -> input tensor: open, upright, region, resize, normalize.

Knows Pillow and NumPy, and what a model's input looks like.  Knows nothing of model files, engines, devices or classes.
May use: errors, arguments, types, reading.
"""
from __future__ import annotations

from .limits import HELD_BYTES, Limits, limits
from .normalization import Channels, Normalization, PixelTable, choose
from .preprocess import FITS, Picture, Prepared, check_region, check_rotate, name_of, prepare
from .scalable import Scalable
from .surveys import EXTENSIONS
from .views import VIEWS, view_of

__all__ = ["Channels", "EXTENSIONS", "FITS", "HELD_BYTES", "Limits", "Normalization", "Picture", "PixelTable",
           "Prepared", "Scalable", "VIEWS", "check_region", "check_rotate", "choose", "limits", "name_of", "prepare",
           "view_of"]
