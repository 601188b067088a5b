"""What a camera shows, told to an MQTT broker so that Home Assistant makes a sensor of it by itself.

Knows brokers, topics and Home Assistant's discovery, through paho-mqtt (extra ``[mqtt]``).  Knows nothing of cameras,
models or devices: results come as they are.
May use: doors, errors, arguments, types, reading.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from ..doors import on_first_use

if TYPE_CHECKING:
    from .brokers import Broker, broker
    from .reporting import Reporter
    from .sensors import Sensor, sensor

__all__ = ["Broker", "Reporter", "Sensor", "broker", "sensor"]

__getattr__ = on_first_use(__name__, {
    "Broker": "brokers", "broker": "brokers", "Reporter": "reporting", "Sensor": "sensors", "sensor": "sensors"})
