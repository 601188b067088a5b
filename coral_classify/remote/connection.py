"""One kept HTTP connection, of which no request takes longer than it may, or gives more than was asked for.

Knows http.client and its bounds, which are for each read only.  Follows no redirect: it would carry the token along.
"""
from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from typing import Any, Callable, Dict, NamedTuple, Optional

from .addresses import Board

__all__ = ["Connection", "Failed", "Response", "Slow"]

_CONNECT_S = 5.0
_LONGEST_PAUSE_S = 2.0      # where a server that is full says when to come again


class Failed(Exception):
    """No answer, and why."""


class Slow(Failed):
    """No answer in time."""


class Response(NamedTuple):
    """What came back, whatever its status is."""

    status: int
    body: bytes
    header: Optional[str]       # of which the protocol is
    location: Optional[str]


class _Bounded(io.RawIOBase):
    """A socket to read from until a moment, and no longer.

    :param closed: called once, when nobody reads from it any more
    """

    def __init__(self, end: socket.socket, until: float, closed: Callable[[], None]) -> None:
        self._end = end
        self._until = until
        self._tell = closed

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        left = self._until - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        self._end.settimeout(left)
        return self._end.recv_into(into)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._tell()


class _Socket:
    """What http.client needs of a socket, with one deadline for all that it does.

    Of a connection that is to be closed it closes the socket with the headers, and goes on to read: the socket stays
    until the last reader has gone, as Python's own does.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._readers = 0
        self._closed = False
        self.until = 0.0

    def makefile(self, mode: str, *_: Any) -> Any:
        self._readers += 1
        return io.BufferedReader(_Bounded(self._end, self.until, self._left), 1 << 16)

    def _left(self) -> None:
        self._readers -= 1
        if self._closed and self._readers <= 0:
            self._end.close()

    def sendall(self, data: bytes) -> None:
        self._end.settimeout(max(0.001, self.until - time.monotonic()))
        self._end.sendall(data)

    def shut(self) -> None:
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self._closed = True
        if self._readers <= 0:
            self._end.close()


class Connection:
    """To one board; made when it is needed, and again when it broke.

    :param token: shown with every request
    :param header: the name of the one header of responses that matters
    """

    def __init__(self, board: Board, token: Optional[str], header: str) -> None:
        self._board = board
        self._headers = {} if token is None else {"Authorization": "Bearer " + token}
        self._header = header
        self._context = ssl.create_default_context() if board.tls else None
        self._http: Optional[http.client.HTTPConnection] = None
        self._end: Optional[_Socket] = None
        self._broken_off = threading.Event()

    def ask(self, method: str, path: str, until: float, most: int, headers: Optional[Dict[str, str]] = None,
            body: Optional[bytes] = None) -> Response:
        """One request and its answer.  A server that is full is asked again.

        :param until: the monotonic time by which all of it is done
        :param most: bytes of a body
        :raises Failed, Slow:
        """
        while True:
            response, pause_s = self._ask_once(method, path, until, most, headers or {}, body)
            if response.status != 503 or pause_s is None or time.monotonic() + pause_s >= until:
                return response
            if self._broken_off.wait(pause_s):
                raise Failed("broken off")

    def break_off(self) -> None:
        """End what is waited for, from another thread; nothing is asked afterwards."""
        self._broken_off.set()
        end = self._end
        if end is not None:
            end.shut()

    def close(self) -> None:
        kept, self._http, self._end = self._http, None, None
        if kept is not None:
            kept.close()

    def _ask_once(self, method: str, path: str, until: float, most: int, headers: Dict[str, str],
                  body: Optional[bytes]) -> "tuple[Response, Optional[float]]":
        again = self._http is not None      # a kept one may have been closed meanwhile; a new one has no such excuse
        while True:
            try:
                begun = False
                kept, end = self._kept(until)
                end.until = until
                kept.request(method, path, body, dict(self._headers, **headers))
                answer = kept.getresponse()
                begun = True
                return self._whole(answer, most)
            except (OSError, http.client.HTTPException, ValueError) as exc:
                self.close()
                if self._broken_off.is_set():
                    raise Failed("broken off") from exc
                if isinstance(exc, socket.timeout):
                    raise Slow("it did not answer in time") from exc
                if again and not begun and isinstance(exc, (http.client.RemoteDisconnected, ConnectionError)):
                    again = False
                    continue
                raise Failed(_words(exc)) from exc
            except BaseException:
                self.close()
                raise

    def _kept(self, until: float) -> "tuple[http.client.HTTPConnection, _Socket]":
        if self._http is not None and self._end is not None:
            return self._http, self._end
        if self._broken_off.is_set():
            raise Failed("broken off")
        left = max(0.001, min(_CONNECT_S, until - time.monotonic()))
        end = socket.create_connection((self._board.host, self._board.port), left)
        try:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                end = self._context.wrap_socket(end, server_hostname=self._board.host)
        except BaseException:
            end.close()
            raise
        made: Any = http.client.HTTPConnection(self._board.host, self._board.port)
        made.auto_open = 0      # one that is closed stays so: it would open a socket without our deadline
        made.sock = bounded = _Socket(end)
        self._http, self._end = made, bounded
        return made, bounded

    def _whole(self, answer: http.client.HTTPResponse, most: int) -> "tuple[Response, Optional[float]]":
        content = answer.read(most + 1)
        if len(content) > most:
            raise Failed("its answer is longer than the %d bytes that it may have" % most)
        if answer.length:       # http.client does not mind where a number of bytes was asked for
            raise Failed("its answer broke off")
        pause = answer.getheader("Retry-After", "")
        pause_s = max(0.05, min(float(pause), _LONGEST_PAUSE_S)) if pause.isdigit() and len(pause) < 6 else None
        response = Response(answer.status, content, answer.getheader(self._header), answer.getheader("Location"))
        if not answer.isclosed() or answer.will_close:
            answer.close()
            self.close()
        return response, pause_s


def _words(exc: Exception) -> str:
    if isinstance(exc, OSError):
        return str(exc.strerror or exc) or type(exc).__name__
    return "it speaks no HTTP: %s" % " ".join((str(exc) or type(exc).__name__).split())[:200]
