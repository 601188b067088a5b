"""Waiting with open eyes: for a child to open or to end, for somebody to ring, and never longer than is allowed.

Knows descriptors and deadlines.  Decides nothing.
"""

from __future__ import annotations

import os
import select
import time
from typing import Any, Callable, List, Optional

from .childprocess import Child, ChildHung
from .notices import Notices

__all__ = ["Vigil"]

_POLL_S = 1.0  # for a death that no pipe tells of: a foreign fork may hold the child's ends


class Vigil:
    """What a keeper's thread does most of the time.

    :param notices: are told whenever it wakes up
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def ring(self) -> None:
        """Wake it, from any thread."""
        try:
            os.write(self._wake, b"!")
        except OSError:  # full: it is awake already; closed: it has ended
            pass

    def end(self) -> None:
        wake, self._wake = self._wake, -1
        os.close(wake)
        os.close(self._wake_end)

    def until_open(
        self,
        child: Child,
        timeout_s: float,
        interrupted: Callable[[], bool],
        notice_s: Optional[float],
        notice: Callable[[], None],
    ) -> None:
        """Until *child* is ready, or *interrupted*.

        :param notice: called once if that takes longer than *notice_s* (None: never)
        :raises ChildDied, ChildHung, CoralClassifyError: why it is not ready
        """
        began = time.monotonic()
        listening = True
        while not interrupted():
            waited = time.monotonic() - began
            if waited >= timeout_s:
                raise ChildHung()
            pause = min(timeout_s - waited, _POLL_S)
            if notice_s is not None:
                if waited >= notice_s:
                    notice_s = None
                    notice()
                else:
                    pause = min(pause, notice_s - waited)
            wanted = [(child.control, select.POLLIN)]
            if listening:
                wanted.append((child.words, select.POLLIN))
            ready = self.poll(wanted, pause)
            if child.words in ready:
                listening = child.listen()
            if child.control in ready or child.ended():
                child.finish_opening()
                child.forget()
                return

    def until_end(self, child: Child, interrupted: Callable[[], bool]) -> None:
        """Until the child dies, or *interrupted*."""
        listening = True
        while not interrupted():
            wanted = [(child.control, 0)]
            if listening:
                wanted.append((child.words, select.POLLIN))
            ready = self.poll(wanted, _POLL_S)
            if child.words in ready:
                listening = child.listen()
            if child.control in ready or child.ended():
                return

    def poll(self, wanted: "List[Any]", timeout_s: float) -> "List[int]":
        """The descriptors of *wanted* at which something happens, waiting for it or for the bell."""
        self._notices.flush()
        poll = select.poll()
        poll.register(self._wake_end, select.POLLIN)
        for descriptor, events in wanted:
            poll.register(descriptor, events)
        ready = [descriptor for descriptor, _ in poll.poll(max(1.0, timeout_s * 1000.0))]
        if self._wake_end in ready:
            os.read(self._wake_end, 4096)
        return ready
