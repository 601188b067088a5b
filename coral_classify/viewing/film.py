"""The picture as JPEG: encoded once for all viewers, while somebody looks, small, and no more often than eyes need."""
from __future__ import annotations

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, AsyncIterator, Optional, Tuple

import numpy as np
from PIL import Image

from ..errors import CoralClassifyError
from ..pictures import prepare
from .scene import Scene, View

__all__ = ["Film", "pixels_of"]

_LONGEST = 640          # pixels of the longer side
_QUALITY = 75
_PER_S = 15.0           # pictures a second for one viewer …
_ALL_PER_S = 60.0       # … and for all together
_BOUNDARY = b"coral"


def pixels_of(frame: Any, view: View, longest: Optional[int] = None) -> "np.ndarray[Any, Any]":
    """What the model looks at, upright, in the frame's own shape.

    :param frame: (height, width, 3) uint8, or the path of a picture
    :param longest: so long at most is the longer side; None: as it is
    :returns: (height, width, 3) uint8
    :raises ImageError: if the picture cannot be read
    """
    if isinstance(frame, np.ndarray):
        height, width = frame.shape[:2]
    else:
        with Image.open(frame) as image:        # its header only
            width, height = image.size
            if image.getexif().get(0x0112, 1) > 4:     # lies on its side
                width, height = height, width
    if view.region is not None:
        x, y, across, down = view.region
        share = max(view.region) <= 1
        width = max(1, round(across * width if share else across))
        height = max(1, round(down * height if share else down))
    if view.rotate % 180:
        width, height = height, width
    scale = 1.0 if longest is None else min(1.0, longest / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(prepare(frame, size, region=view.region, rotate=view.rotate).pixels)


class Film:
    """The pictures of a scene, for any number of viewers.  To be used in one event loop."""

    def __init__(self, scene: Scene, view: View) -> None:
        self._scene = scene
        self._view = view
        self._worker = ThreadPoolExecutor(1, "coral-classify-page")
        self._latest: Tuple[int, bytes] = (0, b"")
        self._at = 0.0
        self._making: "Optional[asyncio.Future[None]]" = None
        self.viewers = 0
        self.encoded = 0
        self.over = False

    async def parts(self) -> AsyncIterator[bytes]:
        """A body of multipart/x-mixed-replace: the newest picture again and again, for one viewer.

        A viewer that takes its time gets fewer pictures, and none that is old.
        """
        self.viewers += 1
        shown = 0
        try:
            while not self.over:
                number, content = await self.newest()
                if number != shown and content:
                    shown = number
                    # The next boundary goes along, or a browser would wait for it before it shows this one.
                    yield (b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)) + content + (
                        b"\r\n--" + _BOUNDARY + b"\r\n")
                await asyncio.sleep(max(1 / _PER_S, self.viewers / _ALL_PER_S))
        finally:
            self.viewers -= 1

    @property
    def content_type(self) -> str:
        return "multipart/x-mixed-replace; boundary=" + _BOUNDARY.decode("ascii")

    @property
    def opening(self) -> bytes:
        return b"--" + _BOUNDARY + b"\r\n"

    async def newest(self) -> Tuple[int, bytes]:
        """The number of a picture, and the picture; (0, b"") before the first one."""
        if self._making is None and self._scene.number != self._latest[0] and (
                time.monotonic() - self._at >= 0.9 / _PER_S):
            self._making = asyncio.ensure_future(self._make())
        if self._making is not None:
            await asyncio.shield(self._making)      # of all viewers: one that goes does not end it
        return self._latest

    async def _make(self) -> None:
        try:
            number, frame = self._scene.frame()
            if frame is not None:
                content = await asyncio.get_event_loop().run_in_executor(self._worker, self._encode, frame)
                self._latest = (number, content or self._latest[1])
                self._at = time.monotonic()
                self.encoded += 1
        finally:
            self._making = None

    def _encode(self, frame: Any) -> bytes:
        """b"": the picture could not be read; its result says why."""
        try:
            pixels = pixels_of(frame, self._view, _LONGEST)
        except (CoralClassifyError, OSError):
            return b""
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
        return stream.getvalue()

    def close(self) -> None:
        self.over = True
        self._worker.shutdown()
