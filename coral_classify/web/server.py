"""A server in a thread of its own, or in the foreground until it is told to end."""
from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
from typing import Any, Callable, List, Optional

from ..errors import CoralClassifyError, ExtraNotFound
from .addresses import Address
from .guard import Limits

try:
    import h11
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol
except ImportError as exc:
    raise ExtraNotFound("this needs a web server: pip install 'coral_classify[serve]' (%s)" % exc) from exc

__all__ = ["Server"]

_START_S = 30.0
_GRACE_S = 5        # for requests in hand when it ends


class Server:
    """An ASGI application on an address.

    :param app: most likely a guarded one; see :func:`coral_classify.web.guarded`
    :param limits: how many connections, and how long a request's headers may take
    :param grace_s: for the requests in hand when it ends
    """

    def __init__(self, app: Any, address: Address, limits: Limits = Limits(),     # noqa: B008
                 grace_s: float = _GRACE_S) -> None:
        self._address = address
        self._port = address.port
        self._sockets: List[socket.socket] = []
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[BaseException] = None
        protocol = type("Protocol", (_Bounded,), {"limits": limits})
        self._server = uvicorn.Server(uvicorn.Config(
            app, http=protocol, ws="none", loop="asyncio", lifespan="off", log_config=None, access_log=False,
            server_header=False, timeout_keep_alive=75, timeout_graceful_shutdown=int(grace_s), backlog=128))

    @property
    def port(self) -> int:
        """The one it got, where any was wanted; from :meth:`start` on."""
        return self._port

    @property
    def url(self) -> str:
        """For a browser of this machine."""
        everywhere = self._address.host in ("0.0.0.0", "::")
        return "http://%s/" % str(Address("localhost" if everywhere else self._address.host, self.port))

    def start(self) -> None:
        """Returns when it listens.

        :raises CoralClassifyError: if it cannot
        """
        self._sockets = _listening(self._address)
        self._port = int(self._sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._work, name="coral-classify-web", daemon=True)
        self._thread.start()
        until = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started or not self._thread.is_alive():
                break
            until.wait(0.01)
        if not self._server.started:
            self.stop()
            raise CoralClassifyError("%s: the server did not start: %s" % (self._address, self._failure or "no word"))

    def run(self, listening: Callable[[str], None] = lambda url: None) -> None:
        """In the foreground: until Ctrl-C, SIGTERM, or :meth:`stop` of another thread; requests in hand are answered.

        :param listening: is called with the URL once it listens
        :raises CoralClassifyError: if it cannot listen
        """
        mine = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGTERM) if mine else None
        if before == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self.start()
            listening(self.url)
            while self._thread is not None and self._thread.is_alive():
                self._thread.join(1.0)      # with an end, or a signal would wait for it
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()
            if before == signal.SIG_DFL:
                signal.signal(signal.SIGTERM, before)
        if self._failure is not None:
            raise CoralClassifyError("%s: the server failed: %s" % (self._address, self._failure))

    def stop(self) -> None:
        """No more requests; those in hand are answered, for some seconds.  May be called twice, from any thread."""
        self._server.should_exit = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        for listener in self._sockets:
            listener.close()

    def _work(self) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._server.serve(sockets=list(self._sockets)))
        except BaseException as exc:
            self._failure = exc
        finally:
            loop.close()


def _listening(where: Address) -> List[socket.socket]:
    """A listener for each address behind the name: browsers try ::1 for localhost first.

    :raises CoralClassifyError: if there is none
    """
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise CoralClassifyError("%s: no address of this machine (%s)" % (where, exc.strerror or exc)) from exc
    listeners: List[socket.socket] = []
    port, trouble = where.port, None
    for family, kind, protocol, _, place in found:
        try:
            listener = socket.socket(family, kind, protocol)
        except OSError as exc:      # a kernel without IPv6
            trouble = trouble or exc
            continue
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == getattr(socket, "AF_INET6", None):
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((place[0], port) + tuple(place[2:]))
            listener.listen(128)
            listener.setblocking(False)
        except OSError as exc:
            listener.close()
            trouble = exc if trouble is None or exc.errno == socket.errno.EADDRINUSE else trouble  # type: ignore[attr-defined]
            continue
        listeners.append(listener)
        port = port or int(listener.getsockname()[1])
    if not listeners:
        assert trouble is not None
        raise CoralClassifyError("%s: cannot be listened at: %s; give another port (--listen or --page HOST:PORT)" % (
            where, (trouble.strerror or str(trouble)).lower()))
    return listeners


class _Bounded(H11Protocol):  # type: ignore[misc]
    """uvicorn's, with an end to the waiting for headers, and to the number of connections."""

    limits = Limits()
    _waiting: Optional[asyncio.TimerHandle] = None
    _refused = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            body = json.dumps({"error": "too many connections; try again"}).encode("ascii")
            transport.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
                            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body))
            self._refused = True
            if len(self.connections) > 2 * self.limits.connections:
                transport.close()
            else:       # closed with its request unread, it would get a reset instead of these words
                transport.write_eof()
                self._wait()
            return
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        super().data_received(data)
        # A part of a request's headers; or what is left of a body that was refused, which would hold the connection.
        refused = self.conn.their_state is h11.SEND_BODY and self.cycle is not None and self.cycle.response_complete
        if refused or (self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]):
            self._wait()
        else:
            self._waited()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._waited()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.limits.request_s, self.transport.close)

    def _waited(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
