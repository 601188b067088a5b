"""One session in a worker process, as its parent holds it: move in, ask, move out.

Knows wires and deadlines.  Knows no policy: what a death means is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import select
import socket
import threading
import time
import weakref
from typing import Any, Dict, List, Optional

import numpy as np

from . import channel
from .hostprocess import Host, borrow

__all__ = ["Child", "ChildDied", "ChildHung"]


class ChildDied(Exception):
    """The child is gone, or talks nonsense."""


class ChildHung(Exception):
    """The child did not answer in time.  It still lives."""


class Child:
    """A session in a worker.  One thread (the keeper) makes and buries it; others only call ``request``.

    :param order: what the worker opens: factory, description, prove
    :param key: sessions with the same key live in one process; None: alone
    :raises OSError: if no process can be started
    """

    def __init__(self, order: Dict[str, Any], key: Optional[str] = None) -> None:
        self.device = ""  # known once ready
        self.input: Any = None
        self.output: Any = None
        self.requests = 0
        self.proven = bool(order["prove"])
        self._in_use = threading.Lock()  # held during a request: no descriptor is closed under it
        self._pending = False  # a request was sent whose answer nobody has read
        self._buried = False
        self._code: Optional[int] = None
        self._area: Optional[channel.Area] = None
        self._host: Host = borrow(key)
        self._memory = -1
        try:
            self._memory = channel.make_memory()
            mine, theirs = socket.socketpair()
        except BaseException:
            self._close_memory()
            self._host.give_back()
            raise
        self._wire = channel.Wire(mine)
        _alive.add(self)
        with theirs:
            self._host.move_in(theirs, self._memory)
        try:
            self._wire.send(channel.OPEN, 0, json.dumps(order).encode("ascii"))
        except EOFError:
            pass  # the keeper will see it die

    @property
    def control(self) -> int:
        return self._wire.fileno()

    @property
    def words(self) -> int:
        """Descriptor of what the process says; readable when there is something for ``listen``."""
        return self._host.words

    @property
    def busy(self) -> bool:
        """A request was sent, and nobody has read its answer yet."""
        return self._pending

    def finish_opening(self) -> None:
        """Read the frame that tells how opening went; call it when ``control`` is readable.

        :raises ChildDied: if it died instead
        :raises CoralClassifyError: what the factory raised in the child
        """
        try:
            # A frame has begun to arrive; its rest follows at once.
            frame = self._wire.receive(5.0)
        except (EOFError, socket.timeout) as exc:
            raise ChildDied() from exc
        if frame.kind == channel.FAILED:
            raise channel.error_from_json(frame.payload)
        ready = json.loads(frame.payload.decode("ascii"))
        self.device = ready["device"]
        self._host.names.add(self.device)
        self.input = channel.spec_from_json(ready["input"])
        self.output = channel.spec_from_json(ready["output"])
        self._area = channel.Area(self._memory, self.input, self.output, create=False)

    def request(self, tensor: "np.ndarray[Any, Any]", timeout_s: float) -> "np.ndarray[Any, Any]":
        """Run once in the child; a copy of its answer.

        :raises ChildDied: it is gone
        :raises ChildHung: no answer within *timeout_s*
        :raises CoralClassifyError: what the session raised in the child
        """
        with self._in_use:
            if self._area is None:
                raise ChildDied()
            try:
                if self._pending:  # Ctrl-C broke the last request off: its input is still in use
                    self._wire.receive(timeout_s)
                    self._pending = False
                self._area.input[...] = tensor
                self.requests += 1
                number = self.requests
                self._pending = True
                self._wire.send(channel.RUN, number)
                frame = self._wire.receive(timeout_s)
                self._pending = False
            except EOFError as exc:
                raise ChildDied() from exc
            except socket.timeout as exc:
                raise ChildHung() from exc
            if frame.number != number:
                raise ChildDied()
            if frame.kind == channel.FAILED:
                raise channel.error_from_json(frame.payload)
            return self._area.output.copy()

    def listen(self) -> bool:
        """Read what the process says, without waiting.  False at the end."""
        return self._host.listen()

    def said(self) -> List[str]:
        """Its last lines, oldest first, safe to print."""
        return self._host.said()

    def forget(self) -> None:
        """Drop what it said while it opened: that is no reason for a later death."""
        self._host.forget()

    def kill(self) -> None:
        """Kill the process, and with it every session in it."""
        self._host.kill()

    def ended(self) -> bool:
        """Whether the process has come to its end, asked of the system and not of a pipe."""
        return self._host.ended()

    def bury(self, grace_s: float = 0.0) -> Optional[int]:
        """End the session and give everything back.  For the keeper alone; may be repeated.

        :param grace_s: time for an orderly end, which leaves other sessions in the process alone; without it,
            or when it is over, the process is killed
        :returns: the return code of the process as subprocess counts it, if that has ended
        """
        if self._buried:
            return self._code
        self._buried = True
        if grace_s <= 0 or not self._moves_out(grace_s):
            # Whoever is on the way out by itself, by abort say, keeps its own exit code under this kill.
            self.kill()
            self._code = self._host.code()
            self.listen()
        self._wire.hang_up()
        with self._in_use:  # a request in progress has ended by this
            _alive.discard(self)
            self._wire.close()
            self._close_memory()
            if self._area is not None:
                self._area.close()
                self._area = None
        self._host.give_back()
        return self._code

    def _moves_out(self, grace_s: float) -> bool:
        """Ask it to close the session; True when it has."""
        try:
            self._wire.send(channel.QUIT)
        except EOFError:
            return True
        end = time.monotonic() + grace_s
        poll = select.poll()
        poll.register(self._wire.fileno(), 0)
        while time.monotonic() < end:
            self.listen()
            if poll.poll(20) or self.ended():
                return True
        return False

    def abandon(self) -> None:
        """In a forked child of ours: close what was inherited."""
        self._wire.close()
        self._close_memory()

    def _close_memory(self) -> None:
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1


_alive: "weakref.WeakSet[Child]" = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for child in list(_alive):
        child.abandon()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
