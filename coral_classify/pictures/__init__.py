"""Picture -> input tensor: open, upright, region, resize, normalize.

Knows Pillow and NumPy, and what a model's input looks like.  Knows nothing of model files, engines, devices or classes.
May use: errors, types.
"""
from __future__ import annotations

from .normalization import Channels, Normalization, PixelTable, choose
from .preprocess import FITS, Picture, Prepared, check_region, check_rotate, name_of, prepare

__all__ = ["Channels", "FITS", "Normalization", "Picture", "PixelTable", "Prepared", "check_region", "check_rotate",
           "choose", "name_of", "prepare"]
