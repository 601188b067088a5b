"""Several devices as one: pictures go to whichever is free, results come in order, each once.

Knows the devices of a machine, and what goes on where one of them is lost.  Does no step of a picture itself.
May use: errors, arguments, types, events, pictures, edgetpu, engine, placement, streaming, classifier.
"""
from __future__ import annotations

from .pool import Pool

__all__ = ["Pool"]
