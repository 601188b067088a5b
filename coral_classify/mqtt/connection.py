"""A connection to a broker that comes and goes: the only importer of paho-mqtt, whose thread does all that may wait.

What it was told last is what it says when it is connected; there is no queue that could grow.
"""
from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from typing import Any, Callable, Optional, Set

from ..errors import CoralClassifyError
from .brokers import Broker
from .sensors import BIRTH, OFFLINE, ONLINE, Sensor

__all__ = ["Connection"]

_KEEPALIVE_S = 30       # a broker that says nothing for so long is gone; half as long again, and it says the last will
_LONGEST_PAUSE_S = 30   # between two attempts
_STEADY_S = 30.0        # a connection that lasted so long was none that comes and goes all the time
_AWAY = "is not reached"
_FAREWELL_S = 2.0       # for the last words to go out


class Connection:
    """What is said of one camera, to one broker.

    No method but :meth:`close` waits for anything, and that one for two seconds.

    :param tell: hears one line when the broker is not reached, is lost, refuses, and when it is back
    :raises CoralClassifyError: if paho-mqtt is not here
    """

    def __init__(self, broker: Broker, sensor: Sensor, tell: Callable[[str], None]) -> None:
        self._broker = broker
        self._sensor = sensor
        self._tell = tell
        self._lock = threading.RLock()
        self._connected = False
        self._closing = False
        self._available = False
        self._state: Optional[str] = None       # the newest
        self._unsent = False                    # it waits until the one before it has gone out
        self._in_flight: Optional[Any] = None
        self._told: Set[str] = set()
        self._down = False                      # trouble was told, and not yet that it is over
        self._since = 0.0                       # when it was connected
        self._paho = _load()
        # Version 2 asks for the shape of its callbacks; 1.6 knows one.
        versions = getattr(self._paho, "CallbackAPIVersion", None)
        self._client = self._paho.Client() if versions is None else self._paho.Client(versions.VERSION2)
        self._client.will_set(sensor.availability, OFFLINE, qos=1, retain=True)
        if broker.user is not None:
            self._client.username_pw_set(broker.user, broker.password)
        if broker.tls is not None:
            self._client.tls_set_context(broker.tls)
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, _KEEPALIVE_S)
        self._client.loop_start()

    def put(self, state: str) -> None:
        """The newest state.  One that is still waiting to go out is not said any more."""
        with self._lock:
            self._state, self._unsent = state, True
            self._flush()

    def available(self, whether: bool) -> None:
        """Whether the camera gives answers."""
        with self._lock:
            if whether != self._available:
                self._available = whether
                self._say_availability()

    def close(self) -> None:
        """Say that it is offline, and go."""
        with self._lock:
            self._closing = True
            self._available = False
            farewell = self._say_availability()
        until = time.monotonic() + _FAREWELL_S
        while farewell is not None and self._connected and not farewell.is_published() and time.monotonic() < until:
            time.sleep(0.005)
        self._client.disconnect()
        # Its thread may hang in a resolver, or connect; it ends with the process.
        ending = threading.Thread(target=self._client.loop_stop, name="coral-classify-mqtt-end", daemon=True)
        ending.start()
        ending.join(max(0.1, until - time.monotonic()))

    # ---- under the lock

    def _flush(self) -> None:
        if self._connected and self._unsent and self._in_flight is None and self._state is not None:
            self._unsent = False
            # QoS 0: whatever a lost connection swallows is said again by the next one.
            sent = self._client.publish(self._sensor.topic, self._state, qos=0, retain=True)
            self._in_flight = None if sent.rc != self._paho.MQTT_ERR_SUCCESS or sent.is_published() else sent

    def _say_availability(self) -> Any:
        if not self._connected:
            return None
        word = ONLINE if self._available else OFFLINE
        sent = self._client.publish(self._sensor.availability, word, qos=0, retain=True)
        return sent if sent.rc == self._paho.MQTT_ERR_SUCCESS else None

    def _say_all(self) -> None:
        self._client.publish(self._sensor.config_topic, json.dumps(self._sensor.config()), qos=0, retain=True)
        self._say_availability()
        self._unsent = self._state is not None
        self._flush()

    def _trouble(self, what: str) -> None:
        """One line, and not again in every attempt; of one that is away, not again that nobody is there."""
        if what not in self._told and not self._closing and not (self._down and what.startswith(_AWAY)):
            self._told.add(what)
            self._down = True
            self._tell("%s %s; trying again until it is back" % (str(self._broker), what))

    # ---- called by paho, in its thread; the arguments at the end differ between its versions

    def _on_connect(self, client: Any, userdata: Any, flags: Any, code: Any, *_: Any) -> None:
        with self._lock:
            if code.is_failure if hasattr(code, "is_failure") else code != 0:
                reason = str(code) if hasattr(code, "is_failure") else self._paho.connack_string(code)
                self._trouble("refuses the connection (%s)" % reason)
                return
            self._connected, self._in_flight = True, None
            self._since = time.monotonic()
            # Its own availability, too: the will of a connection that was lost may come after this one is there.
            client.subscribe([(BIRTH, 0), (self._sensor.availability, 0)])
            self._say_all()
            if self._down:
                self._down = False
                self._tell("%s is back" % str(self._broker))

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        failure = sys.exc_info()[1]     # paho calls this where it has caught it
        reason = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
        with self._lock:
            self._trouble("%s (%s)" % (_AWAY, reason))

    def _on_disconnect(self, *_: Any) -> None:
        with self._lock:
            was, self._connected, self._in_flight = self._connected, False, None
            if was:
                if time.monotonic() - self._since >= _STEADY_S:
                    self._told.clear()
                self._trouble("ended the connection")

    def _on_publish(self, client: Any, userdata: Any, mid: int, *_: Any) -> None:
        with self._lock:
            if self._in_flight is not None and mid == self._in_flight.mid:
                self._in_flight = None
                self._flush()

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        with self._lock:
            if self._closing or not self._connected:
                return
            if message.topic == BIRTH and message.payload == ONLINE.encode():
                self._say_all()
            elif message.topic == self._sensor.availability and message.payload == OFFLINE.encode() \
                    and self._available:
                self._say_availability()


def _load() -> Any:
    """paho-mqtt 1.6, or 2."""
    try:
        return importlib.import_module("paho.mqtt.client")
    except ImportError as exc:
        raise CoralClassifyError("--mqtt needs paho-mqtt: pip install 'coral_classify[mqtt]' (%s)" % exc) from exc
