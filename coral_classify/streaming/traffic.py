"""What the threads of a stream share: the queues between them, under one lock.

Starts no thread and asks no device.
"""
from __future__ import annotations

import heapq
import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional

import numpy as np

from .item import Item

__all__ = ["Traffic"]


class Traffic:
    """A picture goes from ``to_decode`` over the heap ``to_run`` to a device, and is then done.

    Whatever stands here is read and written under ``lock`` only.

    :param devices: how many there are
    """

    def __init__(self, devices: int) -> None:
        lock = threading.Lock()
        self.lock = lock
        self.decodable = threading.Condition(lock)
        self.runnable = threading.Condition(lock)
        self.all_away = threading.Condition(lock)
        self.finished = threading.Condition(lock)
        self.to_decode: Deque[Item] = deque()
        self.to_run: List[Item] = []            # a heap: the oldest picture first
        self.unfinished = 0
        self.idle = 0                           # devices that wait for a picture
        self.devices = devices
        self.away_since: Dict[int, float] = {}  # device -> since when it is lost
        self.bridged = False                    # the stand-in can answer
        self.over = False
        self.defect: Optional[BaseException] = None     # of ours, in a thread
        self.free: "List[np.ndarray[Any, Any]]" = []    # input tensors to be filled
        self.awaited: Optional[Item] = None     # the one that the caller's thread waits for; None: for any

    def put(self, item: Item) -> None:
        """A picture to be decoded."""
        self.unfinished += 1
        self.to_decode.append(item)
        self.decodable.notify()

    def decoded(self, item: Item) -> None:
        """Its tensor is filled: the next device may have it."""
        heapq.heappush(self.to_run, item)
        self.runnable.notify()

    def finish(self, item: Item) -> None:
        """It has its answer, or its error."""
        assert item.tensor is not None
        self.free.append(item.tensor)
        item.tensor = None
        item.done = True
        self.unfinished -= 1
        if self.awaited is None or item is self.awaited:
            self.finished.notify()

    def are_all_away(self) -> bool:
        return len(self.away_since) == self.devices

    def end(self) -> None:
        """Have every thread leave at its next look."""
        self.over = True
        self.to_decode.clear()
        self.to_run.clear()
        self.decodable.notify_all()
        self.runnable.notify_all()
        self.all_away.notify_all()
