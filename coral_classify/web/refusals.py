"""How a server says no: a status, and one sentence as JSON."""
from __future__ import annotations

import json
from typing import Any, Awaitable, Callable, Mapping, MutableMapping, Optional

__all__ = ["MISTAKE", "Refused", "refusal"]

MISTAKE = "the server made a mistake; its log says more"
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Refused(Exception):
    """A request that is not answered with what it asks for.

    :param status: of HTTP, 400 to 599
    :param sentence: what is wrong, and the next step; nothing that only the server's owner should know
    """

    def __init__(self, status: int, sentence: str, headers: Optional[Mapping[str, str]] = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = dict(headers or {})


def refusal(status: int, sentence: str, headers: Optional[Mapping[str, str]] = None) -> "_Refusal":
    """The response to a request that is refused; see :class:`Refused`."""
    return _Refusal(status, sentence, headers)


class _Refusal:
    """An ASGI application that gives ``{"error": sentence}``; Starlette takes it as a response."""

    def __init__(self, status: int, sentence: str, headers: Optional[Mapping[str, str]] = None) -> None:
        self.status_code = status
        self.body = json.dumps({"error": sentence}).encode("ascii")
        self._headers = dict(headers or {})

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(self.body))]
        headers += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else self.body})
