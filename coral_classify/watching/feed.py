"""The frames of a camera, read in a thread of their own: the newest, or all.  A camera that drops out is reported once
and opened again with growing pauses; one that stalls without an error is found by a deadline.

Whoever takes the frames keeps the clock: nothing is opened again while nobody asks.
"""
from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, Deque, List, Optional

from ..cameras import Camera, Frame
from ..errors import CameraError
from ..events import Event
from ..supervision import DeviceHealth

__all__ = ["Ended", "Feed"]

_ROOM = 4           # frames that wait, where none may be lost
_HANGING = 3        # so many readers that do not come back are waited for, before there is one more
_GRACE_S = 1.0      # for a reader in progress when the feed is closed


class Ended(Exception):
    """There are no more frames."""


class _Attempt:
    """One opening of the camera, and the thread that reads it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.works = False      # it gave a frame
        self.done = False
        self.failure: Optional[Exception] = None
        self.thread: Optional[threading.Thread] = None


class Feed:
    """The frames of one camera.

    :param newest: give the latest frame only, and let go of those before it; else each, and let the camera wait
    :param stall_s: a live camera that gives nothing for so long has stalled
    :param tell: hears when the camera is lost, and when it is back
    """

    def __init__(self, camera: Camera, *, newest: bool, stall_s: float, tell: Callable[[Event], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._camera = camera
        self._newest = newest
        self._stall_s = stall_s
        self._tell = tell
        self._clock = clock
        self._health = DeviceHealth()
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)     # a frame, or the end of the attempt
        self._room = threading.Condition(self._lock)
        self._frames: Deque[Frame] = deque()
        self._read = 0                  # frames so far
        self._heard_at = clock()        # when the camera last gave one, or was opened
        self._ever = False              # it gave one
        self._lost = False
        self._hanging: List[threading.Thread] = []
        self._closed = False
        self._attempt: Optional[_Attempt] = None
        self._begin()

    def take(self, wait_s: float) -> Optional[Frame]:
        """The next frame, or the newest.  None: there is none yet, and it may be asked again.

        :raises Ended: if there are no more
        :raises CameraError: if the camera does not open at first, or a file cannot be read to its end
        """
        attempt = self._attempt
        with self._lock:
            if not self._frames and attempt is not None and not attempt.done:
                self._arrived.wait(wait_s)
            frame = self._frames.popleft() if self._frames else None
            self._room.notify()
        now = self._clock()
        if frame is not None:
            if self._newest and now - frame.taken_at > self._stall_s:
                return None             # it lay here while nobody asked, and the camera gave no other
            if self._lost:
                self._lost = False
                self._tell(Event("back", self._camera.name, "camera %s: is back" % self._camera.name))
            self._ever = True
            return frame
        if attempt is None:
            self._begin_again(now, wait_s)
        elif attempt.done:
            self._ended(attempt, now)
        elif self._camera.live and now - self._heard_at > self._stall_s:
            self._abandon(attempt)
            self._fail(CameraError("%s: gave no picture for %g s" % (self._camera.name, self._stall_s)), now)
        return None

    def close(self) -> None:
        """Let go of the camera.  A read that hangs in the driver is not waited for: its thread ends with it."""
        with self._lock:
            self._closed = True
            attempt, self._attempt = self._attempt, None
            if attempt is not None:
                attempt.over.set()
            self._frames.clear()
            self._room.notify_all()
            self._arrived.notify_all()
        if attempt is not None and attempt.thread is not None:
            attempt.thread.join(_GRACE_S)

    # ---- openings

    def _begin(self) -> None:
        attempt = self._attempt = _Attempt()
        self._heard_at = self._clock()
        attempt.thread = threading.Thread(target=self._reader, args=(attempt,), name="coral-classify-camera",
                                          daemon=True)
        attempt.thread.start()

    def _begin_again(self, now: float, wait_s: float) -> None:
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        pause = self._health.wait_s(now)
        if pause <= 0 and len(self._hanging) < _HANGING:
            self._begin()
        else:
            with self._lock:
                if not self._closed:
                    self._arrived.wait(min(wait_s, pause) if pause > 0 else wait_s)

    def _ended(self, attempt: _Attempt, now: float) -> None:
        if attempt.failure is None:
            raise Ended
        if not isinstance(attempt.failure, CameraError) or not self._camera.live:
            raise attempt.failure
        self._attempt = None
        self._fail(attempt.failure, now)

    def _abandon(self, attempt: _Attempt) -> None:
        """Its reader may hang in the driver for ever."""
        with self._lock:
            self._attempt = None
            attempt.over.set()
            self._room.notify_all()
        if attempt.thread is not None:
            self._hanging.append(attempt.thread)

    def _fail(self, failure: CameraError, now: float) -> None:
        if not self._ever:
            raise failure       # it never worked: that is for the user to mend
        self._health.absent(now)
        if not self._lost:
            self._lost = True
            self._tell(Event("lost", self._camera.name, "camera %s; trying again until it is back" % failure))

    # ---- the reader's thread

    def _reader(self, attempt: _Attempt) -> None:
        frames = self._camera.frames(attempt.over)
        try:
            for frame in frames:
                if not self._put(attempt, frame):
                    break
        except Exception as exc:
            attempt.failure = exc
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()
            with self._lock:
                attempt.done = True
                self._arrived.notify_all()

    def _put(self, attempt: _Attempt, frame: Frame) -> bool:
        with self._lock:
            while not self._newest and len(self._frames) >= _ROOM and not attempt.over.is_set():
                self._room.wait()
            if self._attempt is not attempt:    # it was given up
                return False
            self._read += 1
            now = self._clock()
            self._heard_at = now
            if self._newest:
                self._frames.clear()
            self._frames.append(frame._replace(number=self._read))
            if not attempt.works:
                attempt.works = True
                self._health.opened(now)
            self._arrived.notify()
        return not attempt.over.is_set()
