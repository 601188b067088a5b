"""A service on a real socket, for a test's time."""
from __future__ import annotations

import contextlib
import functools

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
