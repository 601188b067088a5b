"""The CPU twin that stands in for a device: a worker of its own, started when it is needed and let go after.

In the program's process it would start sooner by a moment, but bring an engine (memory, native threads, its own
crashes) into a process that was promised to be free of them.
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Optional

from ..errors import CoralClassifyError
from ..events import Event
from .childprocess import Child
from .health import DeviceHealth
from .keeper import Keeper
from .limits import Limits

__all__ = ["Twin", "health_on_cpu"]


def health_on_cpu() -> DeviceHealth:
    """A crashing engine on the CPU is no device that could need a rest."""
    return DeviceHealth(first_pause_s=0.5, longest_pause_s=5.0, rest_s=0.0)


class Twin:
    """The stand-in of one session.

    :param order: as for :class:`Keeper`
    :param keepers: all keepers of the session, which ends them; this one is added
    """

    def __init__(self, order: Dict[str, Any], *, limits: Limits, tell: Callable[[Event], None],
                 keepers: List[Keeper]) -> None:
        self._order = order
        self._limits = limits._replace(notice_s=float("inf"))  # why it is opened was told already
        self._tell = tell
        self._keepers = keepers
        self._keeper: Optional[Keeper] = None

    def child(self, leaving: Callable[[], bool]) -> Optional[Child]:
        """Its child, started if there is none; None if it does not come, or *leaving*."""
        if self._keeper is not None and self._keeper.child is None and self._keeper.ended:
            self.drop()
        if self._keeper is None:
            self._keeper = Keeper("cpu", self._order, health=health_on_cpu(), limits=self._limits, tell=self._tell)
            self._keepers[:] = [keeper for keeper in self._keepers if not keeper.gone] + [self._keeper]
            self._keeper.wait_until_settled()
        return self._keeper.wait_for_child(time.monotonic() + self._limits.open_s, leaving)

    @property
    def name(self) -> str:
        """Of its file; empty where it is none."""
        return os.path.basename(self._order["description"].get("model") or "")

    @property
    def trouble(self) -> Optional[CoralClassifyError]:
        """Why there is no child."""
        return None if self._keeper is None else self._keeper.trouble

    def fault(self, child: Child, accusation: Optional[CoralClassifyError]) -> CoralClassifyError:
        """As :meth:`Keeper.fault`."""
        assert self._keeper is not None
        return self._keeper.fault(child, accusation)

    def drop(self) -> None:
        """Let its worker go, without waiting for it; whoever ends the keepers waits."""
        if self._keeper is not None:
            self._keeper.stop(wait=False)
            self._keeper = None
