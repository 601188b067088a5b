"""Many pictures through one device or several: decoded ahead in threads, answered by whichever device is free, given
out in order, each once.

Knows threads and queues.  Knows nothing of pictures, tensors or models: what is done to a picture, and on what, comes
as an argument (:class:`Steps`).
May use: errors, arguments, types, pictures (the type alone), engine (how many cores there are).
"""
from __future__ import annotations

from .item import Asked
from .steps import Steps
from .streams import stream

__all__ = ["Asked", "Steps", "stream"]
