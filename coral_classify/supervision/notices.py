"""What a keeper tells of its device: one line for each thing that happened, in their order.

Knows words and the queue before whoever hears them.  Decides nothing.
"""

from __future__ import annotations

import signal
from collections import deque
from typing import Callable, Deque, List, Optional

from ..edgetpu import worth_quoting
from ..errors import CoralClassifyError
from ..events import Event
from .health import Decision

__all__ = ["Notices", "is_crash", "quote", "way_out"]

_CRASHES = {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
_CAUSE = (
    "likely causes: a weak power supply, a bad cable or hub, or heat; `coral-classify doctor` shows link speed, "
    "temperature and what else is wrong"
)


class Notices:
    """Events that wait to be told by the keeper's thread; any thread may add one.

    :param tell: receives them
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._waiting: Deque[Event] = deque()

    def add(self, kind: str, device: str, message: str) -> None:
        self._waiting.append(Event(kind, device, message))

    def lost(self, device: str, trouble: CoralClassifyError, decision: Decision) -> None:
        what_next = "" if decision.rested else "; " + _again(decision.pause_s)
        self.add("lost", device, "%s lost: %s%s" % (device, trouble, what_next))
        if decision.rested:
            self.rested(device, decision.pause_s)

    def rested(self, device: str, pause_s: float) -> None:
        self.add("rested", device, "%s failed repeatedly and rests for %.0f s; %s" % (device, pause_s, _CAUSE))

    def absent(self, device: str, trouble: CoralClassifyError) -> None:
        """At its first opening, where it is tried again."""
        self.add("absent", device, "going on on the CPU, and looking for %s in the background: %s" % (device, trouble))

    def opening(self, device: str, open_s: float, on_cpu_meanwhile: bool) -> None:
        """The first opening takes a while."""
        what = "the model" if device == "cpu" else device
        meanwhile = "; the CPU answers meanwhile" if on_cpu_meanwhile else ""
        self.add("opening", device, "opening %s; this takes %.0f s at most%s" % (what, open_s, meanwhile))

    def flush(self) -> None:
        """For the keeper's thread."""
        while self._waiting:
            self._tell(self._waiting.popleft())


def _again(pause_s: float) -> str:
    return "trying again at once" if pause_s <= 0 else "trying again in %g s" % pause_s


def way_out(code: Optional[int]) -> str:
    """How a process ended.

    :param code: its return code as subprocess counts it

    >>> way_out(-6), way_out(3), way_out(None)
    ('aborted (SIGABRT)', 'ended with code 3', 'ended')
    """
    if code is None:
        return "ended"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "signal %d" % -code
        return {"SIGABRT": "aborted (SIGABRT)", "SIGSEGV": "crashed (SIGSEGV)"}.get(name, "died of " + name)
    return "ended with code %d" % code


def is_crash(code: Optional[int]) -> bool:
    """Whether a process that ended so crashed of itself: an external kill, for want of memory say, does not count."""
    return code is not None and -code in _CRASHES


def quote(words: List[str]) -> str:
    """The line that says most of why, to be appended to a sentence; empty if all are chatter."""
    line = worth_quoting(words)
    return ": %s" % line[:300] if line else ""
