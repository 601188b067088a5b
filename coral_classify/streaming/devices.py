"""The devices' side of a stream: each device takes the next picture, a lost one leaves its own to the others."""
from __future__ import annotations

import heapq
import time
from collections import deque
from typing import TYPE_CHECKING, Callable, Deque, Optional, Sequence

from ..errors import DeviceError, SessionClosed
from .item import Item
from .traffic import Traffic

if TYPE_CHECKING:
    from .steps import Steps

__all__ = ["Devices"]

_TRIES = 3          # devices that may be lost over one picture before it is given up


class Devices:
    """The work of the devices' threads.

    :param stand_in: as for :func:`coral_classify.streaming.stream`
    :param tell: is called with each picture that is done
    """

    def __init__(self, classifiers: "Sequence[Steps]", traffic: Traffic,
                 stand_in: "Optional[Callable[[], Optional[Steps]]]", tell: Callable[[Item], None]) -> None:
        self._classifiers = classifiers
        self._traffic = traffic
        self._stand_in = stand_in
        self._tell = tell

    def infer(self, which: int) -> None:
        classifier = self._classifiers[which]
        mine: Deque[Item] = deque()    # the one at work, and the one that it is told of
        while True:
            with self._traffic.lock:
                while not mine and not self._traffic.to_run and not self._traffic.over:
                    self._traffic.idle += 1
                    self._traffic.runnable.wait()
                    self._traffic.idle -= 1
                if self._traffic.over:
                    return
                if not mine:
                    mine.append(heapq.heappop(self._traffic.to_run))
                # No picture waits behind this device while another one is idle.
                if len(mine) == 1 and self._traffic.to_run and not self._traffic.idle:
                    mine.append(heapq.heappop(self._traffic.to_run))
            item = mine.popleft()
            self._ask(classifier, item, mine[0] if mine else None)
            lost = self._settle(which, item, mine)
            if item.done:
                self._tell(item)
            del item
            if lost:
                self._wait_for_device(which)

    @staticmethod
    def _ask(classifier: "Steps", item: Item, then: Optional[Item]) -> None:
        item.by = classifier
        try:
            assert item.ready is not None
            item.inferred = classifier.inferred(item.ready, then.ready if then is not None else None)
        except Exception as exc:
            item.failure = exc

    def _settle(self, which: int, item: Item, mine: Deque[Item]) -> bool:
        """Finish a picture, or leave it to the other devices.  True if this one is lost."""
        lost = self._stand_in is not None and isinstance(item.failure, (DeviceError, SessionClosed))
        with self._traffic.lock:
            if self._traffic.over:
                return False
            if lost and item.tries + 1 < _TRIES and not self._classifiers[which].closed:
                item.failure = None
                item.tries += 1
                mine.append(item)
            else:
                self._traffic.finish(item)
            if lost:
                self._traffic.away_since[which] = time.monotonic()
                for waiting in mine:
                    heapq.heappush(self._traffic.to_run, waiting)
                mine.clear()
                self._traffic.runnable.notify_all()
                if self._traffic.are_all_away():
                    self._traffic.all_away.notify()
        return lost

    def _wait_for_device(self, which: int) -> None:
        """Leave the pictures to the others until the keeper of the session has the device back."""
        classifier = self._classifiers[which]
        while not self._traffic.over and not classifier.closed and classifier.trouble is not None:
            time.sleep(0.02)
        with self._traffic.lock:
            self._traffic.away_since.pop(which, None)

    def infer_meanwhile(self) -> None:
        """Answer what is waiting while every device is lost."""
        classifier: "Optional[Steps]" = None
        while True:
            with self._traffic.lock:
                while not self._traffic.over and not self._traffic.are_all_away():
                    self._traffic.all_away.wait()
            if classifier is None and not self._traffic.over:
                assert self._stand_in is not None
                classifier = self._stand_in()
                if classifier is None:
                    return
                with self._traffic.lock:
                    self._traffic.bridged = True
            while True:
                with self._traffic.lock:
                    if self._traffic.over:
                        return
                    if not self._traffic.are_all_away():
                        # One that this thread may have been given instead of a device.
                        self._traffic.runnable.notify()
                        break
                    if not self._traffic.to_run:
                        self._traffic.runnable.wait(0.05)
                        continue
                    item = heapq.heappop(self._traffic.to_run)
                assert classifier is not None
                self._ask(classifier, item, None)
                with self._traffic.lock:
                    self._traffic.finish(item)
                self._tell(item)
                del item
