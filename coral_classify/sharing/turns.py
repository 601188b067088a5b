"""Whose turn it is at one device: clients one after another, pictures of one model in short runs.

Changing models costs a transfer of weights over USB; letting one model run on would starve the clients of the others.
Knows clients and models by their keys alone.
"""
from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any, Hashable, Iterator, Optional, Tuple

__all__ = ["Turns"]


class Turns:
    """:param run_pictures, run_s: how long one model may go on while clients of another wait"""

    def __init__(self, run_pictures: int = 16, run_s: float = 0.1) -> None:
        self._run_pictures = run_pictures
        self._run_s = run_s
        self._lock = threading.Lock()
        # client -> model, the gate at which it waits.  In the order in which their turns come.
        self._waiting: "OrderedDict[Hashable, Tuple[Hashable, Any]]" = OrderedDict()
        self._busy = False
        self._model: Optional[Hashable] = None
        self._run = 0
        self._began = 0.0

    @contextmanager
    def turn(self, client: Hashable, model: Hashable) -> Iterator[None]:
        """Wait for the device, have it to oneself, hand it on.  A client asks for one turn at a time."""
        gate = None
        with self._lock:
            if self._busy:
                gate = threading.Lock()
                gate.acquire()
                self._waiting[client] = (model, gate)
            else:
                self._begin(model)
        if gate is not None:
            gate.acquire()
        try:
            yield
        finally:
            with self._lock:
                self._hand_on()

    def _begin(self, model: Hashable) -> None:
        self._busy = True
        if model != self._model:
            self._model, self._run, self._began = model, 0, time.monotonic()
        self._run += 1

    def _hand_on(self) -> None:
        self._busy = False
        if not self._waiting:
            return
        # Each client waits with one picture at most: the order of arrival is a round.
        chosen = next(iter(self._waiting))
        if self._waiting[chosen][0] != self._model and self._run < self._run_pictures \
                and time.monotonic() - self._began < self._run_s:
            chosen = next((client for client, (model, _) in self._waiting.items() if model == self._model), chosen)
        model, gate = self._waiting.pop(chosen)
        self._begin(model)
        gate.release()
