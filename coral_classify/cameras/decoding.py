"""PyAV (the FFmpeg libraries): open, decode, and say what failed.  The only importer of ``av``."""
from __future__ import annotations

import functools
import importlib
import sys
import threading
import time
from typing import Any, Dict, Iterator, Optional, Tuple

from ..errors import CameraError
from ..pictures import Scalable
from .contract import Frame

__all__ = ["decoded", "load"]

_TORN = 100         # so many packets without a picture between them are no accident


def load(what: str) -> Any:
    """The module ``av``.

    :param what: the source that needs it, for the message
    :raises CameraError: if it is not here
    """
    try:
        return importlib.import_module("av")
    except ImportError as exc:
        if sys.version_info < (3, 8):
            raise CameraError("%s: needs PyAV, which has no wheels for Python %d.%d; use Python 3.8 or newer"
                              % ((what,) + sys.version_info[:2])) from exc
        if getattr(exc, "name", "av") not in (None, "av"):
            raise CameraError("%s: PyAV does not load: %s" % (what, exc)) from exc
        raise CameraError("%s: needs PyAV, which is not here; pip install 'coral_classify[camera]'" % what) from exc


def decoded(
    name: str,
    location: str,
    over: threading.Event,
    *,
    live: bool,
    format: Optional[str] = None,
    options: Optional[Dict[str, str]] = None,
    timeout: Optional[Tuple[float, float]] = None,
) -> Iterator[Frame]:
    """The frames of what FFmpeg finds at *location*.

    :param format: name of an input format, "v4l2" say; None: what the content shows
    :param options: FFmpeg's options of that input
    :param timeout: seconds for opening and for each read; for the network only
    :raises CameraError: if there is no decoder for it, or it cannot be read
    :raises OSError: in the words of the system, if it does not open
    """
    av = load(name)
    try:
        container = av.open(location, format=format, options=options or {}, timeout=timeout)
    except ValueError as exc:       # PyAV's InvalidDataError is one
        raise CameraError("%s: is no video that FFmpeg knows: %s" % (name, _words(exc))) from exc
    except OSError:
        raise
    except Exception as exc:
        words = _words(exc) if timeout is None or not _ran_out(exc) else "no answer within %g s" % timeout[0]
        raise CameraError("%s: does not open: %s" % (name, words)) from exc
    with container:
        if not container.streams.video:
            raise CameraError("%s: holds no video" % name)
        stream = container.streams.video[0]
        if getattr(stream, "codec_context", None) is None:
            raise CameraError("%s: FFmpeg has no decoder for it here" % name)
        if not live:
            stream.thread_type = "AUTO"     # several frames at once: faster, and later, which only a file can bear
        try:
            for number, frame in enumerate(_frames(av, container, stream)):
                now = time.monotonic()
                if over.is_set():
                    return
                at_s = now if live else float(number / 30.0 if frame.time is None else frame.time)
                yield Frame(name, now, at_s, functools.partial(_whole, frame), scalable=_Decoded(frame))
        except Exception as exc:
            if isinstance(exc, EOFError):       # the end of a live stream
                return
            if timeout is not None and _ran_out(exc):
                raise CameraError("%s: gave nothing for %g s" % (name, timeout[1])) from exc
            raise CameraError("%s: stopped: %s" % (name, _words(exc))) from exc


def _whole(frame: Any) -> Any:
    return frame.to_ndarray(format="rgb24")


class _Decoded(Scalable):
    """A frame as FFmpeg decoded it, YUV mostly: made small first, RGB after that."""

    def __init__(self, frame: Any) -> None:
        super().__init__((frame.width, frame.height))
        self._frame = frame

    def at(self, size: Tuple[int, int]) -> Any:
        if size == self.size:
            return _whole(self._frame)
        return self._frame.reformat(size[0], size[1], "rgb24", interpolation="AREA").to_ndarray()


def _frames(av: Any, container: Any, stream: Any) -> Iterator[Any]:
    """What can be decoded; a torn packet (a lost one of the network) is passed over."""
    torn = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            torn += 1
            if torn > _TORN:
                raise
            continue
        if frames:
            torn = 0
        yield from frames


def _ran_out(exc: Exception) -> bool:
    """Whether it was our own deadline: FFmpeg calls that an exit that was asked for."""
    return type(exc).__name__ == "ExitError"


def _words(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
