"""Which answers of a camera are told: each change at once, what stays the same once a minute."""
from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Callable, Dict

from .brokers import Broker
from .sensors import Sensor, state_of

if TYPE_CHECKING:
    from ..types import Result
    from .connection import Connection

__all__ = ["Reporter"]

_AGAIN_S = 60.0         # so often scores that belong to the same answer are told
_SPEECHLESS_S = 10.0    # without an answer that is none but an error for so long, the camera is unavailable


class Reporter:
    """Tells a broker what a camera shows; never waits for it.

    :param model: its name, as people read it
    """

    def __init__(self, connection: "Connection", model: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._model = model
        self._clock = clock
        self._told: Dict[str, Any] = {"label": None}
        self._told_at = self._answered_at = float("-inf")

    @classmethod
    def to(cls, broker: Broker, sensor: Sensor, tell: Callable[[str], None]) -> "Reporter":
        """
        :param tell: hears one line when the broker is lost, and when it is back
        :raises CoralClassifyError: if paho-mqtt is not here
        """
        from .connection import Connection

        return cls(Connection(broker, sensor, tell), sensor.model)

    def show(self, result: "Result", at: float) -> None:
        """:param at: when the picture was taken, in seconds since 1970"""
        now = self._clock()
        state = state_of(result, at, self._model)
        due = now - self._told_at >= _AGAIN_S
        if result.error is not None:
            if now - self._answered_at >= _SPEECHLESS_S:
                self._connection.available(False)
            if due or self._told.get("error") != result.error:
                self._put(dict(self._told, error=result.error), now)
            return
        self._answered_at = now
        if result.changed or (due and state["label"] == self._told["label"]):
            self._put(state, now)
        elif self._told.get("error") is not None:
            self._put(dict(self._told, error=None), now)
        self._connection.available(True)

    def camera(self, is_there: bool) -> None:
        """It dropped out, or is back; available it is with its next answer."""
        if not is_there:
            self._connection.available(False)

    def close(self) -> None:
        self._connection.close()

    def _put(self, state: Dict[str, Any], now: float) -> None:
        self._told, self._told_at = state, now
        self._connection.put(json.dumps(state))
