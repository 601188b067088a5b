"""Where requests wait for the devices: pictures go through one stream, raw tensors beside it, and of both only so many
at one time.

Knows threads on one side and the server's event loop on the other.  Knows nothing of what a request looks like.
"""
from __future__ import annotations

import asyncio
import functools
import logging
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional, Set, Tuple, TypeVar, Union

from .. import arguments
from ..streaming import Asked
from ..types import Result, Wanted
from ..web import Refused

if TYPE_CHECKING:
    from ..classifier import Classifier
    from ..pictures import Picture
    from ..pool import Pool

__all__ = ["Desk", "Place"]

WAITING = 128               # requests
HELD_BYTES = 256 << 20      # of their bodies
_PATIENCE_S = 30.0          # without a new request the stream looks after those it has
_SLOTS = 2                  # of raw tensors at work: one on the device, and the next one's way there
_Answered = TypeVar("_Answered")
_Told = Tuple[Optional[Result], Optional[Exception]]
_log = logging.getLogger("coral_classify.serving")


class Desk:
    """Takes what is asked, on the event loop, and gives it to the devices' threads."""

    def __init__(self, classifier: "Union[Classifier, Pool]", *, waiting: int = WAITING, held_bytes: int = HELD_BYTES,
                 decoders: Optional[int] = None) -> None:
        """
        :param classifier: stays the caller's; closed after this
        :param waiting: pictures and tensors that may be here at one time, those at work with them
        :param held_bytes: what the bodies of requests may take together
        :param decoders: decoding threads; None: one per usable core
        :raises UsageError: for a number that cannot be meant
        """
        self.classifier = classifier
        self.most = arguments.whole("waiting", waiting, least=1, most=65536)
        self.waiting = 0            # for the event loop's thread alone, as the next one
        self.held_bytes = 0
        self._most_bytes = arguments.whole("held_bytes", held_bytes, least=1)
        self._futures: "Set[asyncio.Future[_Told]]" = set()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._asked: "queue.Queue[Optional[Tuple[Asked, asyncio.Future[_Told]]]]" = queue.Queue()
        self._over = threading.Event()
        self._decoders = decoders
        self._runners = ThreadPoolExecutor(_SLOTS * len(classifier.device.split(",")), "coral-classify-tensors")
        self._thread = threading.Thread(target=self._work, name="coral-classify-desk", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return not self._over.is_set() and not self.classifier.closed

    def place(self, many: int = 1) -> "Place":
        """Room for so many pictures or tensors, until the end of the ``with`` block.

        :raises Refused: 503, if there is none
        """
        if not self.ready:
            raise Refused(503, "the server is ending", {"Retry-After": "5"})
        if self.waiting + many > self.most:
            raise Refused(503, "%d requests wait already; try again" % self.waiting, {"Retry-After": "1"})
        return Place(self, many)

    def hold(self, more: int) -> None:
        """:raises Refused: 503, if the bodies took too much"""
        if self.held_bytes + more > self._most_bytes:
            raise Refused(503, "the requests that wait take %d MB already; try again" % (self.held_bytes >> 20),
                          {"Retry-After": "1"})
        self.held_bytes += more

    async def classified(self, picture: "Picture", wanted: Wanted) -> _Told:
        """The result, and why there is none or only an error; decoded while the devices do others."""
        loop = self._loop = asyncio.get_event_loop()
        future: "asyncio.Future[_Told]" = loop.create_future()

        def tell(result: Optional[Result], failure: Optional[Exception]) -> None:
            self._later(functools.partial(_settle, future, (result, failure)))
        self._futures.add(future)
        try:
            self._asked.put((Asked(picture, wanted, tell), future))
            return await future
        finally:
            self._futures.discard(future)

    async def worked(self, work: Callable[[], _Answered]) -> _Answered:
        """What *work* gives, in a thread for those that run raw tensors."""
        return await asyncio.get_event_loop().run_in_executor(self._runners, work)

    def close(self) -> None:
        """Answers what is here, and takes no more.  May be called twice."""
        self._over.set()
        self._asked.put(None)
        self._thread.join()
        self._runners.shutdown()

    # ---- the stream's thread

    def _work(self) -> None:
        while True:
            try:
                for _ in self.classifier.stream(self._pictures(), decoders=self._decoders):
                    pass        # each is told of instead
                return
            except Exception as exc:    # a mistake of ours: those in hand hear of it, the next ones get a new stream
                _log.error("the stream ended: %s: %s", type(exc).__name__, exc, exc_info=True)
                self._later(functools.partial(self._fail, exc))
                if self._over.wait(0.1):
                    return

    def _pictures(self) -> Iterator[Any]:
        while True:
            try:
                asked = self._asked.get(timeout=_PATIENCE_S)
            except queue.Empty:
                if self._futures:
                    yield None      # the devices may all be away: the stream gives up those that wait too long
                continue
            if asked is None:
                return
            if not asked[1].done():     # somebody still waits for it
                yield asked[0]

    def _later(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(call)
            except RuntimeError:        # the loop has ended: nobody waits any more
                pass

    def _fail(self, exc: Exception) -> None:
        for future in list(self._futures):
            _settle(future, (None, exc))


class Place:
    """What one request takes: places in the queue, and memory for its body."""

    def __init__(self, desk: Desk, many: int) -> None:
        self._desk = desk
        self._many = many
        self._bytes = 0
        desk.waiting += many

    async def body(self, request: Any) -> bytes:
        """:raises Refused: if the bodies of all requests take too much, or the client has gone"""
        from starlette.requests import ClientDisconnect

        blocks: List[bytes] = []
        try:
            async for block in request.stream():
                self._desk.hold(len(block))
                self._bytes += len(block)
                blocks.append(block)
        except ClientDisconnect:
            raise Refused(400, "the connection ended before the request did") from None
        return b"".join(blocks)

    def more(self, many: int) -> None:
        """:raises Refused: 503, if there are no further places"""
        if self._desk.waiting + many > self._desk.most:
            raise Refused(503, "%d requests wait already; try again" % self._desk.waiting, {"Retry-After": "1"})
        self._desk.waiting += many
        self._many += many

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *exc: object) -> None:
        self._desk.waiting -= self._many
        self._desk.held_bytes -= self._bytes


def _settle(future: "asyncio.Future[_Told]", told: _Told) -> None:
    if not future.done():
        future.set_result(told)
