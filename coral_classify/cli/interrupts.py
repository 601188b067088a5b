"""Ctrl-C gives one line, whenever it comes.  See also :mod:`coral_classify.__main__`, where it begins."""
from __future__ import annotations

import contextlib
import signal
from typing import Iterator, Optional

__all__ = ["begin", "is_behind", "is_the_end"]


def begin() -> None:
    """From here on there is something to end in order: Ctrl-C raises KeyboardInterrupt, as usual, and ends nothing at
    once."""
    if getattr(signal.getsignal(signal.SIGINT), "while_loading", False):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_behind(exc: Optional[BaseException]) -> bool:
    """Whether an error is what became of Ctrl-C: a module that was loading then makes an ImportError of it, and a lock
    that was just let go a RuntimeError."""
    while exc is not None:
        if isinstance(exc, KeyboardInterrupt):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


@contextlib.contextmanager
def is_the_end() -> Iterator[None]:
    """For work without an end of its own: Ctrl-C ends it, and is no error."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as exc:
        if not is_behind(exc):
            raise
