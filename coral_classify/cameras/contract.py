"""What every source of moving pictures is: a name, and frames until it ends.  Knows no source."""
from __future__ import annotations

import abc
import threading
from typing import Any, Callable, Iterator, NamedTuple

__all__ = ["Camera", "Frame"]


class Frame(NamedTuple):
    """One picture of a camera, not converted yet: what nobody looks at costs no work."""

    source: str                     # the camera's name
    taken_at: float                 # time.monotonic(), when it reached this process
    at_s: float                     # on the camera's own scale; a live one's is that of taken_at
    picture: Callable[[], Any]      # what a classifier takes: (height, width, 3) uint8 RGB, or the path of a file
    number: int = 0                 # counted by whoever reads them, from 1
    scalable: Any = None            # the same as a pictures.Scalable: to be had smaller; None: it comes whole

    @property
    def name(self) -> str:
        """The camera's name and the number, as in "v4l2:/dev/video0#17"."""
        return "%s#%d" % (self.source, self.number)


class Camera(abc.ABC):
    """A source of frames; :meth:`frames` opens it, as often as is wished.

    :param name: as messages call it; without passwords
    """

    live = True         # its pictures do not wait: whoever is slow sees the newest, and it may drop out and come back
    moving = True       # neighbours resemble each other, so that answers may be averaged over time

    def __init__(self, name: str) -> None:
        self.name = name

    @abc.abstractmethod
    def frames(self, over: threading.Event) -> Iterator[Frame]:
        """Open it, and give its frames until there are no more, or soon after *over* is set.

        Closing the generator leaves the camera to others.

        :raises CameraError: if it does not open, or drops out on the way
        """

    def __iter__(self) -> Iterator[Frame]:
        return self.frames(threading.Event())
