"""What sources there are on this machine."""
from __future__ import annotations

from typing import List, NamedTuple, Optional

from ..errors import CameraError
from . import decoding, picamera, v4l2

__all__ = ["Found", "listed"]


class Found(NamedTuple):
    """A source that can be named."""

    name: str                   # as :func:`camera` takes it
    title: str
    trouble: Optional[str]      # why it does not open; None: nothing is known to be in the way


def listed(pattern: str = "/dev/video*") -> List[Found]:
    """The cameras of this machine, and the picture that is always there."""
    without = _trouble_of("video")
    found = [Found("v4l2:" + node.path, node.title + ("" if node.first_choice or node.trouble else
                                                      " (part of a pipeline; picamera2 is the way to it)"),
                   node.trouble or without) for node in v4l2.nodes(pattern)]
    try:
        picamera.load()
        found.append(Found("picamera2", "the camera of a Raspberry Pi", None))
    except CameraError as exc:
        found.append(Found("picamera2", "the camera of a Raspberry Pi", str(exc).split(": ", 1)[1]))
    found.append(Found("rtsp://…, video.mp4", "network and video files", without))
    return found + [Found("test", "a moving picture, drawn", None)]


def _trouble_of(what: str) -> Optional[str]:
    try:
        decoding.load(what)
    except CameraError as exc:
        return str(exc).split(": ", 1)[1]
    return None
