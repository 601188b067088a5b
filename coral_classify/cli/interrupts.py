"""Ctrl-C gives one line, whenever it comes.  See also :mod:`coral_classify.__main__`, where it begins."""
from __future__ import annotations

import signal
from typing import Optional

__all__ = ["begin", "is_behind"]


def begin() -> None:
    """From here on there is something to end in order: Ctrl-C raises KeyboardInterrupt, as usual, and ends nothing at
    once."""
    if getattr(signal.getsignal(signal.SIGINT), "while_loading", False):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_behind(exc: Optional[BaseException]) -> bool:
    """Whether an error is what became of Ctrl-C: modules that were loading at that moment make an ImportError of it."""
    while exc is not None:
        if isinstance(exc, KeyboardInterrupt):
            return True
        exc = exc.__cause__ or exc.__context__
    return False
