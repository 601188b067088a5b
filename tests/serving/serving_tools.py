"""A service on a real socket, for a test's time."""
from __future__ import annotations

import contextlib
import functools
import http.client
import json

from coral_classify.serving import Desk, Metrics, Service
from coral_classify.web import Limits, Server, address, guarded

NAME = "colours"


@contextlib.contextmanager
def serving(classifier, token=None, limits=Limits(), wishes=None, **options):   # noqa: B008
    """The port of a server that runs until the end of the block."""
    where = address("127.0.0.1:0")
    desk = Desk(classifier, **options)
    service = Service(desk, NAME, Metrics(), token=token is not None, wishes=wishes)
    server = Server(service.application(functools.partial(guarded, address=where, token=token, limits=limits)), where,
                    limits)
    server.start()
    try:
        yield server.port
    finally:
        server.stop()
        desk.close()


def ask(port, method, path, body=None, headers=()):
    """Status, JSON (or bytes), headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        content = response.read()
        kind = response.getheader("content-type", "")
        return response.status, json.loads(content) if kind == "application/json" and content else content, \
            response.headers
    finally:
        connection.close()
