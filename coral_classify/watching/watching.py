"""Watch a camera: what waits, what is let go, and who does what meanwhile.

A live camera: one thread reads it, one prepares the newest frame, and the caller's asks the device; each has one frame
at most, and a newer one takes the place of one that waits.  Where every frame counts, the stream for pictures does it.
"""
from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, NamedTuple, Optional, Union

from .. import arguments
from ..cameras import Camera, Frame
from ..cameras import camera as named
from ..errors import CoralClassifyError, SessionClosed, UsageError
from ..events import Event, Teller
from ..streaming import Steps, stream
from .feed import Ended, Feed
from .frames import FrameSteps
from .steady import STEADY, Steadiness

if TYPE_CHECKING:
    import numpy as np

    from ..types import Ready, Result, Wanted

__all__ = ["watch"]

_LOOK_S = 0.1       # how often whoever waits for a frame looks up
_GRACE_S = 0.5      # for a frame that is being prepared when it ends


def watch(
    classifier: Steps,
    camera: "Union[Camera, str, os.PathLike[str], None]",
    wanted: "Wanted",
    *,
    every_s: float = 0.0,
    every_frame: bool = False,
    steadiness: Optional[Steadiness] = STEADY,
    stall_s: float = 10.0,
    with_frames: Union[bool, Callable[[], bool]] = False,
    on_event: Optional[Callable[[Event], None]] = None,
) -> "Iterator[Result]":
    """The answers for the frames of a camera; closing the generator leaves no thread, and the camera to others.

    :param camera: or the name of one; see :func:`coral_classify.cameras.camera`
    :param every_s: seconds between two answers, of a file between two frames; 0: as many as the device manages
    :param every_frame: lose no frame of a live camera, at the price of old pictures; of files none is ever lost
    :param steadiness: None: each answer as it comes
    :param stall_s: a live camera that gives nothing for so long has dropped out
    :param with_frames: results carry their picture; or a function that is asked for each result whether it does: a
        large frame of a video takes some milliseconds to become a picture
    :param on_event: called when the camera is lost, and when it is back
    :raises UsageError: at once, for a parameter that cannot be meant
    :raises CameraError: if the camera does not open; once it has worked, it may drop out and come back
    :raises SessionClosed: if the session is closed on the way
    """
    every_s, stall_s = arguments.number("every_s", every_s), arguments.number("stall_s", stall_s, above=0)
    every_frame = arguments.flag("every_frame", every_frame)
    with_frames = with_frames if callable(with_frames) else arguments.flag("with_frames", with_frames)
    if every_s < 0:
        raise arguments.wrong("every_s", "a number of at least 0", every_s)
    if every_s and every_frame:
        raise UsageError("every frame, or one every %g s: not both" % every_s)
    if steadiness is not None:
        arguments.instance("steadiness", steadiness, Steadiness).check()
    if on_event is not None:
        arguments.callback("on_event", on_event)
    if not isinstance(camera, Camera):
        camera = named(camera, stall_s=stall_s)
    steps = FrameSteps(classifier, steadiness if camera.moving else None, with_frames)
    newest = camera.live and not every_frame
    return _watched(steps, camera, wanted, newest, every_s, stall_s, Teller(on_event))


def _watched(steps: FrameSteps, camera: Camera, wanted: "Wanted", newest: bool, every_s: float, stall_s: float,
             tell: Teller) -> "Iterator[Result]":
    feed = Feed(camera, newest=newest, stall_s=stall_s, tell=tell)
    try:
        if not newest:
            frames = _all(feed, 0.0 if camera.live else every_s)
            answers = stream([steps], frames, wanted, ahead=8,          # type: ignore[list-item,arg-type]
                             decoders=None, max_bytes=64 << 20)
        elif every_s:
            answers = _now_and_then(steps, feed, wanted, every_s)
        else:
            answers = _newest(steps, feed, wanted)
        try:
            yield from answers
        finally:
            answers.close()     # type: ignore[attr-defined]
    finally:
        feed.close()


