"""An application of routes, whose refusals all read alike, and the files that pages are made of."""
from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any, List, Sequence

from ..errors import ExtraNotFound
from .refusals import MISTAKE, Refused, refusal

try:
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as exc:
    raise ExtraNotFound("this needs a web server: pip install 'coral_classify[serve]' (%s)" % exc) from exc

__all__ = ["site", "statics"]

_WORDS = {404: "there is nothing here of that name", 405: "this does not take that method"}


def site(routes: Sequence[Any]) -> Any:
    """A Starlette application; :class:`Refused`, what Starlette itself refuses, and mistakes become one sentence."""
    return Starlette(routes=list(routes), exception_handlers={
        HTTPException: _not_here, Refused: _refused, Exception: _mistaken})


async def _not_here(request: Request, exc: Any) -> Any:
    return refusal(exc.status_code, _WORDS.get(exc.status_code, str(exc.detail)), getattr(exc, "headers", None))


async def _refused(request: Request, exc: Any) -> Any:
    return refusal(exc.status, exc.sentence, exc.headers)


async def _mistaken(request: Request, exc: Exception) -> Any:
    return refusal(500, MISTAKE)      # Starlette raises it on, and the guard logs it


def statics(folder: Path, at: str = "/") -> List[Any]:
    """Routes for the files of a package's folder, which are few and small; ``index.html`` answers for *at* itself."""
    routes = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".html", ".css", ".js", ".svg", ".png", ".webmanifest"):
            name = "" if path.name == "index.html" else path.name
            routes.append(Route(at + name, _file(path), methods=["GET"]))
    return routes


def _file(path: Path) -> Any:
    kind = {".js": "text/javascript", ".webmanifest": "application/manifest+json"}.get(
        path.suffix, mimetypes.guess_type(path.name)[0] or "application/octet-stream")
    content = path.read_bytes()

    async def respond(request: Request) -> Response:
        # no-cache: asked for again each time, so that a new version of the package shows at once
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})
    return respond
