"""Video files through PyAV: every frame, none dropped."""
from __future__ import annotations

import os
import threading
from typing import Iterator

from ..errors import CameraError
from .contract import Camera, Frame
from .decoding import decoded

__all__ = ["ENDINGS", "Video"]

ENDINGS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mjpeg", ".mjpg", ".h264",
           ".h265", ".flv", ".ogv", ".wmv", ".3gp")


class Video(Camera):
    """A video file."""

    live = False

    def frames(self, over: threading.Event) -> Iterator[Frame]:
        if not os.path.isfile(self.name):       # nor a pipe or a device, which would be waited for
            raise CameraError("%s: %s" % (self.name, "is no file; a camera is named v4l2:%s" % self.name
                                          if os.path.exists(self.name) else "no such file"))
        try:
            # "file:" keeps a name with a colon from being taken for an address.
            yield from decoded(self.name, "file:" + os.path.abspath(self.name), over, live=False)
        except OSError as exc:
            raise CameraError("%s: cannot be read: %s" % (self.name, exc.strerror or exc)) from exc
