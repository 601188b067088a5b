"""Cameras and videos of the network (RTSP, HTTP, …) through PyAV."""
from __future__ import annotations

import re
import threading
from typing import Iterator

from ..errors import CameraError
from . import videos
from .contract import Camera, Frame
from .decoding import decoded

__all__ = ["SCHEMES", "Network"]

SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
_OPEN_S = 10.0


class Network(Camera):
    """A stream by its address.  One whose address ends like a video file is read like a file: whole, and once.

    :param read_s: a read that takes longer has stalled
    """

    def __init__(self, address: str, read_s: float) -> None:
        # A password has no place in messages and logs.
        super().__init__(re.sub(r"//[^/?#]*@", "//", address))
        self._address = address
        self._read_s = read_s
        self.live = not re.sub(r"[?#].*", "", address).lower().endswith(videos.ENDINGS)

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        options = {}
        if self._address.startswith("rtsp"):
            options = {"rtsp_transport": "tcp"}     # through any firewall, and no torn pictures
        if self.live:
            options["fflags"] = "nobuffer"          # the newest picture, not the smoothest film
        try:
            yield from decoded(self.name, self._address, over, live=self.live, options=options,
                               timeout=(_OPEN_S, self._read_s))
        except OSError as exc:
            raise CameraError("%s: does not open: %s; is the camera on, and the address right?"
                              % (self.name, exc.strerror or type(exc).__name__)) from exc
        if self.live and not over.is_set():
            raise CameraError("%s: the stream ended" % self.name)
