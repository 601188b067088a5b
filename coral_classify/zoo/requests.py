"""One HTTP request that begins to be answered in time, and is not led elsewhere."""
from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from typing import Any, Callable, List
from urllib.parse import urlsplit

from .addresses import shown

__all__ = ["SameScheme", "answered"]


def answered(request: urllib.request.Request, timeout: float, opening: float) -> Any:
    """The open response.

    :param timeout: seconds without a byte
    :param opening: seconds until the headers are complete, whatever trickles in
    :raises OSError, ValueError, http.client.HTTPException: as urllib does
    """
    connections = _Connections()
    opener = urllib.request.build_opener(SameScheme, _Http(connections.opened), _Https(connections.opened))
    watchdog = threading.Timer(opening, connections.shut)
    watchdog.daemon = True
    watchdog.start()
    try:
        response = opener.open(request, timeout=timeout)
        if connections.late:        # cut off among the headers, which looks like their end
            response.close()
            raise OSError("no answer within %.0f s" % opening)
        return response
    except (OSError, ValueError, http.client.HTTPException) as exc:
        if connections.late:
            raise OSError("no answer within %.0f s" % opening) from exc
        raise
    finally:
        watchdog.cancel()
        connections.forget()


class _Connections:
    """A second handle on every connection, with which to end it while another thread reads."""

    def __init__(self) -> None:
        self.late = False
        self._lock = threading.Lock()
        self._handles: List[socket.socket] = []

    def opened(self, *arguments: Any, **named: Any) -> socket.socket:
        """``socket.create_connection``"""
        connection = socket.create_connection(*arguments, **named)
        with self._lock, contextlib.suppress(OSError):
            self._handles.append(connection.dup())
            if self.late:
                connection.shutdown(socket.SHUT_RDWR)
        return connection

    def shut(self) -> None:
        with self._lock:
            self.late = True
            for handle in self._handles:
                with contextlib.suppress(OSError):
                    handle.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles = []


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_through(http.client.HTTPConnection, self._connect), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connect: Callable[..., socket.socket]) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_through(http.client.HTTPSConnection, self._connect), req)


def _through(kind: Any, connect: Callable[..., socket.socket]) -> Callable[..., Any]:
    def made(*arguments: Any, **named: Any) -> Any:
        connection = kind(*arguments, **named)
        connection._create_connection = connect     # http.client's own place for it, since Python 3.2
        return connection
    return made


class SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never to another scheme: not to a weaker one, nor to files or FTP."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        scheme = urlsplit(req.full_url).scheme
        if urlsplit(newurl).scheme != scheme:
            raise urllib.error.URLError("it redirects to %s, which is not %s" % (shown(newurl), scheme))
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        # Before urllib's own look, which tells the whole address.
        place = headers.get("location") or headers.get("uri") or ""
        scheme = urlsplit(place).scheme
        if scheme and scheme != urlsplit(req.full_url).scheme:
            raise urllib.error.URLError("it redirects to %s, which is not %s" % (
                shown(place), urlsplit(req.full_url).scheme))
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
