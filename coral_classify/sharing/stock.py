"""The models that an owner has loaded: one session for each content, however many clients use it.

A model comes as an open descriptor, so that the owner reads what the client may read and nothing else; it is copied,
because a worker that dies opens it again, and the client's file may have changed by then.
"""
from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import threading
import time
from typing import Any, Dict, List, Tuple

from .. import arguments
from ..edgetpu import listed
from ..engine import describe
from ..errors import CoralClassifyError, DeviceError, DeviceLost, ModelError
from ..modelfiles import is_compiled
from ..supervision import DeviceHealth, Limits, SupervisedSession
from .turns import Turns

__all__ = ["Loaded", "Stock", "content_of"]

_log = logging.getLogger("coral_classify.sharing")
_LARGEST = 256 << 20  # bytes of a model
_REFUSED_S = 60.0  # how long a model that fails in opening is not tried again
_FAILURES = 2


class Loaded:
    """A model with its session, on a device."""

    def __init__(self, key: Tuple[str, bool], device: str, turns: Turns) -> None:
        self.key, self.device, self.turns = key, device, turns
        self.users = 0
        self.used_at = time.monotonic()
        self.opening = threading.Lock()
        self.session: Any = None
        self.file: Any = None  # the copy of its content


class Stock:
    """:param device: "auto": every Edge TPU; or the name of one, or "cpu"
    :param most: how many models stay loaded; the one that was not used for longest makes room"""

    def __init__(self, device: str = "auto", most: int = 8) -> None:
        arguments.text("device", device)
        arguments.whole("most", most, least=1)
        self._devices = (listed() if device == "auto" else []) or [device]
        self._turns = {name: Turns() for name in self._devices}
        self._most = most
        self._lock = threading.Lock()
        self._loaded: Dict[Tuple[str, bool], Loaded] = {}
        self._failed: Dict[str, List[float]] = {}
        self.losses = 0

    def take(self, content: bytes, any_network: bool) -> Loaded:
        """A model that is ready to be asked; :meth:`give_back` it.

        :raises CoralClassifyError: if it does not open, or there is no room
        """
        digest = hashlib.sha256(content).hexdigest()
        key, out = (digest, any_network), None
        with self._lock:
            recent = [when for when in self._failed.get(digest, []) if time.monotonic() - when < _REFUSED_S]
            if len(recent) >= _FAILURES:
                raise ModelError("this model failed in opening %d times and is not tried again for %.0f s"
                                 % (len(recent), _REFUSED_S))
            loaded = self._loaded.get(key)
            if loaded is None:
                if len(self._loaded) >= self._most:
                    out = self._evicted()
                device = min(self._devices, key=lambda name: sum(one.device == name for one in self._loaded.values()))
                loaded = self._loaded[key] = Loaded(key, device, self._turns[device])
            loaded.users += 1
        if out is not None and out.session is not None:
            _log.warning("model %s makes room", out.key[0][:12])
            out.session.close()
        try:
            with loaded.opening:
                if loaded.session is None:
                    loaded.session = self._opened(loaded, content)
            if loaded.session.trouble:
                raise DeviceLost(loaded.session.trouble, cause="crashed")
        except BaseException as exc:
            self.give_back(loaded)
            if isinstance(exc, CoralClassifyError) and loaded.session is None:
                self._note_failure(loaded, digest, exc)
            raise
        return loaded

    def give_back(self, loaded: Loaded) -> None:
        with self._lock:
            loaded.users -= 1
            loaded.used_at = time.monotonic()

    def models(self) -> List[Loaded]:
        with self._lock:
            return list(self._loaded.values())

    def close(self) -> None:
        for loaded in self.models():
            if loaded.session is not None:
                loaded.session.close()

    def _evicted(self) -> Loaded:
        idle = [loaded for loaded in self._loaded.values() if loaded.users == 0]
        if not idle:
            raise DeviceError("%d models are in use, and there is no room for another" % self._most, cause="busy")
        return self._loaded.pop(min(idle, key=lambda loaded: loaded.used_at).key)

    def _opened(self, loaded: Loaded, content: bytes) -> SupervisedSession:
        compiled = is_compiled(content)
        if not compiled and loaded.device != "cpu":
            raise DeviceError("the model is not compiled for the Edge TPU", cause="no-compiled")
        # Without a name: an owner that is killed leaves no file behind.
        loaded.file = file = tempfile.TemporaryFile(prefix="coral-classify-")
        file.write(content)
        file.flush()
        path = "/proc/%d/fd/%d" % (os.getpid(), file.fileno())
        return SupervisedSession(
            describe(path, loaded.device, any_network=loaded.key[1]), device=loaded.device, on_device_loss="retry",
            # Clients with a twin need not wait for long; those without try again.
            limits=Limits()._replace(patience_s=8.0), health=DeviceHealth(rest_s=30.0), on_event=self._heard)

    def _heard(self, event: Any) -> None:
        self.losses += event.kind == "lost"

    def _note_failure(self, loaded: Loaded, digest: str, exc: CoralClassifyError) -> None:
        with self._lock:
            if self._loaded.get(loaded.key) is loaded and loaded.users == 0:
                del self._loaded[loaded.key]
            if not isinstance(exc, DeviceError) or isinstance(exc, DeviceLost):
                self._failed[digest] = (self._failed.get(digest, []) + [time.monotonic()])[-_FAILURES:]
                if len(self._failed) > 1000:
                    self._failed.pop(next(iter(self._failed)))


def content_of(descriptor: int) -> bytes:
    """What lies in a client's file.

    :raises ModelError: if it is no regular file, or too large
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= _LARGEST:
        raise ModelError("the model must be a file of 1 byte to %d MB" % (_LARGEST >> 20))
    blocks, begin = [], 0
    while begin < status.st_size:
        block = os.pread(descriptor, min(1 << 20, status.st_size - begin), begin)
        if not block:
            break
        blocks.append(block)
        begin += len(block)
    return b"".join(blocks)
