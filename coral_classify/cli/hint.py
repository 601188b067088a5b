"""The line that says, once on a machine, what the package's own model is good for.

Knows one file in the user's folder; nothing of models or pictures.
"""
from __future__ import annotations

import os
import sys

from ..locations import home

__all__ = ["show_once"]

_HINT = ("coral-classify: the package's own model is right on 8 of 10 photographs like those it learned from, and on "
         "3 of 10 others; for any photograph: coral-classify models pull %s, then --model %s"
         % (("efficientnet-edgetpu-s",) * 2))
_MARK = "hint-shown"


def show_once() -> None:
    """Print the line, unless this user's folder says that it was shown.

    Where that cannot be written down, the line is left out: it would come with every call.
    """
    mark = home() / _MARK
    try:
        os.makedirs(str(mark.parent), exist_ok=True)
        # Only one of several that run at once makes it.
        open(str(mark), "x").close()
    except (OSError, ValueError):
        return
    print(_HINT, file=sys.stderr)
