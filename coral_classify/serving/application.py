"""The whole of it as one ASGI application."""
from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Callable, List, Sequence

from ..errors import CoralClassifyError
from ..web import site
from .protocol import Protocol

if TYPE_CHECKING:
    from .desk import Desk

try:
    from starlette.routing import Route
except ImportError as exc:
    raise CoralClassifyError("this needs a web server: pip install 'coral_classify[serve]' (%s)" % exc) from exc

__all__ = ["name_for", "service"]


def name_for(model: str) -> str:
    """What the protocol calls a model.

    :param model: its path or its name

    >>> name_for("models/mobilenet_v2_1.0_224_quant_edgetpu.tflite")
    'mobilenet_v2_1.0_224_quant_edgetpu'
    """
    name = PurePath(model).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", re.sub(r"\.tflite\Z", "", name)) or "model"


def service(desk: "Desk", name: str) -> Any:
    """An ASGI application, to be guarded (:func:`coral_classify.web.guarded`).

    :param name: what the Open Inference Protocol calls the model
    """
    return site(_protocol(Protocol(desk, name)))


def _protocol(protocol: Protocol) -> List[Any]:
    def two(path: str, handler: Callable[..., Any], methods: Sequence[str] = ("GET",)) -> List[Any]:
        return [Route("/v2/models/{name}%s%s" % (version, path), handler, methods=list(methods))
                for version in ("", "/versions/{version}")]
    return [Route("/v2", protocol.server), Route("/v2/health/live", protocol.live),
            Route("/v2/health/ready", protocol.ready)] + two("", protocol.model) + two(
                "/ready", protocol.model_ready) + two("/infer", protocol.infer, ["POST"])
