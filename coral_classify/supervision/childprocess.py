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
from collections import deque
from typing import Any, Deque, Dict, List, Optional

import numpy as np

from ..errors import EngineError
from . import channel
from .hostprocess import Host, borrow
from .tensors import Memory, SharedTensor, shared_tensors

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
        self._sent: Deque[int] = deque()  # numbers of the requests whose answers nobody has read
        self._announced: "Optional[np.ndarray[Any, Any]]" = None  # the tensor of the last of them, if it is meant yet
        self._given: "Dict[int, weakref.ref[Memory]]" = {}  # what the worker has mapped
        self._own: "Optional[np.ndarray[Any, Any]]" = None  # for tensors from elsewhere; None until it is ready
        self._buried = False
        self._code: Optional[int] = None
        self._host: Host = borrow(key)
        try:
            mine, theirs = socket.socketpair()
        except BaseException:
            self._host.give_back()
            raise
        self._wire = channel.Wire(mine)
        _alive.add(self)
        with theirs:
            self._host.move_in(theirs)
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
        return bool(self._sent)

    def finish_opening(self) -> None:
        """Read the frame that tells how opening went; call it when ``control`` is readable.

        :raises ChildDied: if it died instead
        :raises CoralClassifyError: what the factory raised in the child, or that there is no memory to share with it
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
        try:
            (self._own,) = shared_tensors(self.input, 1)
        except OSError as exc:
            raise EngineError("no memory to share with a worker process: %s" % exc) from exc

    def request(
        self,
        tensor: "np.ndarray[Any, Any]",
        timeout_s: float,
        then: "Optional[np.ndarray[Any, Any]]" = None,
    ) -> "np.ndarray[Any, Any]":
        """Run once in the child; its answer, which stays the caller's.

        :param tensor: is copied unless it is a :class:`SharedTensor`
        :param then: the tensor of the next request, if that is known and shared: the child begins with it as soon as it
            has this answer, and need not wait for us.  Its content must not change before it was asked for.
        :raises ChildDied: it is gone
        :raises ChildHung: no answer within *timeout_s*
        :raises CoralClassifyError: what the session raised in the child
        """
        with self._in_use:
            if self._own is None:
                raise ChildDied()
            try:
                if self._announced is not tensor:
                    # Broken off by Ctrl-C, or not meant any more: these answers are nobody's.
                    while self._sent:
                        self._answer(timeout_s)
                    if isinstance(tensor, SharedTensor):
                        self._send(tensor)
                    else:  # no local name for our own: a traceback would keep its memory
                        self._own[...] = tensor
                        self._send(self._own)
                self._announced = None
                if isinstance(then, SharedTensor):
                    self._send(then)
                frame = self._answer(timeout_s)
                if isinstance(then, SharedTensor):
                    self._announced = then
                if frame.kind == channel.FAILED:
                    raise channel.error_from_json(frame.payload)
                return channel.output_from_payload(frame.payload, self.output)
            except EOFError as exc:
                raise ChildDied() from exc
            except socket.timeout as exc:
                raise ChildHung() from exc

    def _send(self, tensor: "Any") -> None:
        memory = tensor.memory
        if memory.number not in self._given:
            for number, given in list(self._given.items()):
                if given() is None:
                    self._wire.send(channel.DROP, number)
                    del self._given[number]
            layout = json.dumps(memory.slots).encode("ascii")
            self._wire.send(channel.TAKE, memory.number, layout, memory.descriptor)
            self._given[memory.number] = weakref.ref(memory)
        self.requests += 1
        self._sent.append(self.requests)
        self._wire.send(channel.RUN, self.requests, channel.place_to_payload(memory.number, tensor.slot))

    def _answer(self, timeout_s: float) -> channel.Frame:
        """The answer to the oldest request."""
        frame = self._wire.receive(timeout_s)
        if frame.number != self._sent.popleft():
            raise EOFError("the other end has lost count")
        return frame

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
            self._own = self._announced = None
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


_alive: "weakref.WeakSet[Child]" = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for child in list(_alive):
        child.abandon()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
