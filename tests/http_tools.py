"""A request to a server of this machine, as a client without manners of its own makes it."""
from __future__ import annotations

import http.client
import json


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
