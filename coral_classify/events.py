"""What happens to a supervised device, and how its user hears of it: a callback, the log."""

from __future__ import annotations

import logging
from typing import Callable, NamedTuple, Optional

__all__ = ["ON_DEVICE_LOSS", "Event", "Teller"]

# What is to happen when a device is lost: its twin on the CPU answers, it is waited for, the picture in flight fails.
ON_DEVICE_LOSS = ("cpu", "retry", "raise")

_logger = logging.getLogger("coral_classify.supervised")


class Event(NamedTuple):
    """Something that happened to a device."""

    # "lost", "failed_over", "back" or "rested"; of a first opening "opening" (it takes long), "absent" (it is tried
    # again in the background) and, after one of these, "open"
    kind: str
    device: str  # "usb:0", …
    message: str  # one line: what, why, what follows


class Teller:
    """Passes events on.  Apart from the session, so that no thread keeps a forgotten session alive."""

    def __init__(self, on_event: Optional[Callable[[Event], None]]) -> None:
        self._on_event = on_event

    def __call__(self, event: Event) -> None:
        level = logging.INFO if event.kind in ("back", "open") else logging.WARNING
        # Where logging is not set up, its last resort would print what the callback is about to tell.
        if self._on_event is None or _logger.hasHandlers():
            _logger.log(level, "%s", event.message)
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("on_event failed for %r", event)
