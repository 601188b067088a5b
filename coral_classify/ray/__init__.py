"""A classifier for the actors of Ray Data, where one machine is not enough.

Knows batches of pictures, and tables of answers.  Schedules nothing: who works where, and what happens when a worker is
killed, is Ray's business.  The package ``ray`` itself is imported absolutely, and only inside an actor.
May use: doors, errors, arguments, types, engine, classifier.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .actor import RayClassifier

__all__ = ["RayClassifier"]

__getattr__ = on_first_use(__name__, {"RayClassifier": "actor"})
