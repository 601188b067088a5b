"""The page's server: its files, the picture, what there is to say, and what viewers do."""
from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Dict, List, Optional, Tuple

from ..errors import CoralClassifyError, UsageError
from ..web import Address, Limits, Refused, Server, guarded, site, statics
from .film import Film
from .lessons import Lessons
from .scene import Scene, View
from .vitals import Vitals

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..types import Result

__all__ = ["Page"]

_FILES = Path(__file__).parent / "page"
_TELL_S = 0.25          # between two states
_HOUR_EVERY_S = 1.0     # between two histories
_PING_S = 10.0          # after so long without news a line that says that the server is there
_OLD_S = 1.0            # a picture that nobody looks at is as old as that at most
_LIMITS = Limits(body_bytes=4096, connections=256)
_ID = 64                # characters of a page's name for itself


class Page:
    """Shows a camera's results to viewers, until it is closed.

    :param address: where; for others than this machine's own a *token* is needed
    :param camera: its name, for the title
    :param model: the model's file; teaching builds on its network where that can be
    :param folder: where models that were taught are saved
    :raises CoralClassifyError: if the address is taken, or the extra ``[serve]`` is missing
    """

    def __init__(self, address: Address, token: Optional[str] = None, *, camera: str = "", view: View = View(),    # noqa: B008
                 model: Optional[str] = None, folder: Path = Path(".")) -> None:     # noqa: B008
        self.scene = Scene()
        self._camera = camera
        self._film = Film(self.scene, view)
        self._vitals = Vitals()
        self._lessons = Lessons(self.scene, view, model, folder)
        self._state: "Tuple[float, bytes]" = (0.0, b"")         # when it was made, and the state as JSON
        self._hour: "Tuple[int, float, bytes]" = (-1, 0.0, b"")  # of which number, when, and the last hour as JSON
        self._over = False
        self._server = Server(guarded(site(self._routes()), address=address, token=token, limits=_LIMITS), address,
                              _LIMITS, grace_s=1)
        self._server.start()
        self.url = self._server.url

    @property
    def viewers(self) -> int:
        """How many look at the picture."""
        return self._film.viewers

    def wants_frame(self) -> bool:
        """Whether the next result should carry its picture: somebody looks, or would see an old one if he came now."""
        return self._film.viewers > 0 or self._lessons.begun or self.scene.frame_age_s >= _OLD_S

    def tell(self, result: "Result") -> None:
        """The newest result; costs next to nothing.  Its ``frame`` must not change any more."""
        self.scene.tell(result)

    def close(self) -> None:
        """Ends the server, and what is being taught.  May be called twice."""
        self._over = True
        self._film.close()
        self._server.stop()
        self._lessons.close()

    # ---- requests

    def _routes(self) -> List[Any]:
        from starlette.routing import Route

        return [Route("/picture", self._picture), Route("/events", self._events),
                Route("/state", self._now),
                Route("/hold", self._hold, methods=["POST"]), Route("/release", self._release, methods=["POST"]),
                Route("/forget", self._forget, methods=["POST"]), Route("/save", self._save, methods=["POST"])
                ] + statics(_FILES)

    async def _picture(self, request: "Request") -> Any:
        from starlette.responses import StreamingResponse

        async def body() -> AsyncIterator[bytes]:
            yield self._film.opening
            async for part in self._film.parts():
                yield part
        return StreamingResponse(body(), media_type=self._film.content_type, headers={"cache-control": "no-store"})

    async def _now(self, request: "Request") -> Any:
        from starlette.responses import Response

        return Response(self._told(), media_type="application/json", headers={"cache-control": "no-store"})

    async def _events(self, request: "Request") -> Any:
        from starlette.responses import StreamingResponse

        return StreamingResponse(self._news(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def _news(self) -> AsyncIterator[bytes]:
        """Server-sent events: ``hour`` when the history has changed, ``now`` four times a second."""
        changes, told, at = -1, b"", 0.0
        while not self._over:
            number, hour = self._last_hour()
            if number != changes:
                changes = number
                yield b"event: hour\ndata: " + hour + b"\n\n"
            state = self._told()
            if state != told:
                told, at = state, time.monotonic()
                yield b"event: now\ndata: " + state + b"\n\n"
            elif time.monotonic() - at > _PING_S:
                at = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(_TELL_S)

    def _last_hour(self) -> "Tuple[int, bytes]":
        """Its number, and the history as JSON; made once for all viewers, and not with every flicker."""
        number, at, content = self._hour
        if self.scene.changes != number and time.monotonic() - at >= _HOUR_EVERY_S:
            number = self.scene.changes
            content = json.dumps(self.scene.hour()).encode("ascii")
            self._hour = (number, time.monotonic(), content)
        return number, content

    def _told(self) -> bytes:
        """The state as JSON; made once for all viewers."""
        at, content = self._state
        if time.monotonic() - at >= 0.9 * _TELL_S:
            record = self.scene.now()
            record.update(camera=self._camera, viewers=self._film.viewers, teach=self._lessons.state(),
                          at=time.time(), **self._vitals.read(str(record.get("device", ""))))
            record.pop("model", None)       # the server's paths are nobody's business
            record.pop("image", None)
            content = json.dumps(record).encode("ascii")
            self._state = (time.monotonic(), content)
        return content

    # ---- what viewers do

    async def _hold(self, request: "Request") -> Any:
        asked = await _asked(request)
        return _done(lambda: self._lessons.hold(_text(asked, "page")[:_ID], _text(asked, "name")))

    async def _release(self, request: "Request") -> Any:
        asked = await _asked(request)
        return _done(lambda: self._lessons.release(_text(asked, "page")[:_ID]))

    async def _forget(self, request: "Request") -> Any:
        asked = await _asked(request)
        return _done(lambda: self._lessons.forget(_text(asked, "name")))

    async def _save(self, request: "Request") -> Any:
        asked = await _asked(request)
        return _done(lambda: self._lessons.save(_text(asked, "name")))


async def _asked(request: "Request") -> Dict[str, Any]:
    try:
        asked = json.loads((await request.body()).decode("utf-8"))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise Refused(400, "a JSON object is wanted here")
    return asked


def _text(asked: Dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Refused(400, "%s: a text is wanted" % name)
    return value


def _done(work: Callable[[], None]) -> Any:
    from starlette.responses import JSONResponse

    try:
        work()
    except UsageError as exc:
        raise Refused(422, str(exc)) from exc
    except CoralClassifyError as exc:
        raise Refused(503, str(exc)) from exc
    return JSONResponse({"done": True})
