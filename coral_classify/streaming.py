"""Many pictures through one device or several: read in the caller's thread, decoded ahead in threads, answered by
whichever device is free, and given out in order, each once.

Knows threads and queues.  What is done to a picture, and on what, is the business of the classifiers.
"""
from __future__ import annotations

import functools
import heapq
import io
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Sequence

import numpy as np

from .engine import usable_cores
from .errors import CoralClassifyError, DeviceError, SessionClosed, UsageError
from .preprocess import Picture
from .types import Inferred, Ready, Result, Wanted

if TYPE_CHECKING:
    from .classifier import Classifier

__all__ = ["stream"]

_TRIES = 3          # devices that may be lost over one picture before it is given up
_PATIENCE_S = 30.0  # how long a picture may wait while every device is away
_STALL_S = 0.1      # a picture that takes longer lets further ones pass, …
_STALL_FACTOR = 16  # … up to so many times the window
_QUICK_S = 0.002    # a source that gives its pictures faster is read ahead of finished results
_GRACE_S = 0.5      # for what is in progress when the stream is closed


def stream(
    classifiers: "Sequence[Classifier]",
    pictures: Iterable[Optional[Picture]],
    wanted: Wanted,
    *,
    ahead: int,
    decoders: Optional[int],
    max_bytes: int,
    stand_in: "Optional[Callable[[], Optional[Classifier]]]" = None,
) -> Iterator[Result]:
    """The results for *pictures*, in their order; see :meth:`coral_classify.Classifier.stream`.

    :param classifiers: of one model, on a device each
    :param stand_in: given where a lost device's pictures are for the others: gives one more classifier for the time
        while all are lost, or None
    :raises UsageError: at once, for a parameter that cannot be meant
    """
    for name, value in (("ahead", ahead), ("decoders", decoders), ("max_bytes", max_bytes)):
        if value is not None and value < 1:
            raise UsageError("%s must be at least 1, got %r" % (name, value))
    spec = classifiers[0].input
    ahead = max(1, min(ahead, max_bytes // (spec.dtype.itemsize * int(np.prod(spec.shape)))))
    decoders = min(ahead, decoders or usable_cores())
    return _Stream(classifiers, pictures, wanted, ahead, decoders, max_bytes, stand_in).results()


class _Item:
    """One picture on its way."""

    __slots__ = ("number", "picture", "size", "tries", "tensor", "ready", "inferred", "by", "failure", "done")

    def __init__(self, number: int, picture: Picture) -> None:
        self.number = number
        self.picture = picture
        self.size = _bytes_of(picture)
        self.tries = 0
        self.tensor: "Optional[np.ndarray[Any, Any]]" = None    # lent from decoding to the end
        self.ready: Optional[Ready] = None
        self.inferred: Optional[Inferred] = None
        self.by: "Optional[Classifier]" = None      # who inferred
        self.failure: Optional[Exception] = None
        self.done = False

    def __lt__(self, other: "_Item") -> bool:
        return self.number < other.number


class _Stream:
    """One stream.  A picture goes from the window to a decoding thread, over the heap to a device, and back."""

    def __init__(self, classifiers: "Sequence[Classifier]", pictures: Iterable[Optional[Picture]], wanted: Wanted,
                 ahead: int, decoders: int, max_bytes: int,
                 stand_in: "Optional[Callable[[], Optional[Classifier]]]") -> None:
        self._classifiers = classifiers
        self._stand_in = stand_in
        self._pictures: Optional[Iterator[Optional[Picture]]] = iter(pictures)
        self._wanted = wanted
        self._size = ahead + len(classifiers)
        self._decoders = decoders
        self._max_bytes = max_bytes
        # For the caller's thread alone.
        self._window: Deque[_Item] = deque()    # taken and not given out, in order
        self._taken = 0
        self._held = 0                          # bytes of the pictures in the window
        self._quick = True                      # the source gave its latest picture at once
        self._none_at_present = False           # it said so: the window is to be emptied first
        self._stalled = False                   # the first in the window takes long
        self._trouble: Optional[Exception] = None   # what the source raised
        # Guarded by the lock.
        lock = threading.Lock()
        self._decodable = threading.Condition(lock)
        self._runnable = threading.Condition(lock)
        self._all_away = threading.Condition(lock)
        self._finished = threading.Condition(lock)
        self._lock = lock
        self._to_decode: Deque[_Item] = deque()
        self._to_run: List[_Item] = []          # a heap: the oldest picture first
        self._unfinished = 0
        self._idle = 0                          # devices that wait for a picture
        self._away_since: Dict[int, float] = {}     # device -> since when it is lost
        self._bridged = False                   # the stand-in can answer
        self._over = False
        self._defect: Optional[BaseException] = None
        self._free: "List[np.ndarray[Any, Any]]" = []   # input tensors to be filled

    def results(self) -> Iterator[Result]:
        threads = [self._thread("decode", self._decode) for _ in range(self._decoders)]
        threads += [self._thread("device", functools.partial(self._infer, i)) for i in range(len(self._classifiers))]
        if self._stand_in is not None:
            threads.append(self._thread("stand-in", self._infer_meanwhile))
        # Where there is an Edge TPU, its tensors: what a process shares with another serves within a process, too.
        giver = next((c for c in self._classifiers if c.device != "cpu"), self._classifiers[0])
        self._free = giver.input_tensors(self._size)
        try:
            for thread in threads:
                thread.start()
            while True:
                self._read()
                if not self._window:
                    if self._pictures is None:
                        break
                    continue    # none at present
                item = self._window[0]
                if self._is_done(item):
                    self._window.popleft()
                    self._held -= item.size
                    self._stalled = False
                    yield self._result(item)
                    del item
        finally:
            self._end(threads)
        if self._trouble is not None:
            raise self._trouble

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as exc:    # a defect of ours: the caller must not wait for ever
                with self._lock:
                    self._defect = exc
                    self._finished.notify()
        return threading.Thread(target=guarded, name="coral-classify-" + name, daemon=True)

    def _end(self, threads: List[threading.Thread]) -> None:
        with self._lock:
            self._over = True
            self._to_decode.clear()
            self._to_run.clear()
            self._decodable.notify_all()
            self._runnable.notify_all()
            self._all_away.notify_all()
        # What is in progress ends soon.  A picture from a pipe that never comes, or a driver that hangs, is not waited
        # for: its thread ends with its call.
        until = time.monotonic() + _GRACE_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))

    # ---- the caller's thread

    def _read(self) -> None:
        """Take pictures as long as there is room for them."""
        while self._pictures is not None and self._has_room():
            began = time.monotonic()
            try:
                picture = next(self._pictures)
            except StopIteration:
                self._pictures = None
                return
            except Exception as exc:    # the pictures before it are worth their results
                self._pictures, self._trouble = None, exc
                return
            if picture is None:
                self._none_at_present = True
                return
            self._quick = time.monotonic() - began < _QUICK_S
            if isinstance(picture, np.ndarray) and picture.flags.writeable:
                picture = picture.copy()    # cameras fill the same array again while this one waits
            item = _Item(self._taken, picture)
            del picture
            self._taken += 1
            self._held += item.size
            self._window.append(item)
            with self._lock:
                self._unfinished += 1
                self._to_decode.append(item)
                self._decodable.notify()

    def _has_room(self) -> bool:
        if not self._window:
            self._none_at_present = False
            return True
        if self._none_at_present or self._held >= self._max_bytes or (self._window[0].done and not self._quick):
            return False
        if len(self._window) < self._size:
            return True
        return self._stalled and self._unfinished < self._size and len(self._window) < _STALL_FACTOR * self._size

    def _is_done(self, item: _Item) -> bool:
        """Wait for the first picture of the window.  False if others may be read meanwhile."""
        with self._lock:
            if not item.done and not self._stalled:
                self._stalled = not self._finished.wait_for(lambda: item.done, _STALL_S)
            if self._defect is not None:
                raise self._defect
            if not item.done:
                self._give_up_if_all_are_away()
                if not self._has_room():
                    self._finished.wait(_STALL_S)
            return item.done

    def _give_up_if_all_are_away(self) -> None:
        """A picture waits within bounds only.  For the stand-in it waits as it would for a device."""
        if not self._are_all_away() or self._bridged:
            return
        if time.monotonic() - max(self._away_since.values()) < _PATIENCE_S:
            return
        troubles = "; ".join(str(classifier.trouble) for classifier in self._classifiers)
        for item in self._to_run:
            item.failure = DeviceError("every device is away: %s" % troubles)
            self._finish(item)
        self._to_run.clear()

    def _result(self, item: _Item) -> Result:
        if item.failure is None:
            assert item.by is not None and item.ready is not None and item.inferred is not None
            result = item.by.result(item.picture, item.ready, item.inferred, self._wanted)
            return result._replace(recovered=True) if item.tries else result
        if isinstance(item.failure, SessionClosed) or not isinstance(item.failure, CoralClassifyError):
            raise item.failure      # no fault of this picture's
        return (item.by or self._classifiers[0]).failed(item.picture, item.failure)

    # ---- the decoding threads

    def _decode(self) -> None:
        while True:
            with self._lock:
                while not self._to_decode and not self._over:
                    self._decodable.wait()
                if self._over:
                    return
                item = self._to_decode.popleft()
                item.tensor = self._free.pop()
            try:
                item.ready = self._classifiers[0].prepared(item.picture, self._wanted, item.tensor)
            except Exception as exc:
                item.failure = exc
            with self._lock:
                if item.failure is not None:
                    self._finish(item)
                else:
                    heapq.heappush(self._to_run, item)
                    self._runnable.notify()
            del item

    def _finish(self, item: _Item) -> None:
        assert item.tensor is not None
        self._free.append(item.tensor)
        item.tensor = None
        item.done = True
        self._unfinished -= 1
        if self._stalled or item is self._window[0]:
            self._finished.notify()

    # ---- the devices' threads

    def _infer(self, which: int) -> None:
        classifier = self._classifiers[which]
        mine: Deque[_Item] = deque()    # the one at work, and the one that it is told of
        while True:
            with self._lock:
                while not mine and not self._to_run and not self._over:
                    self._idle += 1
                    self._runnable.wait()
                    self._idle -= 1
                if self._over:
                    return
                if not mine:
                    mine.append(heapq.heappop(self._to_run))
                # No picture waits behind this device while another one is idle.
                if len(mine) == 1 and self._to_run and not self._idle:
                    mine.append(heapq.heappop(self._to_run))
            item = mine.popleft()
            self._ask(classifier, item, mine[0] if mine else None)
            if self._settle(which, item, mine):
                self._wait_for_device(which)
            del item

    @staticmethod
    def _ask(classifier: "Classifier", item: _Item, then: Optional[_Item]) -> None:
        item.by = classifier
        try:
            assert item.ready is not None
            item.inferred = classifier.inferred(item.ready, then.ready if then is not None else None)
        except Exception as exc:
            item.failure = exc

    def _settle(self, which: int, item: _Item, mine: Deque[_Item]) -> bool:
        """Finish a picture, or leave it to the other devices.  True if this one is lost."""
        lost = self._stand_in is not None and isinstance(item.failure, (DeviceError, SessionClosed))
        with self._lock:
            if self._over:
                return False
            if lost and item.tries + 1 < _TRIES and not self._classifiers[which].closed:
                item.failure = None
                item.tries += 1
                mine.append(item)
            else:
                self._finish(item)
            if lost:
                self._away_since[which] = time.monotonic()
                for waiting in mine:
                    heapq.heappush(self._to_run, waiting)
                mine.clear()
                self._runnable.notify_all()
                if self._are_all_away():
                    self._all_away.notify()
        return lost

    def _wait_for_device(self, which: int) -> None:
        """Leave the pictures to the others until the keeper of the session has the device back."""
        classifier = self._classifiers[which]
        while not self._over and not classifier.closed and classifier.trouble is not None:
            time.sleep(0.02)
        with self._lock:
            self._away_since.pop(which, None)

    def _are_all_away(self) -> bool:
        return len(self._away_since) == len(self._classifiers)

    def _infer_meanwhile(self) -> None:
        """Answer what is waiting while every device is lost."""
        classifier: "Optional[Classifier]" = None
        while True:
            with self._lock:
                while not self._over and not self._are_all_away():
                    self._all_away.wait()
            if classifier is None and not self._over:
                assert self._stand_in is not None
                classifier = self._stand_in()
                if classifier is None:
                    return
                with self._lock:
                    self._bridged = True
            while True:
                with self._lock:
                    if self._over:
                        return
                    if not self._are_all_away():
                        self._runnable.notify()     # one that this thread may have been given instead of a device
                        break
                    if not self._to_run:
                        self._runnable.wait(0.05)
                        continue
                    item = heapq.heappop(self._to_run)
                assert classifier is not None
                self._ask(classifier, item, None)
                with self._lock:
                    self._finish(item)
                del item


def _bytes_of(picture: Picture) -> int:
    """What a picture takes in memory before it is decoded; 0 for a file."""
    if isinstance(picture, bytes):
        return len(picture)
    if isinstance(picture, np.ndarray):
        return int(picture.nbytes)
    if isinstance(picture, io.BytesIO):
        return picture.getbuffer().nbytes
    return 0
