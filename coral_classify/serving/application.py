"""The whole of it as one ASGI application: which address leads to which handler."""
from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from ..errors import ExtraNotFound
from ..web import site, statics
from . import description
from .pictures import Pictures
from .protocol import VERSION, Protocol

if TYPE_CHECKING:
    from .desk import Desk
    from .metrics import Metrics

try:
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError as exc:
    raise ExtraNotFound("this needs a web server: pip install 'coral_classify[serve]' (%s)" % exc) from exc

__all__ = ["Service", "name_for"]

_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"


class _Way(NamedTuple):
    """One address, and what is done there."""

    method: str
    path: str
    handler: Callable[..., Any]
    operation: Dict[str, Any]       # as OpenAPI describes it


class Service:
    """One model behind HTTP.

    :param name: what the Open Inference Protocol calls the model
    :param token: whether one is needed
    :param wishes: parameters of ``classify`` for requests that have none of their own
    """

    def __init__(self, desk: "Desk", name: str, metrics: "Metrics", *, token: bool = False,
                 wishes: Optional[Mapping[str, Any]] = None) -> None:
        self._desk = desk
        self._metrics = metrics
        metrics.look_at(desk, name)
        self._ways = self._all_ways(Pictures(desk, metrics.answered, wishes or {}), Protocol(desk, name, metrics.ran))
        self._description = description.document(
            [(way.method, way.path, way.operation) for way in self._ways], name, VERSION, token)
        self._name = name

    def application(self, guard: Callable[[Any], Any]) -> Any:
        """:param guard: makes the application one to which not everybody gets; see :func:`coral_classify.web.guarded`
        """
        routes = [Route(way.path, way.handler, methods=[way.method]) for way in self._ways]
        app = site(routes + statics(Path(__file__).parent / "page"))
        return self._metrics.measured(guard(app), {way.handler: way.path.replace("/versions/{version}", "")
                                                   for way in self._ways})

    def _all_ways(self, pictures: Pictures, protocol: Protocol) -> List[_Way]:
        model = [("GET", "", protocol.model, description.MODEL),
                 ("GET", "/ready", protocol.model_ready, description.MODEL_READY),
                 ("POST", "/infer", protocol.infer, description.infer(self._desk.classifier.input))]
        return [
            _Way("POST", "/v1/classify", pictures.classify, description.CLASSIFY),
            _Way("GET", "/v1/service", self._service, description.SERVICE),
            _Way("GET", "/v2", protocol.server, description.SERVER),
            _Way("GET", "/v2/health/live", protocol.live, description.LIVE),
            _Way("GET", "/v2/health/ready", protocol.ready, description.READY),
        ] + [_Way(method, base + path, handler, operation)
             for base in (_MODEL, _VERSION) for method, path, handler, operation in model] + [
            _Way("GET", "/metrics", self._figures, description.METRICS),
            _Way("GET", "/openapi.json", self._describe, description.OPENAPI),
        ]

    async def _service(self, request: Any) -> Response:
        classifier = self._desk.classifier
        return JSONResponse({"model": self._name, "device": classifier.device,
                             "waiting": self._desk.waiting, "waiting_limit": self._desk.most})

    async def _figures(self, request: Any) -> Response:
        return Response(self._metrics.text(), headers={"content-type": self._metrics.content_type})

    async def _describe(self, request: Any) -> Response:
        return JSONResponse(self._description)


def name_for(model: str) -> str:
    """What the protocol calls a model.

    :param model: its path or its name

    >>> name_for("models/mobilenet_v2_1.0_224_quant_edgetpu.tflite")
    'mobilenet_v2_1.0_224_quant_edgetpu'
    """
    name = PurePath(model).name
    return re.sub(r"[^A-Za-z0-9._-]", "_", re.sub(r"\.tflite\Z", "", name)) or "model"
