"""A classifier behind HTTP: pictures at ``/v1/classify``, raw tensors in the Open Inference Protocol at ``/v2``.

Knows requests, their parameters and their answers, and how many of them may wait for the devices.  Knows nothing of how
a model is opened; where it listens, who may come in and how long a body may be is the room ``web``'s.
May use: doors, errors, arguments, events, types, web, pictures, streaming, classifier, pool.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .application import Service, name_for
    from .desk import Desk
    from .metrics import Metrics

__all__ = ["Desk", "Metrics", "Service", "name_for"]

__getattr__ = on_first_use(__name__, {"Desk": "desk", "Metrics": "metrics", "Service": "application",
                                      "name_for": "application"})
