"""A board's server, written from the published protocol and not from ours: one model, as bytes behind JSON.

Its ``answer`` may be exchanged, so that it misbehaves.
"""
from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

NAMES = {"uint8": "UINT8", "int8": "INT8", "int32": "INT32", "float32": "FP32"}
HEADER = "Inference-Header-Content-Length"


class Server:
    """Serves a session's model; ``with`` starts and ends it.

    :param name: of the model; None: whatever it is asked for
    :param token: that clients show; None: none
    """

    def __init__(self, session, name=None, token=None, port=0, context=None):
        self.session, self.name, self.token = session, name, token
        self.parameters = {"device": "usb:0"}
        self.quantized = True       # it tells scale and zero point
        self.requests = []          # method and path
        self.answer = None          # of an inference: handler -> None, in place of the right one
        self.describe = None        # likewise
        self.connections = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def setup(self):
                super().setup()
                outer.connections.append(self.request)

            def do_GET(self):
                outer.requests.append(("GET", self.path))
                outer.described(self)

            def do_POST(self):
                outer.requests.append(("POST", self.path))
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.inferred(self, body)

            def log_message(self, *_):
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self._server = Listening(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """As when it is switched off: what is connected is cut off, too."""
        self._server.shutdown()
        self._server.server_close()
        self.cut()

    def cut(self):
        for end in self.connections:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        self.connections.clear()

    # ---- the protocol

    def described(self, handler):
        if self.describe is not None:
            self.describe(handler)
        elif self._may(handler):
            reply(handler, 200, {"name": "m", "versions": ["1"], "platform": "tensorflow_lite",
                                 "parameters": self.parameters, "inputs": self._tensors("in", self.session.inputs),
                                 "outputs": self._tensors("out", self.session.outputs)})

    def _tensors(self, kind, specs):
        told = [{"name": "%s%d" % (kind, number), "datatype": NAMES[spec.dtype.name], "shape": list(spec.shape)}
                for number, spec in enumerate(specs)]
        if self.quantized:
            for one, spec in zip(told, specs):
                one["parameters"] = {"scale": spec.quantization.scale, "zero_point": spec.quantization.zero_point}
        return told

    def _may(self, handler):
        if self.token is not None and handler.headers.get("Authorization") != "Bearer " + self.token:
            reply(handler, 401, {"error": "a token is needed"})
            return False
        if self.name is not None and handler.path.split("/")[3] != self.name:
            reply(handler, 404, {"error": "there is one model here: %s" % self.name})
            return False
        return True

    def inferred(self, handler, body):
        if self.answer is not None:
            self.answer(handler)
        elif self._may(handler):
            length = int(handler.headers[HEADER])
            asked, rest, tensors = json.loads(body[:length].decode()), body[length:], []
            for one, spec in zip(asked["inputs"], self.session.inputs):
                size = one["parameters"]["binary_data_size"]
                assert one["datatype"] == NAMES[spec.dtype.name]
                tensors.append(np.frombuffer(rest[:size], spec.dtype).reshape(one["shape"]))
                rest = rest[size:]
            assert not rest and all(one["parameters"]["binary_data"] for one in asked["outputs"])
            binary(handler, self.session.run_all(tensors), self.parameters)


def reply(handler, status, record, headers=()):
    body = record if isinstance(record, bytes) else json.dumps(record).encode()
    handler.send_response(status)
    for name, value in tuple(headers) + (("Content-Length", str(len(body))),):
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def binary(handler, outputs, parameters=None, **changed):
    """The right answer, but for what is *changed* of its first output's record."""
    records = [{"name": "out%d" % number, "datatype": NAMES[output.dtype.name], "shape": list(output.shape),
                "parameters": {"binary_data_size": output.nbytes}} for number, output in enumerate(outputs)]
    records[0].update(changed)
    text = json.dumps({"model_name": "m", "parameters": parameters or {}, "outputs": records}).encode()
    reply(handler, 200, text + b"".join(output.tobytes() for output in outputs), ((HEADER, str(len(text))),))
