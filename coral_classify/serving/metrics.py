"""What a service tells Prometheus: how many requests, pictures and tensors, how long they took, how the device is.

Knows prometheus_client, with a registry of its own.  Knows no request.
"""
from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterator, Mapping, MutableMapping

from .. import __version__
from ..errors import ExtraNotFound
from ..types import Answer, Result

if TYPE_CHECKING:
    from ..events import Event
    from .desk import Desk

try:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.core import InfoMetricFamily
except ImportError as exc:
    raise ExtraNotFound("this needs prometheus-client: pip install 'coral_classify[serve]' (%s)" % exc) from exc

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Metrics:
    """The figures of one service."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests answered, by route and status.", "route", "status")
        self._seconds = Histogram("coral_classify_request_seconds", "From a request's headers to its answer.",
                                  ["route"], buckets=_SECONDS, registry=self._registry)
        self._pictures = self._counter("pictures", "Pictures classified, or not (outcome).", "device", "outcome")
        self._tensors = self._counter("tensors", "Raw tensors run.", "device")
        self._faults = self._counter("faults_survived", "Answers before which a fault of the driver was survived.")
        self._events = self._counter("device_events", "What happened to the device: lost, failed_over, back, …",
                                     "kind")
        for kind in ("lost", "failed_over", "back"):
            self._events.labels(kind)

    def _counter(self, name: str, what: str, *labels: str) -> Any:
        return Counter("coral_classify_" + name, what, labels, registry=self._registry)

    def look_at(self, desk: "Desk", model: str) -> None:
        """From here on the figures of *desk* are given, too.

        :param model: its name
        """
        for name, what, value in (
                ("waiting", "Pictures and tensors that wait or are at work.", lambda: desk.waiting),
                ("waiting_limit", "How many may.", lambda: desk.most),
                ("held_bytes", "What the bodies of the requests that wait take.", lambda: desk.held_bytes)):
            Gauge("coral_classify_" + name, what, registry=self._registry).set_function(value)
        self._registry.register(_Device(desk, model))

    # ---- what happens

    def answered(self, result: Result) -> None:
        """A picture has its result."""
        self._pictures.labels(result.device, "classified" if result.error is None else "failed").inc()
        if result.recovered:
            self._faults.inc()

    def ran(self, answer: Answer) -> None:
        """A tensor has its output."""
        self._tensors.labels(answer.device).inc()
        if answer.recovered:
            self._faults.inc()

    def heard(self, event: "Event") -> None:
        """Of a device; see :class:`coral_classify.events.Event`."""
        self._events.labels(event.kind).inc()

    def measured(self, app: Any, routes: "Mapping[Any, str]") -> Any:
        """*app*, whose requests are counted and timed.

        :param routes: handler -> the name of its route
        """
        async def counted(scope: Any, receive: _Receive, send: _Send) -> None:
            began, status = time.perf_counter(), "500"

            async def sent(message: MutableMapping[str, Any]) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = str(message["status"])
                await send(message)
            try:
                await app(scope, receive, sent)
            finally:
                route = routes.get(scope.get("endpoint"), "other")
                self._requests.labels(route, status).inc()
                self._seconds.labels(route).observe(time.perf_counter() - began)
        return counted

    def text(self) -> bytes:
        """In the format that Prometheus reads."""
        text: bytes = generate_latest(self._registry)
        return text


class _Device:
    """Which device answers; that may change."""

    def __init__(self, desk: "Desk", model: str) -> None:
        self._desk = desk
        self._model = model

    def collect(self) -> "Iterator[Any]":
        info = InfoMetricFamily("coral_classify_service", "What answers, and on which device.")
        info.add_metric([], {"version": __version__, "model": self._model, "device": self._desk.classifier.device})
        yield info
