"""A classifier behind HTTP: pictures at ``/v1/classify``, raw tensors in the Open Inference Protocol at ``/v2``.

Knows requests, their parameters and their answers, and how many of them may wait for the devices.  Knows nothing of how
a model is opened; where it listens, who may come in and how long a body may be is the room ``web``'s.
May use: doors, errors, arguments, types, web, pictures, streaming, classifier, pool.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .application import name_for, service
    from .desk import Desk

__all__ = ["Desk", "name_for", "service"]

__getattr__ = on_first_use(__name__, {"Desk": "desk", "name_for": "application", "service": "application"})
