"""What there is to see now, and what was seen in the last hour: told by whoever watches, read by viewers.

Telling costs next to nothing, whether somebody looks or not: results are put away as they are.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, NamedTuple, Optional, Tuple

if TYPE_CHECKING:
    from ..types import Result

__all__ = ["Scene", "View"]

_HOUR_S = 3600.0
_MOST_SEEN = 2000       # answers of the last hour; a camera that flickers more often than that loses the oldest
_MOST_TOLD = 50         # events of devices and of the camera
_RATE_S = 5.0           # over which a rate is taken


class View(NamedTuple):
    """How the model looks at a frame; see :func:`coral_classify.pictures.prepare`."""

    region: "Optional[Tuple[float, ...]]" = None
    rotate: int = 0


class _Seen(NamedTuple):
    at: float               # time.time()
    label: str              # "": no class reached the threshold
    score: float


class Scene:
    """The newest result and its frame, the answers of the last hour, counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self.number = 0             # of results so far; another one: there is something new to see
        self.changes = 0            # of the history, likewise
        self._result: "Optional[Result]" = None
        self._frame: Any = None
        self._framed_at = float("-inf")
        self._seen: Deque[_Seen] = deque(maxlen=_MOST_SEEN)
        self._told: Deque[Tuple[float, str]] = deque(maxlen=_MOST_TOLD)
        self._skipped = self._failed = self._faults = 0
        self._lately: Deque[float] = deque(maxlen=512)     # when results came

    def tell(self, result: "Result") -> None:
        """A result with its frame, as :meth:`coral_classify.Classifier.watch` gives it."""
        now = time.time()
        with self._lock:
            self.number += 1
            self._result = result
            if result.frame is not None:
                self._frame = result.frame
                self._framed_at = time.monotonic()
            self._lately.append(time.monotonic())
            self._skipped += result.skipped or 0
            self._faults += result.recovered
            if result.error is not None:
                self._failed += 1
            elif result.changed:
                best = result.predictions[0] if result.predictions else None
                self._seen.append(_Seen(now, best.label if best else "", float(best.score) if best else 0.0))
                self.changes += 1

    def happened(self, message: str) -> None:
        """Something happened to the camera or to a device."""
        with self._lock:
            self._told.append((time.time(), message))
            self.changes += 1

    def frame(self) -> Tuple[int, Any]:
        """The number of the newest result, and the newest picture; None before the first one."""
        with self._lock:
            return self.number, self._frame

    @property
    def frame_age_s(self) -> float:
        """How long ago that picture came."""
        return time.monotonic() - self._framed_at

    def now(self) -> Dict[str, Any]:
        """The newest result and the counts, in plain types."""
        with self._lock:
            result, seen = self._result, self._seen[-1] if self._seen else None
            rate = self._rate()
            last = self._lately[-1] if self._lately else None
            counts: Dict[str, Any] = {
                "answered": self.number, "skipped": self._skipped, "failed": self._failed, "faults": self._faults,
                "per_s": round(rate, 1), "held": {"label": seen.label, "since": seen.at} if seen is not None else None}
        record = result.to_dict() if result is not None else {}
        record.update(counts)       # "skipped" is that of all results
        if last is not None:
            record["ago_ms"] = round((time.monotonic() - last) * 1e3)
        return record

    def hour(self) -> Dict[str, Any]:
        """The answers and events of the last hour, oldest first, in plain types."""
        since = time.time() - _HOUR_S
        with self._lock:
            seen = list(self._seen)
            told = [each for each in self._told if each[0] >= since]
        first = next((i for i, each in enumerate(seen) if each.at >= since), len(seen))
        return {"seen": [list(each) for each in seen[max(0, first - 1):]],     # one more: it still held
                "told": [list(each) for each in told]}

    def _rate(self) -> float:
        """Results a second, lately; in the lock."""
        now = time.monotonic()
        lately = sum(now - at <= _RATE_S for at in self._lately)
        span = min(_RATE_S, now - self._began)
        return lately / span if span > 0 else 0.0
