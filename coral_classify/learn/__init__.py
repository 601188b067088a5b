"""Own classes on top of a network that stays as it is: a small head is learned from a few pictures and put behind it.

Knows features, heads, what to expect of them, and the file that carries them all.  Knows nothing of engines, drivers:
pictures go through a :class:`coral_classify.Classifier`, so a base on an Edge TPU learns on the Edge TPU, supervised.
May use: doors, errors, arguments, types, writing, answers, modelfiles, pictures, placement, classifier.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .evaluation import Evaluation, evaluate
    from .report import html
    from .teacher import Lesson, Teacher

__all__ = ["Evaluation", "Lesson", "Teacher", "evaluate", "html"]

__getattr__ = on_first_use(__name__, {"Teacher": "teacher", "Lesson": "teacher", "Evaluation": "evaluation",
                                      "evaluate": "evaluation", "html": "report"})
