"""Many pictures through one device or several: read in the caller's thread, decoded ahead in threads, answered by
whichever device is free, and given out in order, each once.

Knows threads and queues.  What is done to a picture, and on what, is the business of the classifiers.
"""
from __future__ import annotations

import functools
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Iterable, Iterator, List, Optional, Sequence

import numpy as np

from .. import arguments
from ..engine import usable_cores
from ..errors import CoralClassifyError, DeviceError, SessionClosed
from ..pictures import Picture
from ..types import Result, Wanted
from .devices import Devices
from .item import Asked, Item
from .traffic import Traffic

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["stream"]

_PATIENCE_S = 30.0  # how long a picture may wait while every device is away
_STALL_S = 0.1      # a picture that takes longer lets further ones pass, …
_STALL_FACTOR = 16  # … up to so many times the window
_QUICK_S = 0.002    # a source that gives its pictures faster is read ahead of finished results
_MOST_DECODERS = 1024       # threads; the system refuses more at some point
_MOST_AHEAD = 1 << 14       # pictures; more give nothing
_MOST_BYTES = 1 << 40
_GRACE_S = 0.5      # for what is in progress when the stream is closed


def stream(
    classifiers: "Sequence[Steps]",
    pictures: Iterable[Optional[Picture]],
    wanted: Wanted,
    *,
    ahead: int,
    decoders: Optional[int],
    max_bytes: int,
    stand_in: "Optional[Callable[[], Optional[Steps]]]" = None,
) -> Iterator[Result]:
    """The results for *pictures*, in their order; see :meth:`coral_classify.Classifier.stream`.

    :param classifiers: of one model, on a device each; a list may grow meanwhile
    :param pictures: an :class:`Asked` among them has wishes of its own, and is told of instead of given out
    :param stand_in: given where a lost device's pictures are for the others: gives one more classifier for the time
        while all are lost, or None
    :raises UsageError: at once, for a parameter that cannot be meant
    """
    pictures = arguments.pictures("pictures", pictures)
    ahead = arguments.whole("ahead", ahead, least=1)
    decoders = None if decoders is None else arguments.whole("decoders", decoders, least=1, most=_MOST_DECODERS)
    max_bytes = arguments.whole("max_bytes", max_bytes, least=1, most=_MOST_BYTES)
    spec = classifiers[0].input
    ahead = max(1, min(ahead, _MOST_AHEAD, max_bytes // (spec.dtype.itemsize * int(np.prod(spec.shape)))))
    decoders = min(ahead, decoders or usable_cores())
    return _Stream(classifiers, pictures, wanted, ahead, decoders, max_bytes, stand_in).results()


class _Stream:
    """One stream.  A picture goes from the window to a decoding thread, over the heap to a device, and back."""

    def __init__(self, classifiers: "Sequence[Steps]", pictures: Iterable[Optional[Picture]], wanted: Wanted,
                 ahead: int, decoders: int, max_bytes: int,
                 stand_in: "Optional[Callable[[], Optional[Steps]]]") -> None:
        self._classifiers = classifiers
        self._stand_in = stand_in
        self._pictures: Optional[Iterator[Optional[Picture]]] = iter(pictures)
        self._wanted = wanted
        self._size = ahead + len(classifiers)
        self._decoders = decoders
        self._max_bytes = max_bytes
        # For the caller's thread alone.
        self._window: Deque[Item] = deque()     # taken and not given out, in order
        self._taken = 0
        self._held = 0                          # bytes of the pictures in the window
        self._quick = True                      # the source gave its latest picture at once
        self._none_at_present = False           # it said so: the window is to be emptied first
        self._stalled = False                   # the first in the window takes long
        self._trouble: Optional[Exception] = None   # what the source raised
        self._traffic = Traffic(len(classifiers))
        self._devices = Devices(classifiers, self._traffic, stand_in, self._tell)

    def results(self) -> Iterator[Result]:
        threads = [self._thread("decode", self._decode) for _ in range(self._decoders)]
        threads += [self._thread("device", functools.partial(self._devices.infer, which))
                    for which in range(len(self._classifiers))]
        if self._stand_in is not None:
            threads.append(self._thread("stand-in", self._devices.infer_meanwhile))
        # Where there is an Edge TPU, its tensors: what a process shares with another serves within a process, too.
        giver = next((c for c in self._classifiers if c.device != "cpu"), self._classifiers[0])
        self._traffic.free = giver.input_tensors(self._size)
        owner = os.getpid()
        try:
            for thread in threads:
                thread.start()
            while True:
                if os.getpid() != owner:    # no thread came along through fork(), and any lock may be held for ever
                    raise SessionClosed("this stream belongs to process %d and cannot be used after a fork (process "
                                        "%d); make one in the process that uses it" % (owner, os.getpid()))
                while self._traffic.devices < len(self._classifiers):   # one was plugged in
                    threads.append(self._one_more())
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
                    if item.tell is None:
                        yield self._result(item)
                    del item
        finally:
            if os.getpid() == owner:
                self._end(threads)
        if self._trouble is not None:
            raise self._trouble

    def _one_more(self) -> threading.Thread:
        with self._traffic.lock:
            which = self._traffic.devices
            self._traffic.devices += 1
        thread = self._thread("device", functools.partial(self._devices.infer, which))
        thread.start()
        return thread

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as exc:    # a defect of ours: the caller must not wait for ever
                with self._traffic.lock:
                    self._traffic.defect = exc
                    self._traffic.finished.notify()
        return threading.Thread(target=guarded, name="coral-classify-" + name, daemon=True)

    def _end(self, threads: List[threading.Thread]) -> None:
        with self._traffic.lock:
            self._traffic.end()
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
            item = (Item(self._taken, picture.picture, picture.wanted, picture.tell) if isinstance(picture, Asked)
                    else Item(self._taken, picture, self._wanted))
            del picture
            self._taken += 1
            self._held += item.size
            self._window.append(item)
            with self._traffic.lock:
                self._traffic.put(item)

    def _has_room(self) -> bool:
        if not self._window:
            self._none_at_present = False
            return True
        if self._none_at_present or self._held >= self._max_bytes or (self._window[0].done and not self._quick):
            return False
        if len(self._window) < self._size:
            return True
        return (self._stalled and self._traffic.unfinished < self._size
                and len(self._window) < _STALL_FACTOR * self._size)

    def _is_done(self, item: Item) -> bool:
        """Wait for the first picture of the window.  False if others may be read meanwhile."""
        with self._traffic.lock:
            if not item.done and not self._stalled:
                self._traffic.awaited = item
                self._stalled = not self._traffic.finished.wait_for(lambda: item.done, _STALL_S)
                self._traffic.awaited = None
            if self._traffic.defect is not None:
                raise self._traffic.defect
            given_up: List[Item] = []
            if not item.done:
                given_up = self._give_up_if_all_are_away()
                if not self._has_room():
                    self._traffic.finished.wait(_STALL_S)
            done = item.done
        for one in given_up:
            self._tell(one)
        return done

    def _give_up_if_all_are_away(self) -> List[Item]:
        """A picture waits within bounds only.  For the stand-in it waits as it would for a device."""
        if not self._traffic.are_all_away() or self._traffic.bridged:
            return []
        if time.monotonic() - max(self._traffic.away_since.values()) < _PATIENCE_S:
            return []
        troubles = "; ".join(str(classifier.trouble) for classifier in self._classifiers)
        given_up = list(self._traffic.to_run)
        for item in given_up:
            item.failure = DeviceError("every device is away: %s" % troubles)
            self._traffic.finish(item)
        self._traffic.to_run.clear()
        return given_up

    def _result(self, item: Item) -> Result:
        if item.failure is None:
            assert item.by is not None and item.ready is not None and item.inferred is not None
            result = item.by.result(item.picture, item.ready, item.inferred, item.wanted)
            return result._replace(recovered=True) if item.tries else result
        if isinstance(item.failure, SessionClosed) or not isinstance(item.failure, CoralClassifyError):
            raise item.failure      # no fault of this picture's
        return (item.by or self._classifiers[0]).failed(item.picture, item.failure)

    # ---- whichever thread is done with a picture

    def _tell(self, item: Item) -> None:
        """Whoever asked for it does not wait for the stream's order."""
        if item.tell is None:
            return
        result: Optional[Result] = None
        failure = item.failure
        try:
            result = self._result(item)
        except Exception as exc:
            failure = exc
        item.picture = b""      # it may wait here for those before it, without its bytes
        item.tell(result, failure)

    # ---- the decoding threads

    def _decode(self) -> None:
        while True:
            with self._traffic.lock:
                while not self._traffic.to_decode and not self._traffic.over:
                    self._traffic.decodable.wait()
                if self._traffic.over:
                    return
                item = self._traffic.to_decode.popleft()
                item.tensor = self._traffic.free.pop()
            try:
                item.ready = self._classifiers[0].prepared(item.picture, item.wanted, item.tensor)
            except Exception as exc:
                item.failure = exc
            with self._traffic.lock:
                if item.failure is not None:
                    self._traffic.finish(item)
                else:
                    self._traffic.decoded(item)
            if item.failure is not None:
                self._tell(item)
            del item
