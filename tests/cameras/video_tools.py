"""Short videos that the tests make, and a server that streams them and fails as it is told."""
from __future__ import annotations

import socket
import threading

import pytest

from coral_classify.cameras.synthetic import drawn

SIZE = (128, 96)


def av():
    """PyAV, or the reason to skip."""
    return pytest.importorskip("av", reason="PyAV is not installed: pip install 'coral_classify[camera]'")


def write_video(path, frames, codec="mpeg4", rate=30, size=SIZE):
    """Frames of the drawn picture; each number can still be read after the compression."""
    module = av()
    with module.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4000000
        for number in range(1, frames + 1):
            frame = module.VideoFrame.from_ndarray(drawn(size, number / rate, number), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


class Server:
    """Serves bytes over HTTP, one script a connection: "send" all and close, "hang" after sending, "refuse"."""

    def __init__(self, content, *scripts):
        self._content = content
        self._scripts = list(scripts)
        self.connections = 0
        self._over = threading.Event()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(8)
        self.address = "http://127.0.0.1:%d/stream" % self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection, script), daemon=True).start()

    def _answer(self, connection, script):
        with connection:
            try:
                connection.recv(65536)
                if script == "refuse":
                    connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n")
                    return
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + self._content)
                if script == "hang":
                    self._over.wait(60)
            except OSError:
                pass

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._over.set()
        self._socket.close()
