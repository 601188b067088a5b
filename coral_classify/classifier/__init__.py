"""The façade: one model on one device, pictures in, ranked classes out.

Knows every lower room that a picture passes through, and does the work of none.
May use: errors, arguments, types, events, pictures, answers, modelfiles, edgetpu, engine, placement, streaming,
cameras, watching.
"""
from __future__ import annotations

from .classifier import Classifier, Number

__all__ = ["Classifier", "Number"]
