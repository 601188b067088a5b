"""A session in a thread of this process, where a worker process stands (:mod:`.hostprocess`): for one that only waits
for others, and can crash nobody.  The same frames travel, so that keeper, twin and policy serve it, too.
"""

from __future__ import annotations

import socket
import threading
from typing import Any, Dict, Optional

from ..types import Session
from . import channel
from .elsewhere import HostElsewhere
from .housing import housed

__all__ = ["HostThread"]


class HostThread(HostElsewhere):
    """One for each session.  Its session may have a method ``break_off``, which ends what it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._session: Optional[Session] = None
        self._over = threading.Event()

    def new_wire(self, order: Dict[str, Any]) -> socket.socket:
        self._end, theirs = socket.socketpair()
        threading.Thread(target=self._live, args=(theirs,), name="coral-session", daemon=True).start()
        return self._end

    def _live(self, end: socket.socket) -> None:
        wire = channel.Wire(end)
        try:
            housed(wire, self._opened)
        except EOFError:
            pass
        finally:
            self._session = None
            self._over.set()
            wire.close()

    def _opened(self, session: Session) -> None:
        self._session = session
        if self._killed:
            self.kill()

    def ended(self) -> bool:
        return super().ended() or self._over.is_set()

    def kill(self) -> None:
        """A thread cannot be killed; but nobody listens to it any more, and it has nothing left to wait for."""
        super().kill()
        break_off = getattr(self._session, "break_off", None)
        if break_off is not None:
            break_off()
