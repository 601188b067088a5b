"""Output tensor -> ranked, named classes.

Knows NumPy and what a model's output looks like.  Knows nothing of pictures, files, engines or devices.
May use: errors, types.
"""
from __future__ import annotations

from .classes import among, class_ids
from .decode import dequantize, ranked, real_features, top_k

__all__ = ["among", "class_ids", "dequantize", "ranked", "real_features", "top_k"]
