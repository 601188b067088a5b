"""What stands where a worker process stands (:mod:`.hostprocess`) and is none: it has no words of its own, cannot be
killed, and is for one session.
"""

from __future__ import annotations

import os
import socket
from typing import List, Optional, Set

__all__ = ["HostElsewhere"]


class HostElsewhere:
    """Whoever makes the wire keeps our end of it in ``_end``."""

    def __init__(self) -> None:
        self.names: Set[str] = set()
        # Nobody writes to it: what there is to say stands in errors.
        self.words, self._silence = os.pipe()
        self._end: Optional[socket.socket] = None
        self._killed = False

    def give_back(self) -> None:
        words, self.words = self.words, -1
        if words >= 0:
            os.close(words)
            os.close(self._silence)

    abandon = give_back

    def code(self) -> Optional[int]:
        return None

    def ended(self) -> bool:
        return self._killed

    def kill(self) -> None:
        """Part with it.  It lives on."""
        self._killed = True
        if self._end is not None:
            try:
                self._end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def listen(self) -> bool:
        return False

    def said(self) -> List[str]:
        return []

    def forget(self) -> None:
        pass