def _all(feed: Feed, every_s: float) -> Iterator[Optional[Frame]]:
    """Each frame, or of a file one every so many seconds of its own time; None while there is none."""
    due_s: Optional[float] = None
    while True:
        try:
            frame = feed.take(_LOOK_S)
        except Ended:
            return
        if frame is not None and every_s:
            if due_s is not None and frame.at_s < due_s - 1e-6:
                continue
            due_s = frame.at_s + every_s
        yield frame


def _now_and_then(steps: FrameSteps, feed: Feed, wanted: "Wanted", every_s: float) -> "Iterator[Result]":
    """The newest frame at each moment that is due.  Prepared in between: there is time."""
    tensor = steps.input_tensors(1)[0]
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + every_s, time.monotonic())
        frame = None
        while frame is None:
            try:
                frame = feed.take(_LOOK_S)
            except Ended:
                return
        yield _answered(steps, _prepared(steps, frame, wanted, tensor), wanted)


class _Waiting(NamedTuple):
    """A frame that is ready for the device, or has failed on its way."""

    frame: Frame
    tensor: "np.ndarray[Any, Any]"
    ready: "Optional[Ready]"
    failure: Optional[Exception]


def _prepared(steps: FrameSteps, frame: Frame, wanted: "Wanted", tensor: "np.ndarray[Any, Any]") -> _Waiting:
    try:
        return _Waiting(frame, tensor, steps.prepared(frame, wanted, tensor), None)
    except Exception as exc:
        return _Waiting(frame, tensor, None, exc)


def _answered(steps: FrameSteps, waiting: _Waiting, wanted: "Wanted") -> "Result":
    """:raises SessionClosed: and whatever is no fault of the picture's or the device's"""
    try:
        if waiting.ready is None:
            assert waiting.failure is not None
            raise waiting.failure
        return steps.result(waiting.frame, waiting.ready, steps.inferred(waiting.ready), wanted)
    except SessionClosed:
        raise
    except CoralClassifyError as exc:
        return steps.failed(waiting.frame, exc)


class _Preparer:
    """Keeps the newest frame ready for the device, in a thread of its own."""

    def __init__(self, steps: FrameSteps, feed: Feed, wanted: "Wanted") -> None:
        self._steps = steps
        self._feed = feed
        self._wanted = wanted
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # One with the device, one that waits, one that is being filled.
        self._free: "List[np.ndarray[Any, Any]]" = steps.input_tensors(3)
        self._waiting: Optional[_Waiting] = None
        self._end: Optional[BaseException] = None
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._work, name="coral-classify-prepare", daemon=True)

    def take(self) -> _Waiting:
        """The newest frame that is ready.

        :raises Ended: and what the feed raises
        """
        with self._lock:
            while self._waiting is None and self._end is None:
                self._changed.wait()
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                return waiting
            assert self._end is not None
            raise self._end

    def give_back(self, waiting: _Waiting) -> None:
        """Its tensor may be filled again."""
        with self._lock:
            self._free.append(waiting.tensor)

    def close(self) -> None:
        self._over.set()
        self.thread.join(_GRACE_S)

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                frame = self._feed.take(_LOOK_S)
                if frame is None:
                    continue
                with self._lock:
                    tensor = self._free.pop()
                waiting = _prepared(self._steps, frame, self._wanted, tensor)
                with self._lock:
                    if self._waiting is not None:
                        self._free.append(self._waiting.tensor)
                    self._waiting = waiting
                    self._changed.notify()
        except BaseException as exc:        # the end, a camera that does not open, or a defect of ours
            with self._lock:
                self._end = exc
                self._changed.notify()


def _newest(steps: FrameSteps, feed: Feed, wanted: "Wanted") -> "Iterator[Result]":
    preparer = _Preparer(steps, feed, wanted)
    preparer.thread.start()
    try:
        while True:
            try:
                waiting = preparer.take()
            except Ended:
                return
            result = _answered(steps, waiting, wanted)
            preparer.give_back(waiting)
            yield result
    finally:
        preparer.close()
