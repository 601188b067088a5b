"""``POST /v1/classify``: a picture as the body, or several as a form; the answer is what ``--json`` prints."""
from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Mapping, Optional, Tuple, TypeVar

from ..errors import CoralClassifyError, DeviceError, SessionClosed
from ..types import Result
from ..web import Refused
from . import forms, queries
from .sentences import record_of, refused

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .desk import Desk

__all__ = ["Pictures"]

_Told = Tuple[Optional[Result], Optional[Exception]]
_Answered = TypeVar("_Answered")


class Pictures:
    """The handler.

    :param tell: is called with each result
    :param wishes: parameters of ``classify`` for requests that have none of their own
    """

    def __init__(self, desk: "Desk", tell: Callable[[Result], None], wishes: Mapping[str, Any]) -> None:
        self._desk = desk
        self._tell = tell
        self._wishes = wishes

    async def classify(self, request: "Request") -> "Response":
        from starlette.responses import Response

        try:
            asked = queries.parameters(request.query_params.multi_items())
            wanted = self._desk.classifier.wanted(**dict(self._wishes, **asked))
            between = forms.boundary(request.headers.get("content-type", ""))
            with self._desk.place() as place:
                pictures: List[Any] = [await place.body(request)]
                if between is not None:
                    pictures = list(forms.uploads(pictures.pop(), between))
                    place.more(len(pictures) - 1)
                told = await _unless_gone(request, asyncio.gather(
                    *[self._desk.classified(picture, wanted) for picture in pictures]))
        except CoralClassifyError as exc:
            raise refused(exc) from exc
        records = [self._record(*one) for one in told]
        if between is None:
            failure = told[0][1]
            answer = refused(failure) if isinstance(failure, CoralClassifyError) else None
            return Response(json.dumps(records[0]) + "\n", answer.status if answer else 200,
                            answer.headers if answer else None, "application/json")
        if all(isinstance(failure, (DeviceError, SessionClosed)) for _, failure in told):
            raise refused(told[0][1])   # type: ignore[arg-type]
        return Response("[%s]\n" % ",\n".join(map(json.dumps, records)), media_type="application/json")

    def _record(self, result: Optional[Result], failure: Optional[Exception]) -> Dict[str, Any]:
        if result is None:
            if isinstance(failure, CoralClassifyError):
                raise refused(failure)
            assert failure is not None
            raise failure       # a mistake of ours
        self._tell(result)
        return record_of(result)


async def _unless_gone(request: "Request", work: "Awaitable[_Answered]") -> _Answered:
    """What *work* gives; it is given up when the client has gone."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_end(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Refused(499, "the client has gone")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _end(request: "Request") -> None:
    """Returns when the connection ends."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
