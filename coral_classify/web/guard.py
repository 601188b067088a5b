"""Who comes in, and how much of anything one request may be: an ASGI application around another."""
from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from typing import Any, Awaitable, Callable, Dict, List, MutableMapping, NamedTuple, Optional, Tuple
from urllib.parse import parse_qs, urlsplit

from .addresses import Address
from .refusals import MISTAKE, Refused, refusal

__all__ = ["Limits", "guarded"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_App = Callable[[Any, _Receive, _Send], Awaitable[None]]

_COOKIE = "coral_classify"
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_ASKING = ("GET", "HEAD", "OPTIONS")    # methods that change nothing
# Pages are made of what this server gives, and of pictures that they draw themselves.
_HEADERS = (
    (b"content-security-policy",
     b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
     b"manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_log = logging.getLogger("coral_classify.web")


class Limits(NamedTuple):
    """How much of anything."""

    body_bytes: int = 64 << 20      # of one request
    connections: int = 128          # at one time; one more gets 503 and is closed
    request_s: float = 30.0         # until a request, its body with it, is here as a whole


def guarded(app: _App, *, address: Address, token: Optional[str] = None,
            limits: Limits = Limits()) -> _App:     # noqa: B008
    """*app*, to which only those requests get that may.

    A token comes as ``Authorization: Bearer TOKEN``; for browsers once as ``/?token=TOKEN``, which leaves a cookie.
    Without a token, requests must name this machine (a page from elsewhere can make a name point here), and what
    changes something must not come from another site's page.

    :param address: where it listens
    :param limits: a body that is longer gets 413, one that is slower 408
    """
    return _Guard(app, address, token, limits)


class _Guard:
    def __init__(self, app: _App, address: Address, token: Optional[str], limits: Limits) -> None:
        self._app = app
        self._token = token.encode("ascii") if token is not None else None
        self._cookie = hmac.new(self._token, b"cookie", hashlib.sha256).hexdigest() if self._token is not None else ""
        host = "[%s]" % address.host if ":" in address.host else address.host
        self._names = {host.lower()}.union(_LOCAL_NAMES) if address.is_local else None
        self._limits = limits

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = ended = False
        deadline = _Deadline(self._limits.request_s)

        async def sent(message: _Message) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = list(message.get("headers", ())) + list(_HEADERS)
            else:
                ended = not message.get("more_body", False)
            await send(message)

        try:
            entry = self._entry(scope)
            if entry is not None:
                await entry(scope, receive, sent)
                return
            await self._app(scope, self._bounded(scope, receive, deadline), sent)
        except Refused as exc:
            if not begun:
                await refusal(exc.status, exc.sentence, dict(exc.headers, Connection="close"))(scope, receive, sent)
        except Exception as exc:
            _log.error("%s %s: %s: %s", scope["method"], scope["path"], type(exc).__name__, exc, exc_info=True)
            if begun and not ended:
                raise       # the connection ends in the middle of the answer, so that nobody takes it for whole
            if not begun:
                await refusal(500, MISTAKE)(scope, receive, sent)
        finally:
            deadline.end()

    def _entry(self, scope: Any) -> Optional[_App]:
        """What answers instead of the application; None: nothing.

        :raises Refused: if the request may not come in
        """
        headers = _headers(scope)
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            raise Refused(421, "this server is called localhost; ask it by that name")
        origin = headers.get("origin")
        if scope["method"] not in _ASKING and (
                (origin is not None and urlsplit(origin).netloc.lower() != host.lower())
                or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")):
            raise Refused(403, "a page of another site may not do this")
        if self._token is None:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given and scope["method"] == "GET" and _same(given[0], self._token):
            return _enter(scope["path"], self._cookie)
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(bearer.strip(), self._token):
            return None
        if _same(_cookie(headers.get("cookie", "")), self._cookie.encode("ascii")):
            return None
        raise Refused(401, "a token is needed: the header Authorization: Bearer TOKEN, or in a browser /?token=TOKEN",
                      {"WWW-Authenticate": "Bearer"})

    def _bounded(self, scope: Any, receive: _Receive, deadline: "_Deadline") -> _Receive:
        """*receive*, which raises Refused for a body that is too long or too slow.

        :raises Refused: at once, if the length that was announced is too much
        """
        most = self._limits.body_bytes
        too_long = Refused(413, "a request has at most %d bytes here" % most)
        length = _headers(scope).get("content-length", "")
        if length.isdigit() and (len(length) > 18 or int(length) > most):
            raise too_long
        got, whole = 0, False

        async def bounded() -> _Message:
            nonlocal got, whole
            if whole:       # from here on there is only the end of the connection to be waited for
                return await receive()
            message = await deadline.kept(receive)
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                whole = not message.get("more_body", False)
                if got > most:
                    raise too_long
            if whole:
                deadline.end()
            return message
        return bounded


class _Deadline:
    """An end to the waiting for a body; one timer for all its pieces, of which a picture has many."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._timer: Optional[asyncio.TimerHandle] = None
        self._task: "Optional[asyncio.Task[Any]]" = None    # that waits at present
        self._passed = False

    async def kept(self, receive: _Receive) -> _Message:
        """The next piece.

        :raises Refused: 408, if it does not come in time
        """
        too_late = Refused(408, "the request did not arrive within %g s" % self._seconds, {"Connection": "close"})
        if self._passed:
            raise too_late
        if self._timer is None:
            self._timer = asyncio.get_event_loop().call_later(max(0.0, self._until - time.monotonic()), self._pass)
        self._task = task = asyncio.current_task()
        try:
            return await receive()
        except asyncio.CancelledError:
            if not self._passed:
                raise
            getattr(task, "uncancel", int)()        # Python 3.11
            raise too_late from None
        finally:
            self._task = None

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        self._passed = True
        if self._task is not None:
            self._task.cancel()


def _headers(scope: Any) -> Dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    return re.sub(r":\d*\Z", "", host.lower())


def _same(given: str, secret: bytes) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret)


def _cookie(header: str) -> str:
    for part in header.split(";"):
        name, _, value = part.strip().partition("=")
        if name == _COOKIE:
            return value
    return ""


def _enter(path: str, cookie: str) -> _App:
    """To the same page without the token, which neither the address bar nor the history shall keep."""
    async def respond(scope: Any, receive: _Receive, send: _Send) -> None:
        headers: List[Tuple[bytes, bytes]] = [
            (b"location", re.sub(r"[^!-~]", "", "/" + path.lstrip("/")).encode("ascii")),
            (b"set-cookie", ("%s=%s; HttpOnly; SameSite=Strict; Path=/" % (_COOKIE, cookie)).encode("ascii")),
            (b"cache-control", b"no-store"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
    return respond
