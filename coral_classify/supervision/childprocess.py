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
from typing import Any, Deque, Dict, List, Optional, Tuple, Union

import numpy as np

from ..errors import CoralClassifyError, EngineError
from ..types import TensorSpec, filled
from . import channel
from .hostprocess import Host, borrow
from .hostthread import HostThread
from .owner import OwnerHost
from .tensors import Memory, Place, SharedTensor, shared_sets, size_of

__all__ = ["Child", "ChildDied", "ChildHung", "Tensors"]

_SMALL = 1 << 16  # bytes of outputs: larger ones lie in shared memory, and not in the answer
Tensors = Tuple["np.ndarray[Any, Any]", ...]


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
        self.inputs: Tuple[TensorSpec, ...] = ()
        self.outputs: Tuple[TensorSpec, ...] = ()
        self.requests = 0  # inferences that were asked for
        self.answers = 0  # and answered
        self.proven = bool(order["prove"])
        self.trouble: Optional[CoralClassifyError] = None  # what it ended of, if that was during work
        self._in_use = threading.Lock()  # held during a request: no descriptor is closed under it
        self._number = 0  # of the latest request, of any kind
        # The requests whose answers nobody has read: number, and where the outputs will lie (None: in the answer).
        self._sent: "Deque[Tuple[int, Optional[Tensors]]]" = deque()
        self._announced: "Tensors" = ()  # of the last of them, if it is meant yet
        self._given: "Dict[int, weakref.ref[Memory]]" = {}  # what the worker has mapped
        self._own: "Tensors" = ()  # for tensors from elsewhere; empty until it is ready
        self._results: "List[Tensors]" = []  # for large outputs, in turn: two requests may be on their way
        self._buried = False
        self._code: Optional[int] = None
        self._host: Union[Host, HostThread, OwnerHost]
        if order.get("in_thread"):
            self._host = HostThread()
        else:
            self._host = OwnerHost() if key == "shared" else borrow(key)
        try:
            self._wire = channel.Wire(self._host.new_wire(order))
        except BaseException:
            self._host.give_back()
            raise
        _alive.add(self)
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
        self.inputs = tuple(channel.spec_from_json(spec) for spec in ready["inputs"])
        self.outputs = tuple(channel.spec_from_json(spec) for spec in ready["outputs"])
        try:
            if sum(size_of(spec) for spec in self.outputs) > _SMALL:
                self._results = shared_sets(self.outputs, 2)
            (self._own,) = shared_sets(self.inputs, 1)
        except OSError as exc:
            raise EngineError("no memory to share with a worker process: %s" % exc) from exc

    def request(
        self,
        tensors: "Tensors",
        timeout_s: float,
        then: "Optional[Tensors]" = None,
        into: "Optional[Tensors]" = None,
    ) -> "Tensors":
        """Run once in the child; its answer, which stays the caller's.

        :param tensors: those that are no :class:`SharedTensor` are copied
        :param then: the tensors of the next request, if they are known and shared: the child begins with them as soon
            as it has this answer, and need not wait for us.  Their content must not change before they were asked for.
        :param into: tensors for the outputs; those that are shared are filled by the child itself
        :raises ChildDied: it is gone
        :raises ChildHung: no answer within *timeout_s*
        :raises CoralClassifyError: what the session raised in the child
        """
        with self._in_use:
            if not self._own:
                raise ChildDied()
            try:
                if not self._announced or not _are_same(self._announced, tensors):
                    if self._sent:
                        self._read_what_is_nobodys(timeout_s)
                    self._run(tensors, into)
                self._announced = ()
                next_one: "Tensors" = ()
                if then is not None and _are_shared(then):
                    self._run(then, None)
                    next_one = then
                _, places = self._sent[0]
                frame = self._answer(timeout_s)
                self._announced = next_one
                if frame.kind == channel.FAILED:
                    raise channel.error_from_json(frame.payload)
                self.answers += 1
                if places is None:
                    outputs = channel.outputs_from_payload(frame.payload, self.outputs)
                    return filled(into, outputs)
                if places is into:
                    return into
                return filled(into, places if into is not None else [np.array(place) for place in places])
            except EOFError as exc:
                raise ChildDied() from exc
            except socket.timeout as exc:
                raise ChildHung() from exc

    def call(self, verb: str, plain: Dict[str, Any], timeout_s: float) -> Any:
        """Ask the session in the child for something else; see :meth:`coral_classify.Session.call`.

        :raises ChildDied, ChildHung, CoralClassifyError: as :meth:`request`
        """
        with self._in_use:
            if not self._own:
                raise ChildDied()
            try:
                self._read_what_is_nobodys(timeout_s)
                self._announced = ()
                self._send(channel.CALL, json.dumps({"verb": verb, "plain": plain}).encode("ascii"), None)
                frame = self._answer(timeout_s)
                if frame.kind == channel.FAILED:
                    raise channel.error_from_json(frame.payload)
                return json.loads(frame.payload.decode("ascii"))
            except EOFError as exc:
                raise ChildDied() from exc
            except socket.timeout as exc:
                raise ChildHung() from exc

    def _run(self, tensors: "Tensors", into: "Optional[Tensors]") -> None:
        places = [self._place(tensor, number) for number, tensor in enumerate(tensors)]
        if into is None or not _are_shared(into):
            into = self._results[self._number % 2] if self._results else None
        if into is not None:
            places += [self._place(tensor, -1) for tensor in into]
        self.requests += 1
        self._send(channel.RUN, channel.places_to_payload(places), into)

    def _place(self, tensor: "np.ndarray[Any, Any]", number: int) -> Place:
        """Where the child finds a tensor: itself, or our own copy of input *number*."""
        if not isinstance(tensor, SharedTensor):  # no local name for our own: a traceback would keep its memory
            self._own[number][...] = tensor
            return self._place(self._own[number], number)
        memory = tensor.memory
        assert memory is not None
        if memory.number not in self._given:
            for other, given in list(self._given.items()):
                if given() is None:
                    self._wire.send(channel.DROP, other)
                    del self._given[other]
            self._wire.send(channel.TAKE, memory.number, channel.layout_to_payload(memory.layout), memory.descriptor)
            self._given[memory.number] = weakref.ref(memory)
        return tensor.place

    def _send(self, kind: int, payload: bytes, places: "Optional[Tensors]") -> None:
        self._number += 1
        self._sent.append((self._number, places))
        self._wire.send(kind, self._number, payload)

    def _read_what_is_nobodys(self, timeout_s: float) -> None:
        """Broken off by Ctrl-C, or announced and not meant any more: the answers are on their way nevertheless."""
        while self._sent:
            self._answer(timeout_s)

    def _answer(self, timeout_s: float) -> channel.Frame:
        """The answer to the oldest request."""
        frame = self._wire.receive(timeout_s)
        while frame.kind == channel.READY:  # an owner has moved the session to another of its devices
            try:
                self.device = str(json.loads(frame.payload.decode("ascii"))["device"])
            except (ValueError, KeyError, TypeError) as exc:
                raise EOFError("the other end talks nonsense") from exc
            frame = self._wire.receive(timeout_s)
        if frame.number != self._sent.popleft()[0]:
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
            self._own = self._announced = ()
            self._results = []
            self._sent.clear()
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
        self._host.abandon()


def _are_shared(tensors: "Tensors") -> bool:
    for tensor in tensors:  # in plain loops: this is asked for every picture
        if not isinstance(tensor, SharedTensor):
            return False
    return True


def _are_same(announced: "Tensors", tensors: "Tensors") -> bool:
    if len(announced) != len(tensors):
        return False
    for one, other in zip(announced, tensors):
        if one is not other:
            return False
    return True


_alive: "weakref.WeakSet[Child]" = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for child in list(_alive):
        child.abandon()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_after_fork)
